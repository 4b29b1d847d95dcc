// What this ARM processor can do.
#pragma once

namespace aspd::kernels {

[[nodiscard]] bool has_dotprod();
[[nodiscard]] bool has_i8mm();

}  // namespace aspd::kernels
