#include <pybind11/stl.h>

#include "aspd/backend.h"
#include "bindings.h"

namespace py = pybind11;

void bind_backend(py::module_& m) {
  m.def(
      "drain_log",
      [] {
        std::vector<std::pair<int, py::str>> lines;  // a line may quote a file
        for (const aspd::LogLine& line : aspd::drain_log()) lines.emplace_back(line.level, to_str(line.text));
        return lines;
      },
      "Lines that llama.cpp logged since the last call: (level as in logging, text).");
  m.def("build_info", [] {
    aspd::start_backend();
    return aspd::build_info();
  });
  m.def("gpu_devices", &aspd::gpu_devices, "Names of the GPUs that this build can use.");
  m.def("missing_gpu", &aspd::missing_gpu,
        "Why a build for GPUs has none here; empty: it has one, or is for CPUs alone.");
  m.def(
      "physical_cores", &aspd::physical_cores,
      "Performance cores that this process may use, hyper-threads counted once, no more than control groups "
      "allow: the default of both thread counts.");
  m.def("has_position_gaps", &aspd::has_position_gaps,
        "Whether this build's llama.cpp allows the join rule 'sum'.");
}
