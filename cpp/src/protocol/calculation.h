// Tells a calculation from other uses of "=", in any writing system.
#pragma once

#include <string_view>

namespace aspd {

// Whether a line, as far as it is written, holds a calculation: "5 + 3 = 8", "x = 5", "= 120 €"; not "a =>
// b", "x >= 5", "key=value".
[[nodiscard]] bool is_calculation(std::string_view line);

}  // namespace aspd
