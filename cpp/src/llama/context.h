// Making a llama.cpp context and computing a batch in it, with errors of ours that say what llama.cpp logged.
#pragma once

#include <string>

#include "aspd/errors.h"
#include "aspd/model.h"
#include "llama.h"

namespace aspd {

// The caller owns it. Throws ModelError.
[[nodiscard]] llama_context* open_context(const Model& model, const llama_context_params& params);
// What llama_process returns, the batch computed. Throws DecodeError for an exception of llama.cpp's.
[[nodiscard]] int process_batch(llama_context* context, llama_process_type type, llama_batch_ext* batch);
// The error that a code of the last process_batch() is. what: whose it is.
[[nodiscard]] DecodeError process_error(int code, const std::string& what);

}  // namespace aspd
