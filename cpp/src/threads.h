// How many threads decode fastest where the user did not say.
#pragma once

#include <cstdint>

namespace aspd {

// Physical cores that this process may use; at least 1.
[[nodiscard]] std::int32_t physical_cores();

}  // namespace aspd
