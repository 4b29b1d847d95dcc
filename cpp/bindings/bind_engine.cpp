#include <pybind11/native_enum.h>
#include <pybind11/stl.h>

#include <iterator>
#include <utility>

#include "aspd/engine.h"
#include "bindings.h"

namespace py = pybind11;

namespace {

// An engine whose long steps look for signals. A step that a signal breaks off changes nothing.
struct PyEngine {
  PyEngine(std::shared_ptr<const aspd::Model> model, aspd::EngineOptions options)
      : engine(std::move(model), std::move(options)) {
    engine.set_poll([] {
      const py::gil_scoped_acquire acquire;
      return PyErr_CheckSignals() == 0;
    });
  }
  aspd::Engine engine;
  std::vector<aspd::Event> kept;  // of a step that a signal broke off: they come with the next
};

// What `call` returns, computed without the GIL. Throws what it throws; a signal's handler that raised goes
// first.
template <typename Call>
auto without_gil(const Call& call) {
  try {
    const py::gil_scoped_release release;
    return call();
  } catch (...) {
    if (PyErr_Occurred() != nullptr) throw py::error_already_set();
    throw;
  }
}

std::vector<aspd::Event> step(PyEngine& self) {
  std::vector<aspd::Event> more = without_gil([&] { return self.engine.step(); });
  std::vector<aspd::Event> events = std::exchange(self.kept, {});
  std::move(more.begin(), more.end(), std::back_inserter(events));
  if (PyErr_Occurred() == nullptr) return events;
  self.kept = std::move(events);
  throw py::error_already_set();
}

// Without the GIL, also when the last reference goes.
struct Release {
  void operator()(PyEngine* engine) const {
    const py::gil_scoped_release release;
    delete engine;
  }
};

using aspd::AskedPart;
using aspd::BlockResult;
using aspd::BranchResult;
using aspd::DraftCheck;
using aspd::EngineOptions;
using aspd::Event;
using aspd::EventKind;
using aspd::FinishReason;
using aspd::Request;
using aspd::Result;
using aspd::Timings;

void bind_options(py::module_& m) {
  m.attr("DEFAULT_CELLS") = aspd::kDefaultCells;
  py::class_<EngineOptions>(m, "EngineOptions")
      .def(py::init<>())
      .def_readwrite("n_ctx", &EngineOptions::n_ctx)
      .def_readwrite("n_lanes", &EngineOptions::n_lanes)
      .def_readwrite("n_requests", &EngineOptions::n_requests)
      .def_readwrite("n_retained", &EngineOptions::n_retained)
      .def_readwrite("n_batch", &EngineOptions::n_batch)
      .def_readwrite("n_threads", &EngineOptions::n_threads)
      .def_readwrite("n_threads_batch", &EngineOptions::n_threads_batch)
      .def_readwrite("flash_attn", &EngineOptions::flash_attn)
      .def_readwrite("cache_type", &EngineOptions::cache_type)
      .def_readwrite("n_outputs_max", &EngineOptions::n_outputs_max)
      .def_readwrite("self_test", &EngineOptions::self_test);

  py::class_<AskedPart>(m, "AskedPart")
      .def(py::init([](std::string title, std::string heading) {
             return AskedPart{std::move(title), std::move(heading)};
           }),
           py::arg("title"), py::arg("heading"))
      .def_readwrite("title", &AskedPart::title)
      .def_readwrite("heading", &AskedPart::heading);
  py::native_enum<DraftCheck>(m, "DraftCheck", "enum.Enum")
      .value("NONE", DraftCheck::kNone)
      .value("LEAD", DraftCheck::kLead)
      .value("CUT", DraftCheck::kCut)
      .value("EXACT", DraftCheck::kExact)
      .finalize();
  py::class_<Request>(m, "Request")
      .def(py::init<>())
      .def_readwrite("prompt", &Request::prompt)
      .def_readwrite("protocol", &Request::protocol)
      .def_readwrite("sampling", &Request::sampling)
      .def_readwrite("max_tokens", &Request::max_tokens)
      .def_readwrite("stop", &Request::stop)
      .def_readwrite("plan_always", &Request::plan_always)
      .def_readwrite("max_branches", &Request::max_branches)
      .def_readwrite("draft_check", &Request::draft_check)
      .def_readwrite("serial_prompt", &Request::serial_prompt)
      .def_readwrite("plan_threshold", &Request::plan_threshold)
      .def_readwrite("question", &Request::question)
      .def_readwrite("asked_parts", &Request::asked_parts)
      .def_readwrite("n_logprobs", &Request::n_logprobs)
      .def_readwrite("retain", &Request::retain)
      .def_readwrite("loop_guard", &Request::loop_guard)
      .def_readwrite("script", &Request::script);
}

void bind_results(py::module_& m) {
  py::native_enum<FinishReason>(m, "FinishReason", "enum.Enum")
      .value("STOP", FinishReason::kStop)
      .value("LENGTH", FinishReason::kLength)
      .value("CANCELLED", FinishReason::kCancelled)
      .value("REJECTED", FinishReason::kRejected)
      .finalize();
  py::native_enum<EventKind>(m, "EventKind", "enum.Enum")
      .value("TEXT", EventKind::kText)
      .value("FORK", EventKind::kFork)
      .value("UNFORK", EventKind::kUnfork)
      .value("END", EventKind::kEnd)
      .value("JOIN", EventKind::kJoin)
      .value("DONE", EventKind::kDone)
      .finalize();

  py::class_<BranchResult>(m, "BranchResult")
      .def_readonly("title", &BranchResult::title)
      .def_readonly("token_ids", &BranchResult::token_ids)
      .def_readonly("span_begin", &BranchResult::span_begin)
      .def_readonly("span_end", &BranchResult::span_end)
      .def_readonly("n_tokens", &BranchResult::n_tokens)
      .def_readonly("reason", &BranchResult::reason);
  py::class_<BlockResult>(m, "BlockResult").def_readonly("branches", &BlockResult::branches);

  py::class_<Timings>(m, "Timings")
      .def_readonly("prompt_tokens", &Timings::prompt_tokens)
      .def_readonly("cached_tokens", &Timings::cached_tokens)
      .def_readonly("trunk_tokens", &Timings::trunk_tokens)
      .def_readonly("plan_tokens", &Timings::plan_tokens)
      .def_readonly("branch_tokens", &Timings::branch_tokens)
      .def_readonly("rewound_tokens", &Timings::rewound_tokens)
      .def_readonly("seed_tokens", &Timings::seed_tokens)
      .def_readonly("steps", &Timings::steps)
      .def_readonly("lanes", &Timings::lanes)
      .def_readonly("padding", &Timings::padding)
      .def_readonly("queue_s", &Timings::queue_s)
      .def_readonly("prompt_s", &Timings::prompt_s)
      .def_readonly("trunk_s", &Timings::trunk_s)
      .def_readonly("plan_s", &Timings::plan_s)
      .def_readonly("branch_s", &Timings::branch_s)
      .def_readonly("join_s", &Timings::join_s)
      .def_readonly("first_token_s", &Timings::first_token_s)
      .def_readonly("total_s", &Timings::total_s)
      .def_readonly("one_lane_s", &Timings::one_lane_s)
      .def_readonly("speedup", &Timings::speedup);

  py::class_<Result, std::shared_ptr<Result>>(m, "Result")
      .def_readonly("text", &Result::text)
      .def_readonly("blocks", &Result::blocks)
      .def_readonly("finish_reason", &Result::finish_reason)
      .def_readonly("fallback", &Result::fallback)
      .def_readonly("stop_match", &Result::stop_match)
      .def_readonly("looped", &Result::looped)
      .def_readonly("from_serial_prompt", &Result::from_serial_prompt)
      .def_readonly("layout", &Result::layout)
      .def_readonly("timings", &Result::timings);

  py::class_<Event>(m, "Event")
      .def_readonly("kind", &Event::kind)
      .def_readonly("request", &Event::request)
      .def_readonly("block", &Event::block)
      .def_readonly("branch", &Event::branch)
      .def_readonly("offset", &Event::offset)
      .def_readonly("text", &Event::text)
      .def_readonly("likelihoods", &Event::likelihoods)
      .def_readonly("titles", &Event::titles)
      .def_readonly("reason", &Event::reason)
      .def_property_readonly(
          "result", [](const Event& event) { return std::const_pointer_cast<Result>(event.result); });
}

}  // namespace

void bind_engine(py::module_& m) {
  bind_options(m);
  bind_results(m);
  py::class_<PyEngine, std::unique_ptr<PyEngine, Release>>(m, "Engine")
      .def(py::init([](std::shared_ptr<aspd::Model> model, EngineOptions options) {
             const py::gil_scoped_release release;
             return std::unique_ptr<PyEngine, Release>(new PyEngine(std::move(model), std::move(options)));
           }),
           py::arg("model"), py::arg("options"), "Raises ModelError, ValueError.")
      .def(
          "submit", [](PyEngine& self, const Request& request) { return self.engine.submit(request); },
          py::arg("request"),
          "Returns the request's id. Raises ValueError, ContextFullError, ProtocolError, EngineBusyError.")
      .def("step", &step,
           "One decode step; the events of it. Raises DecodeError, EngineBusyError, KeyboardInterrupt.")
      .def(
          "cancel", [](PyEngine& self, aspd::RequestId id) { self.engine.cancel(id); }, py::arg("request_id"))
      .def(
          "cancel_branch",
          [](PyEngine& self, aspd::RequestId id, std::int32_t block, std::int32_t branch) {
            self.engine.cancel_branch(id, block, branch);
          },
          py::arg("request_id"), py::arg("block"), py::arg("branch"),
          "The branch writes no more. From any thread; nothing happens where it has ended already.")
      .def(
          "score",
          [](PyEngine& self, const aspd::Layout& layout) {
            return without_gil([&] { return self.engine.score(layout); });
          },
          py::arg("layout"), "Log probability of each token, [n_tokens]; 0 where nothing predicts it.")
      .def(
          "score_tree",
          [](PyEngine& self, std::vector<std::vector<aspd::Token>> nodes,
             std::vector<std::vector<std::int32_t>> parents, std::vector<bool> scored,
             aspd::JoinRule join_rule) {
            const aspd::TextTree texts{std::move(nodes), std::move(parents), std::move(scored)};
            return without_gil([&] { return self.engine.score_tree(texts, join_rule); });
          },
          py::arg("nodes"), py::arg("parents"), py::arg("scored"), py::arg("join_rule"),
          "Log probability of each token of a tree of texts, [n_nodes][n_tokens]; 0 in nodes that are not "
          "scored. Node i goes on from its parents[i]: none, one, or the join of several children of one "
          "node. "
          "join_rule: sum or longest. Raises ValueError, ContextFullError, DecodeError, EngineBusyError.")
      .def(
          "logits",
          [](PyEngine& self, const aspd::Layout& layout) {
            const std::vector<float> rows = without_gil([&] { return self.engine.logits(layout); });
            return py::bytes(reinterpret_cast<const char*>(rows.data()), rows.size() * sizeof(float));
          },
          py::arg("layout"), "Rows of logits after each token: float32 [n_tokens, n_vocab] as bytes.")
      .def(
          "n_retained",
          [](PyEngine& self, const aspd::Layout& layout) { return self.engine.n_retained(layout); },
          py::arg("layout"),
          "How many leading tokens of a layout are the whole of a retained sequence, the longest; 0 if none "
          "is.")
      .def(
          "n_cached", [](PyEngine& self, const aspd::Layout& layout) { return self.engine.n_cached(layout); },
          py::arg("layout"),
          "How many leading tokens of a layout a prompt that begins with it would find in the cache.")
      .def(
          "save_state",
          [](PyEngine& self, const aspd::Layout& layout) {
            const std::vector<std::uint8_t> state = self.engine.save_state(layout);
            return py::bytes(reinterpret_cast<const char*>(state.data()), state.size());
          },
          py::arg("layout"),
          "Cells of the retained sequence that holds exactly this layout; b'' if none does.")
      .def(
          "load_state",
          [](PyEngine& self, const aspd::Layout& layout, const py::bytes& state) {
            const std::string_view bytes = state;
            self.engine.load_state(layout, std::vector<std::uint8_t>(bytes.begin(), bytes.end()));
          },
          py::arg("layout"), py::arg("state"))
      .def("clear_retained", [](PyEngine& self) { self.engine.clear_retained(); })
      .def(
          "set_width_curve",
          [](PyEngine& self, aspd::WidthCurve curve) { self.engine.set_width_curve(std::move(curve)); },
          py::arg("curve"), "What steps and forks are scheduled by from now on; an empty curve: by nothing.")
      .def(
          "measure_step",
          [](PyEngine& self, std::int32_t width, std::int32_t depth, std::int32_t n_steps) {
            return without_gil([&] { return self.engine.measure_step(width, depth, n_steps); });
          },
          py::arg("width"), py::arg("depth"), py::arg("n_steps"),
          "Seconds of each of n_steps decode steps of `width` lanes that share a prefix of `depth` cells, "
          "greedy sampling included: [n_steps]. Raises ValueError, ContextFullError, DecodeError, "
          "EngineBusyError.")
      .def(
          "measure_prompt",
          [](PyEngine& self, std::int32_t n_tokens) {
            return without_gil([&] { return self.engine.measure_prompt(n_tokens); });
          },
          py::arg("n_tokens"),
          "Seconds of one step that reads n_tokens of a prompt. Raises: as measure_step.")
      .def_property_readonly(
          "has_work", [](const PyEngine& self) { return self.engine.has_work() || !self.kept.empty(); })
      .def_property_readonly("can_join", [](const PyEngine& self) { return self.engine.can_join(); })
      .def_property_readonly("cannot_join_reason",
                             [](const PyEngine& self) { return self.engine.cannot_join_reason(); })
      .def_property_readonly("cells_in_use", [](const PyEngine& self) { return self.engine.cells_in_use(); })
      .def_property_readonly("n_cells", [](const PyEngine& self) { return self.engine.n_cells(); })
      .def_property_readonly("sequences_free",
                             [](const PyEngine& self) { return self.engine.sequences_free(); })
      .def_property_readonly("n_sequences", [](const PyEngine& self) { return self.engine.n_sequences(); })
      .def_property_readonly("options", [](const PyEngine& self) { return self.engine.options(); });
}
