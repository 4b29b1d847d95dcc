#include "aspd/embedder.h"

#include <pybind11/stl.h>

#include "bindings.h"

namespace py = pybind11;

void bind_embedder(py::module_& m) {
  using aspd::Embedder;
  using aspd::EmbedderOptions;
  py::class_<EmbedderOptions>(m, "EmbedderOptions")
      .def(py::init<>())
      .def_readwrite("n_ctx", &EmbedderOptions::n_ctx)
      .def_readwrite("n_threads", &EmbedderOptions::n_threads);

  py::class_<Embedder>(m, "Embedder")
      .def(py::init<std::shared_ptr<const aspd::Model>, const EmbedderOptions&>(), py::arg("model"),
           py::arg("options"), py::call_guard<py::gil_scoped_release>(),
           "Raises ModelError where the model makes no embeddings, ValueError for options.")
      .def_static("why_not", &Embedder::why_not, py::arg("model"),
                  "Why this model makes no embeddings; empty if it does as far as the file tells.")
      .def("check", &Embedder::check, py::arg("texts"),
           "Raises what embed() raises before it computes anything.")
      .def("embed", &Embedder::embed, py::arg("texts"), py::call_guard<py::gil_scoped_release>(),
           "Vectors of unit length, [n_texts][n_embd]; texts: token ids. From any thread. Raises ValueError, "
           "ContextFullError, DecodeError.")
      .def_property_readonly("can_write", &Embedder::can_write,
                             "Whether the model writes text too; encoders do not.")
      .def_property_readonly("n_embd", &Embedder::n_embd)
      .def_property_readonly("n_ctx", &Embedder::n_ctx);
}
