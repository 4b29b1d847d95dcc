#include <pybind11/native_enum.h>
#include <pybind11/stl.h>

#include "aspd/parser.h"
#include "aspd/protocol.h"
#include "bindings.h"

namespace py = pybind11;

void bind_protocol(py::module_& m) {
  using aspd::ListRules;
  using aspd::Marker;
  using aspd::PlanRules;
  using aspd::Protocol;
  using aspd::SeedPart;

  py::class_<Marker>(m, "Marker", "A CONTROL token (token_id >= 0) or a text (token_id -1).")
      .def(py::init([](std::string text, aspd::Token id) { return Marker{std::move(text), id}; }),
           py::arg("text") = "", py::arg("token_id") = -1)
      .def_readwrite("text", &Marker::text)
      .def_readwrite("token_id", &Marker::id);

  py::native_enum<SeedPart::Kind>(m, "SeedKind", "enum.Enum")
      .value("TEXT", SeedPart::Kind::kText)
      .value("MARKER", SeedPart::Kind::kMarker)
      .value("TITLE", SeedPart::Kind::kTitle)
      .value("NUMBER", SeedPart::Kind::kNumber)
      .finalize();

  py::class_<SeedPart>(m, "SeedPart")
      .def(py::init([](SeedPart::Kind kind, std::string text, Marker marker) {
             return SeedPart{kind, std::move(text), std::move(marker)};
           }),
           py::arg("kind"), py::arg("text") = "", py::arg_v("marker", Marker{}, "Marker()"))
      .def_readonly("kind", &SeedPart::kind)
      .def_readonly("text", &SeedPart::text)
      .def_readonly("marker", &SeedPart::marker);

  py::class_<PlanRules>(m, "PlanRules")
      .def(py::init<>())
      .def_readwrite("min_items", &PlanRules::min_items)
      .def_readwrite("max_items", &PlanRules::max_items)
      .def_readwrite("max_words", &PlanRules::max_words)
      .def_readwrite("max_bytes", &PlanRules::max_bytes)
      .def_readwrite("forbid_list_marks", &PlanRules::forbid_list_marks);

  py::class_<ListRules>(m, "ListRules", "What counts as a list of the model's own; see aspd_local.protocol.")
      .def(py::init<>())
      .def_readwrite("bullets", &ListRules::bullets)
      .def_readwrite("number_ends", &ListRules::number_ends)
      .def_readwrite("emphasis", &ListRules::emphasis)
      .def_readwrite("lead_ends", &ListRules::lead_ends)
      .def_readwrite("elision", &ListRules::elision)
      .def_readwrite("min_items", &ListRules::min_items)
      .def_readwrite("max_items", &ListRules::max_items)
      .def_readwrite("max_words", &ListRules::max_words)
      .def_readwrite("max_bytes", &ListRules::max_bytes)
      .def_readwrite("separator", &ListRules::separator)
      .def_readwrite("ready_items", &ListRules::ready_items)
      .def_readwrite("min_mark", &ListRules::min_mark)
      .def_readwrite("min_first_mark", &ListRules::min_first_mark)
      .def_readwrite("max_order", &ListRules::max_order)
      .def_readwrite("max_tail", &ListRules::max_tail)
      .def_readwrite("least_end", &ListRules::least_end)
      .def_readwrite("least_lead", &ListRules::least_lead)
      .def_readwrite("least_window", &ListRules::least_window)
      .def_readwrite("window", &ListRules::window);

  py::class_<Protocol>(m, "Protocol", "Markers and rules as the engine uses them; see aspd_local.protocol.")
      .def(py::init<>())
      .def_readwrite("name", &Protocol::name)
      .def_readwrite("lists", &Protocol::lists)
      .def_readwrite("text_markers", &Protocol::text_markers)
      .def_readwrite("plan_open", &Protocol::plan_open)
      .def_readwrite("item_open", &Protocol::item_open)
      .def_readwrite("item_close", &Protocol::item_close)
      .def_readwrite("plan_close", &Protocol::plan_close)
      .def_readwrite("plan", &Protocol::plan)
      .def_readwrite("branch_seed", &Protocol::branch_seed)
      .def_readwrite("branch_close", &Protocol::branch_close)
      .def_readwrite("join_seed", &Protocol::join_seed)
      .def_readwrite("join_rule", &Protocol::join_rule)
      .def_readwrite("ends_with_block", &Protocol::ends_with_block)
      .def_property_readonly("decodes_again", &Protocol::decodes_again,
                             "Whether the text of branches is decoded once more, after the join.")
      .def_readwrite("banned_in_trunk", &Protocol::banned_in_trunk)
      .def_readwrite("banned_in_plan", &Protocol::banned_in_plan)
      .def_readwrite("banned_in_branch", &Protocol::banned_in_branch)
      .def_readwrite("banned_after_join", &Protocol::banned_after_join)
      .def_readwrite("max_blocks", &Protocol::max_blocks)
      .def_readwrite("branch_tokens", &Protocol::branch_tokens)
      .def_readwrite("text_before", &Protocol::text_before)
      .def_readwrite("strip_body", &Protocol::strip_body);

  m.def(
      "plan_fault",
      [](const std::vector<std::string>& titles, const PlanRules& rules, int max_branches) {
        return aspd::plan_fault(titles, rules, max_branches);
      },
      py::arg("titles"), py::arg("rules"), py::arg("max_branches"),
      "Why these titles cannot be forked; '' if they can.");
}
