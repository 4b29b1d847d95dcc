#include <pybind11/stl.h>

#include "aspd/width_curve.h"
#include "aspd/width_policy.h"
#include "bindings.h"

namespace py = pybind11;

void bind_width(py::module_& m) {
  using aspd::BlockForecast;
  using aspd::StepWidth;
  using aspd::WidthCurve;
  using aspd::WidthPoint;

  py::class_<WidthPoint>(m, "WidthPoint", "A measured decode step: width in lanes, depth in cells, seconds.")
      .def(py::init([](std::int32_t width, std::int32_t depth, double seconds) {
             return WidthPoint{width, depth, seconds};
           }),
           py::arg("width"), py::arg("depth"), py::arg("seconds"))
      .def_readonly("width", &WidthPoint::width)
      .def_readonly("depth", &WidthPoint::depth)
      .def_readonly("seconds", &WidthPoint::seconds);

  py::class_<WidthCurve>(m, "WidthCurve", "Seconds of a decode step by its width and the cells in use.")
      .def(py::init<>())
      .def(py::init<std::vector<WidthPoint>, double>(), py::arg("points"), py::arg("prompt_token_s") = 0.0,
           "Raises ValueError: each depth needs the same widths, 1 among them.")
      .def("seconds", &WidthCurve::seconds, py::arg("width"), py::arg("depth"))
      .def_property_readonly("empty", &WidthCurve::empty)
      .def_property_readonly("max_width", &WidthCurve::max_width)
      .def_property_readonly("prompt_token_s", &WidthCurve::prompt_token_s);

  py::class_<StepWidth>(m, "StepWidth", "Lanes that run, and the width that they are padded to.")
      .def_readonly("lanes", &StepWidth::lanes)
      .def_readonly("width", &StepWidth::width);
  m.def("choose_width", &aspd::choose_width, py::arg("curve"), py::arg("live"), py::arg("least"),
        py::arg("most"), py::arg("depth"),
        "The step that decodes most tokens a second with `live` lanes, `least` of which must move.");

  m.attr("LEAST_GAIN") = aspd::kLeastGain;
  py::class_<BlockForecast>(m, "BlockForecast", "What is known of a block before it is forked.")
      .def(py::init<>())
      .def_readwrite("n_branches", &BlockForecast::n_branches)
      .def_readwrite("seed_tokens", &BlockForecast::seed_tokens)
      .def_readwrite("body_tokens", &BlockForecast::body_tokens)
      .def_readwrite("longest", &BlockForecast::longest)
      .def_readwrite("decoded_again", &BlockForecast::decoded_again)
      .def_readwrite("most", &BlockForecast::most)
      .def_readwrite("depth", &BlockForecast::depth);
  m.def("predicted_gain", &aspd::predicted_gain, py::arg("curve"), py::arg("block"),
        "Seconds of the branches' text written serially / seconds of the block.");
}
