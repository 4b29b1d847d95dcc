#include "context.h"

#include <exception>

#include "aspd/backend.h"

namespace aspd {

namespace {

// ": " and the first line that llama.cpp logged as an error; "" if there is none.
std::string logged() {
  const std::string why = first_error();
  return why.empty() ? "" : ": " + why;
}

}  // namespace

llama_context* open_context(const Model& model, const llama_context_params& params) {
  clear_first_error();
  llama_context* context = nullptr;
  try {
    context = llama_init_from_model(model.handle(), params);
  } catch (const std::exception& e) {
    throw ModelError(model.path(), std::string("no context: ") + e.what());
  }
  if (context == nullptr) throw ModelError(model.path(), "llama.cpp cannot make a context" + logged());
  return context;
}

int process_batch(llama_context* context, llama_process_type type, llama_batch_ext* batch) {
  clear_first_error();
  try {
    const int code = llama_process(context, type, batch);
    if (code == 0) llama_synchronize(context);
    return code;
  } catch (const std::exception& e) {
    throw DecodeError(-4, std::string("llama.cpp: ") + e.what());
  }
}

DecodeError process_error(int code, const std::string& what) {
  return {code, what + " returned " + std::to_string(code) + logged()};
}

}  // namespace aspd
