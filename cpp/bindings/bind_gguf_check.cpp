#include "bind_gguf_check.h"

#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <filesystem>
#include <string>

#include "aspd/gguf_check.h"

namespace py = pybind11;

void bind_gguf_check(py::module_& m) {
  using aspd::GgufSummary;
  py::class_<GgufSummary>(m, "GgufSummary",
                          "What a GGUF file says about itself; of a split model, all its parts.")
      .def_readonly("version", &GgufSummary::version)
      .def_readonly("n_tensors", &GgufSummary::n_tensors)
      .def_readonly("n_kv", &GgufSummary::n_kv, "Metadata keys.")
      .def_readonly("architecture", &GgufSummary::architecture)
      .def_readonly("file_size", &GgufSummary::file_size, "Bytes.")
      .def_readonly("alignment", &GgufSummary::alignment, "Of the weights, bytes.")
      .def_readonly("n_vocab", &GgufSummary::n_vocab, "0: no vocabulary.")
      .def_readonly("quantisation", &GgufSummary::quantisation,
                    "Name of a ggml type -> tensors of that type.")
      .def("__repr__", [](const GgufSummary& self) {
        return "<GgufSummary " + self.architecture + ", " + std::to_string(self.n_tensors) + " tensors, " +
               std::to_string(self.n_vocab) + " tokens, " + std::to_string(self.file_size) + " bytes>";
      });
  m.def(
      "check_gguf", [](const std::filesystem::path& path) { return aspd::check_gguf(path.string()); },
      py::arg("path"), py::call_guard<py::gil_scoped_release>(),
      "Reads a model file's header, metadata and tensor table and refuses what llama.cpp would abort on. "
      "Reads no "
      "weights. Raises ModelError.");
}
