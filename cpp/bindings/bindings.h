// One bind_* for each header of the library; module.cpp is the table of contents. Translation only.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

// Text of a file or a template as str; bytes that are no UTF-8 become U+FFFD.
pybind11::str to_str(const std::string& text);
// The path of a file as Python has it: bytes that are no UTF-8 are kept.
pybind11::str to_path(const std::string& path);

void bind_errors(pybind11::module_& m);
void bind_backend(pybind11::module_& m);
void bind_kernels(pybind11::module_& m);
void bind_layout(pybind11::module_& m);
void bind_protocol(pybind11::module_& m);
void bind_sampler(pybind11::module_& m);
void bind_model(pybind11::module_& m);
void bind_width(pybind11::module_& m);
void bind_engine(pybind11::module_& m);
void bind_embedder(pybind11::module_& m);
void bind_quantize(pybind11::module_& m);
void bind_gguf_check(pybind11::module_& m);
void bind_chat_template(pybind11::module_& m);
