#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>
#include <pybind11/typing.h>

#include <chrono>
#include <filesystem>
#include <future>

#include "aspd/model.h"
#include "bindings.h"

namespace py = pybind11;

namespace {

// Loads on a thread of its own, so that signals and progress are seen by the caller's.
std::shared_ptr<aspd::Model> load(const std::filesystem::path& path, const aspd::ModelOptions& options,
                                  const std::optional<py::typing::Callable<bool(double)>>& progress) {
  aspd::LoadProgress state;
  std::future<std::shared_ptr<aspd::Model>> loading =
      std::async(std::launch::async, [&] { return aspd::Model::load(path.string(), options, &state); });
  const auto stop = [&] {
    state.cancel = true;
    const py::gil_scoped_release release;
    loading.wait();
  };
  while (true) {
    {
      const py::gil_scoped_release release;
      if (loading.wait_for(std::chrono::milliseconds(20)) == std::future_status::ready) break;
    }
    if (PyErr_CheckSignals() != 0) {
      stop();
      throw py::error_already_set();
    }
    if (!progress) continue;
    try {
      if (!(*progress)(state.done.load()).cast<bool>()) state.cancel = true;
    } catch (...) {
      stop();
      throw;
    }
  }
  return loading.get();
}

}  // namespace

void bind_model(py::module_& m) {
  using aspd::Model;
  using aspd::ModelOptions;
  py::class_<ModelOptions>(m, "ModelOptions")
      .def(py::init<>())
      .def_readwrite("n_gpu_layers", &ModelOptions::n_gpu_layers)
      .def_readwrite("use_mmap", &ModelOptions::use_mmap)
      .def_readwrite("use_mlock", &ModelOptions::use_mlock)
      .def_readwrite("use_extra_bufts", &ModelOptions::use_extra_bufts)
      .def_readwrite("check_tensors", &ModelOptions::check_tensors)
      .def_readwrite("vocab_only", &ModelOptions::vocab_only);

  py::class_<Model, std::shared_ptr<Model>>(m, "Model")
      .def_static("load", &load, py::arg("path"), py::arg("options"), py::arg("progress") = py::none(),
                  "Raises ModelError; CancelledError when progress(done), done from 0 to 1, returns False.")
      .def(
          "tokenize",
          [](const Model& model, const py::str& text, bool parse_special) {
            const auto bytes = text.cast<std::string>();
            const py::gil_scoped_release release;
            return model.tokenize(bytes, parse_special);
          },
          py::arg("text"), py::arg("parse_special"), "Token ids, [n_tokens]. No BOS is added.")
      .def(
          "tokenize_whole",
          [](const Model& model, const py::str& text) {
            const auto bytes = text.cast<std::string>();
            const py::gil_scoped_release release;
            return model.tokenize_whole(bytes);
          },
          py::arg("text"), "Token ids, [n_tokens], with the special tokens around a text of its own.")
      .def(
          "piece",
          [](const Model& model, aspd::Token token, bool special) {
            return py::bytes(model.piece(token, special));
          },
          py::arg("token"), py::arg("special") = false, "Bytes of one token. Raises ValueError.")
      .def("find_token", &Model::find_token, py::arg("spelling"))
      .def("is_control", &Model::is_control, py::arg("token"))
      .def("is_eog", &Model::is_eog, py::arg("token"))
      .def("metadata",
           [](const Model& model) {
             std::map<std::string, py::str> all;
             for (const auto& [key, value] : model.metadata()) all[to_str(key)] = to_str(value);
             return all;
           })
      .def_property_readonly("longest_piece", &Model::longest_piece,
                             "Bytes of the longest token: a text has at least as many tokens as it holds of "
                             "these. 0: that cannot be said.")
      .def_property_readonly("n_vocab", &Model::n_vocab)
      .def_property_readonly("bos", &Model::bos)
      .def_property_readonly("eos", &Model::eos)
      .def_property_readonly("add_bos", &Model::add_bos)
      .def_property_readonly("add_eos", &Model::add_eos)
      .def_property_readonly("n_ctx_train", &Model::n_ctx_train)
      .def_property_readonly("n_params", &Model::n_params)
      .def_property_readonly("size_bytes", &Model::size_bytes)
      .def_property_readonly("description", [](const Model& model) { return to_str(model.description()); })
      .def_property_readonly("architecture", &Model::architecture)
      .def_property_readonly("chat_template",
                             [](const Model& model) { return to_str(model.chat_template()); })
      .def_property_readonly("has_encoder", &Model::has_encoder)
      .def_property_readonly("cannot_decode", &Model::cannot_decode)
      .def_property_readonly("cannot_join", &Model::cannot_join)
      .def_property_readonly("is_recurrent", &Model::is_recurrent)
      .def_property_readonly("path", [](const Model& self) { return to_path(self.path()); });
}
