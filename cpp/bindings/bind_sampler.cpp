#include <pybind11/stl.h>

#include "aspd/sampler.h"
#include "aspd/schema.h"
#include "bindings.h"

namespace py = pybind11;

void bind_sampler(py::module_& m) {
  using aspd::SamplingOptions;
  py::class_<SamplingOptions>(m, "SamplingOptions")
      .def(py::init<>())
      .def_readwrite("temperature", &SamplingOptions::temperature)
      .def_readwrite("top_k", &SamplingOptions::top_k)
      .def_readwrite("top_p", &SamplingOptions::top_p)
      .def_readwrite("min_p", &SamplingOptions::min_p)
      .def_readwrite("repeat_penalty", &SamplingOptions::repeat_penalty)
      .def_readwrite("presence_penalty", &SamplingOptions::presence_penalty)
      .def_readwrite("frequency_penalty", &SamplingOptions::frequency_penalty)
      .def_readwrite("penalty_last_n", &SamplingOptions::penalty_last_n)
      .def_readwrite("dry_multiplier", &SamplingOptions::dry_multiplier)
      .def_readwrite("dry_base", &SamplingOptions::dry_base)
      .def_readwrite("dry_allowed_length", &SamplingOptions::dry_allowed_length)
      .def_readwrite("dry_penalty_last_n", &SamplingOptions::dry_penalty_last_n)
      .def_readwrite("dry_sequence_breakers", &SamplingOptions::dry_sequence_breakers)
      .def_readwrite("xtc_probability", &SamplingOptions::xtc_probability)
      .def_readwrite("xtc_threshold", &SamplingOptions::xtc_threshold)
      .def_readwrite("logit_bias", &SamplingOptions::logit_bias)
      .def_readwrite("grammar", &SamplingOptions::grammar)
      .def_readwrite("seed", &SamplingOptions::seed)
      .def("validate", &SamplingOptions::validate, py::arg("n_vocab"),
           "Raises ValueError, naming the field.");
  py::class_<aspd::Likelihood>(m, "Likelihood")
      .def_readonly("token", &aspd::Likelihood::token)
      .def_readonly("logprob", &aspd::Likelihood::logprob)
      .def_readonly("top", &aspd::Likelihood::top);
  m.def("grammar_of_schema", &aspd::grammar_of_schema, py::arg("schema_json"),
        py::call_guard<py::gil_scoped_release>(),
        "GBNF that admits only JSON of a JSON schema. Raises ValueError: no schema, a pattern without a "
        "grammar, or "
        "beyond the limits (aspd/schema.h).");
}
