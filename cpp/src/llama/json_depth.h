// How deeply a JSON text is nested, before a reader that recurses sees it.
#pragma once

#include <cstddef>
#include <string>

namespace aspd {

// Throws std::invalid_argument where arrays and objects are nested more deeply.
void check_depth(const std::string& json, std::size_t max_depth);

}  // namespace aspd
