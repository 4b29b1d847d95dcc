// Which layout llama.cpp's repacking has given to weights. It depends on the type, on the number of rows, on
// what llama.cpp was compiled for and on the processor; so it is found out, not assumed.
#pragma once

#include <cstdint>

#include "ggml.h"

namespace aspd::kernels {

// The first number: rows that are interleaved. The second: bytes of each of them at a time.
enum class Layout {
  kFile,  // rows as they are in the file
  k4x4,
  k4x8,
  k8x4,
  k8x8,
  kOther,  // one that is not known here
};

// The layout of weights in a buffer of llama.cpp's repacking.
[[nodiscard]] Layout layout_of_repacked(const ggml_tensor* weights);

// What llama.cpp's repacking makes here of matrices of a type with so many rows; kOther also: nothing.
[[nodiscard]] Layout repacked_layout(ggml_type type, std::int64_t n_rows);

}  // namespace aspd::kernels
