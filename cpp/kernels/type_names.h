// Types of weights by ggml's names.
#pragma once

#include <string>

#include "ggml.h"

namespace aspd::kernels {

// GGML_TYPE_COUNT: there is no such type.
[[nodiscard]] inline ggml_type type_named(const std::string& name) {
  for (int id = 0; id < GGML_TYPE_COUNT; ++id) {
    const auto type = static_cast<ggml_type>(id);
    const char* known = ggml_type_name(type);
    if (known != nullptr && name == known && ggml_blck_size(type) > 0) return type;
  }
  return GGML_TYPE_COUNT;
}

}  // namespace aspd::kernels
