#include "bindings.h"

pybind11::str to_str(const std::string& text) {
  PyObject* str = PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace");
  if (str == nullptr) throw pybind11::error_already_set();
  return pybind11::reinterpret_steal<pybind11::str>(str);
}

pybind11::str to_path(const std::string& path) {
  PyObject* str = PyUnicode_DecodeFSDefaultAndSize(path.data(), static_cast<Py_ssize_t>(path.size()));
  if (str == nullptr) throw pybind11::error_already_set();
  return pybind11::reinterpret_steal<pybind11::str>(str);
}

PYBIND11_MODULE(_core, m) {
  m.doc() = "The engine of aspd_local. Public names are those of the package, not of this module.";
  bind_errors(m);
  bind_backend(m);
  bind_kernels(m);
  bind_gguf_check(m);
  bind_layout(m);
  bind_protocol(m);
  bind_sampler(m);
  bind_model(m);
  bind_chat_template(m);
  bind_width(m);
  bind_engine(m);
  bind_embedder(m);
  bind_quantize(m);
}
