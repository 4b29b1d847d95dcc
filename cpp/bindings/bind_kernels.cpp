#include <pybind11/stl.h>

#include "aspd/backend.h"
#include "bindings.h"
#include "narrow.h"

namespace py = pybind11;

void bind_kernels(py::module_& m) {
  using aspd::kernels::ProductTimes;

  m.def("kernels", &aspd::kernels::in_use,
        "Instruction set of our kernels for narrow steps; empty: this build or processor has none, or they "
        "are off.");
  m.def("enable_kernels", &aspd::kernels::enable, py::arg("on"),
        "Turns our kernels off or on again, for comparisons. Not while an engine steps.");
  m.def("has_kernel", &aspd::kernels::has_kernel, py::arg("type"), py::arg("repacked"),
        "Whether weights of a type, as ggml names it, have a kernel of ours.");
  py::class_<ProductTimes>(m, "ProductTimes", "Timed matrix products.")
      .def_readonly("type", &ProductTimes::type)
      .def_readonly("repacked", &ProductTimes::repacked)
      .def_readonly("weight_bytes", &ProductTimes::weight_bytes)
      .def_readonly("seconds", &ProductTimes::seconds);
  m.def(
      "time_products",
      [](const std::string& type, bool repack, std::int64_t n_rows, std::int64_t k, std::int32_t n_matrices,
         std::int32_t width, std::int32_t n_threads, std::int32_t n_times) {
        const py::gil_scoped_release release;
        aspd::start_backend();
        return aspd::kernels::time_products(type, repack, n_rows, k, n_matrices, width, n_threads, n_times);
      },
      py::arg("type"), py::kw_only(), py::arg("repack"), py::arg("n_rows"), py::arg("k"),
      py::arg("n_matrices"), py::arg("width"), py::arg("n_threads"), py::arg("n_times"),
      "Seconds of n_times products of n_matrices random matrices of n_rows x k, one after the other, with "
      "`width` rows "
      "on the right. Raises ValueError.");
  m.def(
      "time_attention",
      [](const std::string& type, std::int64_t n_lanes, std::int64_t n_heads, std::int64_t n_cached,
         std::int64_t dk, std::int64_t dv, std::int64_t n_cells, std::int32_t n_layers,
         std::int32_t n_threads, std::int32_t n_times) {
        const py::gil_scoped_release release;
        aspd::start_backend();
        return aspd::kernels::time_attention({type, n_lanes, n_heads, n_cached, dk, dv, n_cells}, n_layers,
                                             n_threads, n_times);
      },
      py::arg("type"), py::kw_only(), py::arg("n_lanes"), py::arg("n_heads"), py::arg("n_cached"),
      py::arg("dk"), py::arg("dv"), py::arg("n_cells"), py::arg("n_layers"), py::arg("n_threads"),
      py::arg("n_times"),
      "Seconds of the flash attention of n_lanes lanes with n_heads heads each to n_cells cells of a cache "
      "with "
      "n_cached heads, in n_layers layers one after the other; [n_times]. Raises ValueError.");
  m.def("read_bandwidth", &aspd::kernels::read_bandwidth, py::arg("n_bytes"), py::arg("n_threads"),
        py::call_guard<py::gil_scoped_release>(),
        "Bytes per second that n_threads read together from memory. Raises ValueError.");
  m.def(
      "product",
      [](const std::string& type, bool repack, const std::vector<float>& weights, const std::vector<float>& x,
         std::int64_t n_rows, std::int64_t k, std::int32_t n_threads) {
        const py::gil_scoped_release release;
        aspd::start_backend();
        return aspd::kernels::product(type, repack, weights, x, n_rows, k, n_threads);
      },
      py::arg("type"), py::kw_only(), py::arg("repack"), py::arg("weights"), py::arg("x"), py::arg("n_rows"),
      py::arg("k"), py::arg("n_threads"),
      "[n * n_rows]: products of x, [n * k], with weights, [n_rows * k], quantised to a type. Raises "
      "ValueError.");
}
