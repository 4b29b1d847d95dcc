#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>
#include <pybind11/typing.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <future>
#include <system_error>

#include "aspd/merge.h"
#include "aspd/quantize.h"
#include "bindings.h"

namespace py = pybind11;

namespace {

using Progress = std::optional<py::typing::Callable<void(double)>>;

// Works on a thread of its own, so that signals and progress are seen by the caller's.
using Path = std::filesystem::path;

template <typename Work>
void watched(const Work& work, const std::string& to, const Progress& progress) {
  aspd::QuantizeProgress state;
  std::future<void> working = std::async(std::launch::async, [&] { work(&state); });
  const auto stop = [&] {
    state.cancel = true;
    const py::gil_scoped_release release;
    working.wait();
  };
  while (true) {
    {
      const py::gil_scoped_release release;
      if (working.wait_for(std::chrono::milliseconds(20)) == std::future_status::ready) break;
    }
    if (PyErr_CheckSignals() != 0) {
      stop();
      throw py::error_already_set();
    }
    if (!progress) continue;
    try {
      (*progress)(state.done.load());
    } catch (...) {
      stop();
      throw;
    }
  }
  try {
    working.get();
  } catch (const std::system_error& e) {
    errno = e.code().value();
    PyErr_SetFromErrnoWithFilename(PyExc_OSError, to.c_str());
    throw py::error_already_set();
  }
}

void quantize(const Path& from, const Path& to, const aspd::QuantizeOptions& options,
              const Progress& progress) {
  watched([&](aspd::QuantizeProgress* state) { aspd::quantize(from.string(), to.string(), options, state); },
          to.string(), progress);
}

void merge(const Path& base, const Path& adapter, const Path& to, const Progress& progress) {
  watched(
      [&](aspd::QuantizeProgress* state) {
        aspd::merge(base.string(), adapter.string(), to.string(), state);
      },
      to.string(), progress);
}

}  // namespace

void bind_quantize(py::module_& m) {
  using aspd::QuantizeOptions;
  using aspd::WeightSummary;
  using aspd::WeightType;

  py::class_<WeightType>(m, "WeightType", "A type that weights can be written in.")
      .def_readonly("name", &WeightType::name)
      .def_readonly("bits", &WeightType::bits, "Per weight.")
      .def_readonly("block", &WeightType::block, "A row must be a multiple of so many weights.");
  m.def("weight_types", &aspd::weight_types);

  py::class_<WeightSummary>(m, "WeightSummary",
                            "The weights of a model file; the head is the matrix that gives the logits.")
      .def_readonly("weights", &WeightSummary::weights, "Type of most bytes of the matrices but the head.")
      .def_readonly("head", &WeightSummary::head)
      .def_readonly("embedding", &WeightSummary::embedding)
      .def_readonly("weight_bits", &WeightSummary::weight_bits, "Per weight, mean.")
      .def_readonly("head_bits", &WeightSummary::head_bits, "Per weight.")
      .def_readonly("tied", &WeightSummary::tied, "The head is the table of the tokens' embeddings.")
      .def_readonly("quantised", &WeightSummary::quantised, "A matrix is quantised already.")
      .def_readonly("n_weights", &WeightSummary::n_weights, "In the matrices but the head.")
      .def_readonly("n_head", &WeightSummary::n_head, "Weights of the head.")
      .def_readonly("other_bytes", &WeightSummary::other_bytes, "All that is never quantised.")
      .def_readonly("rows", &WeightSummary::rows,
                    "Length of a row -> weights in matrices of such rows, the head left out.")
      .def_readonly("head_row", &WeightSummary::head_row, "Weights in a row of the head.");
  m.def(
      "summarize_weights", [](const Path& path) { return aspd::summarize_weights(path.string()); },
      py::arg("path"), py::call_guard<py::gil_scoped_release>(), "Reads no weights. Raises ModelError.");

  py::class_<QuantizeOptions>(m, "QuantizeOptions")
      .def(py::init<>())
      .def_readwrite("weights", &QuantizeOptions::weights)
      .def_readwrite("head", &QuantizeOptions::head)
      .def_readwrite("n_threads", &QuantizeOptions::n_threads);
  m.def("quantize", &quantize, py::arg("from_path"), py::arg("to_path"), py::arg("options"),
        py::arg("progress") = py::none(),
        "Calls progress(done), done from 0 to 1. Raises ValueError, ModelError, OSError where to_path cannot "
        "be written. Where it fails, and where a signal or progress raises, what was written is removed.");

  using aspd::AdapterSummary;
  py::class_<AdapterSummary>(m, "AdapterSummary", "What an adapter file says about itself.")
      .def_readonly("architecture", &AdapterSummary::architecture)
      .def_readonly("protocol", &AdapterSummary::protocol, "'': a plain LoRA.")
      .def_readonly("base_sha256", &AdapterSummary::base_sha256, "Of what it was trained on; '': not said.")
      .def_readonly("n_matrices", &AdapterSummary::n_matrices)
      .def_readonly("rank", &AdapterSummary::rank, "The highest.");
  m.def(
      "summarize_adapter", [](const Path& path) { return aspd::summarize_adapter(path.string()); },
      py::arg("path"), py::call_guard<py::gil_scoped_release>(), "Raises ModelError.");
  m.def("merge", &merge, py::arg("base_path"), py::arg("adapter_path"), py::arg("to_path"),
        py::arg("progress") = py::none(),
        "Writes a whole model; matrices that the adapter changes become F16. Calls progress and raises as "
        "quantize().");
}
