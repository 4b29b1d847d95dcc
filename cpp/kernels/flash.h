// Attention as a part of llama.cpp's CPU backend: the operation of ggml's graph, divided among threads.
#pragma once

#include <cstddef>

#include "kernels.h"

struct ggml_compute_params;
struct ggml_tensor;

namespace aspd::kernels {

// Whether `attend` computes this operation; where it does, the bytes of work buffer that it needs.
[[nodiscard]] bool flash_work_size(const Kernels& kernels, int n_threads, const ggml_tensor* op,
                                   std::size_t* size);
// On each thread of the pool. False: not computed.
[[nodiscard]] bool flash_forward(const Kernels& kernels, ggml_compute_params* params, ggml_tensor* op);

}  // namespace aspd::kernels
