// ggml's contexts and buffers, freed by their owners.
#pragma once

#include <memory>

#include "ggml-backend.h"
#include "ggml.h"

namespace aspd::kernels {

struct FreeContext {
  void operator()(ggml_context* context) const { ggml_free(context); }
};
struct FreeBuffer {
  void operator()(ggml_backend_buffer* buffer) const { ggml_backend_buffer_free(buffer); }
};
using OwnedContext = std::unique_ptr<ggml_context, FreeContext>;
using OwnedBuffer = std::unique_ptr<ggml_backend_buffer, FreeBuffer>;

}  // namespace aspd::kernels
