#include <pybind11/native_enum.h>
#include <pybind11/stl.h>

#include "aspd/layout.h"
#include "bindings.h"

namespace py = pybind11;

void bind_layout(py::module_& m) {
  py::native_enum<aspd::JoinRule>(m, "JoinRule", "enum.Enum", "How positions go on after a join.")
      .value("SUM", aspd::JoinRule::kSum)
      .value("LONGEST", aspd::JoinRule::kLongest)
      .value("LINEAR", aspd::JoinRule::kLinear)
      .value("DROP", aspd::JoinRule::kDrop)
      .finalize();

  py::class_<aspd::Layout>(m, "Layout", "A structured text: four arrays of [n_tokens], in reading order.")
      .def(py::init<>())
      .def(py::init([](std::vector<aspd::Token> token_ids, std::vector<aspd::Pos> positions,
                       std::vector<std::int32_t> block_ids, std::vector<std::int32_t> branch_ids) {
             aspd::Layout layout{std::move(token_ids), std::move(positions), std::move(block_ids),
                                 std::move(branch_ids)};
             layout.validate();
             return layout;
           }),
           py::arg("token_ids"), py::arg("positions"), py::arg("block_ids"), py::arg("branch_ids"),
           "Raises ValueError when the arrays are no layout.")
      .def_readonly("token_ids", &aspd::Layout::token_ids)
      .def_readonly("positions", &aspd::Layout::positions)
      .def_readonly("block_ids", &aspd::Layout::block_ids)
      .def_readonly("branch_ids", &aspd::Layout::branch_ids)
      .def("__len__", &aspd::Layout::size);
  m.def("common_prefix", &aspd::common_prefix, py::arg("a"), py::arg("b"),
        "Leading tokens that two layouts share, never ending inside a block.");
}
