// What llama.cpp's failures leave behind: nothing. The linker puts __wrap_llama_process between the engine
// and llama.cpp's llama_process (CMakeLists.txt).
#include <functional>
#include <limits>
#include <new>

#include "check.h"
#include "driver.h"
#include "llama.h"

using namespace aspd;
using namespace aspd_test;

extern "C" {
std::int32_t __real_llama_process(llama_context* context, llama_process_type type, llama_batch_ext* batch);
std::int32_t __wrap_llama_process(llama_context* context, llama_process_type type, llama_batch_ext* batch);
}

namespace {

constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();
constexpr std::size_t kManySteps = 200;

// What happens instead of a call; `call` is the real one.
using Fault = std::function<std::int32_t(const std::function<std::int32_t()>& call)>;

struct Injection {
  std::size_t n_before = kNever;  // calls that go well first
  Fault fault;
} injection;

// The call after n_before others goes wrong, once.
void inject(std::size_t n_before, Fault fault) { injection = {n_before, std::move(fault)}; }
bool is_pending() { return injection.n_before != kNever; }

std::int32_t refuse(const std::function<std::int32_t()>&) { return -1; }
std::int32_t fail_with_full_cells(const std::function<std::int32_t()>& call) { return call() == 0 ? -3 : -1; }
std::int32_t throw_bad_alloc(const std::function<std::int32_t()>&) { throw std::bad_alloc(); }
std::int32_t find_no_cells(const std::function<std::int32_t()>&) { return 1; }
std::int32_t break_off(const std::function<std::int32_t()>&) { return 2; }

struct FaultCase {
  Fault fault;
  int code;  // of the DecodeError
};
const std::vector<FaultCase> kErrors = {{refuse, -1}, {fail_with_full_cells, -3}, {throw_bad_alloc, -4}};

// Steps until llama.cpp fails or nothing is left; the error.
std::optional<DecodeError> run_into_error(Engine& engine) {
  return thrown<DecodeError>([&] { run(engine); });
}

std::size_t count_done(const std::vector<Event>& events) {
  std::size_t n = 0;
  for (const Event& event : events) n += event.kind == EventKind::kDone ? 1 : 0;
  return n;
}

// Every cell of llama.cpp's cache is free, not only those of the ledger: a prompt that needs them all is
// decoded.
void check_all_cells(Engine& engine) {
  Request wanted = request(*engine.model(), "x");
  wanted.prompt = trunk(std::vector<Token>(engine.n_cells() - 1, 40));
  wanted.max_tokens = 1;
  CHECK_EQ(answer(engine, std::move(wanted))->layout.size(), std::size_t{1});
  CHECK_EMPTY(engine);
}

}  // namespace

extern "C" std::int32_t __wrap_llama_process(llama_context* context, llama_process_type type,
                                             llama_batch_ext* batch) {
  if (injection.n_before == kNever || injection.n_before-- > 0)
    return __real_llama_process(context, type, batch);
  const Fault fault = std::move(injection.fault);
  injection = {};
  return fault([&] { return __real_llama_process(context, type, batch); });
}

TEST(step_that_fails_ends_its_request_and_gives_everything_back) {
  const auto model = tiny_model("storyteller");
  EngineOptions options = exact();
  options.n_ctx = 256;
  Engine engine(model, options);
  for (const FaultCase& wrong : kErrors) {
    bool over = false;
    for (std::size_t k = 0; k < kManySteps && !over; ++k) {
      inject(k, wrong.fault);
      Request wanted = story(*model, JoinRule::kSum);
      wanted.retain = true;
      const RequestId id = engine.submit(std::move(wanted));
      const auto error = run_into_error(engine);
      over = is_pending();
      inject(kNever, {});
      if (!over) {
        REQUIRE(error.has_value());
        CHECK_EQ(error->code(), wrong.code);
        const std::vector<Event> events = run(engine);
        REQUIRE(count_done(events) == 1 && events.back().request == id);
        CHECK(events.back().result->finish_reason == FinishReason::kCancelled);
        CHECK_EQ(engine.cells_in_use(), std::size_t{0});  // not even retained: nobody knows what is in them
      }
      CHECK_EMPTY(engine);
    }
    CHECK(over);
    CHECK_EQ(answer(engine, story(*model, JoinRule::kSum))->text, std::string(kStory));
    check_all_cells(engine);
  }
}

TEST(step_that_fails_spares_the_requests_that_wait) {
  const auto model = tiny_model("storyteller");
  EngineOptions options = exact();
  options.n_requests = 2;
  Engine engine(model, options);
  for (int i = 0; i < 4; ++i) engine.submit(story(*model, JoinRule::kSum));
  inject(12, fail_with_full_cells);
  CHECK(run_into_error(engine).has_value());
  std::size_t n_told = 0;
  for (const Event& event : run(engine)) {
    if (event.kind != EventKind::kDone) continue;
    const bool was_in_step = event.result->finish_reason == FinishReason::kCancelled;
    if (!was_in_step) CHECK_EQ(event.result->text, std::string(kStory));
    n_told += was_in_step ? 0 : 1;
  }
  CHECK_EQ(n_told, std::size_t{2});
  CHECK_EMPTY(engine);
}

TEST(step_that_fails_leaves_recurrent_and_encoder_models_usable) {
  for (const std::string name : {"mamba", "lfm2", "t5"}) {
    const auto model = tiny_model(name);
    Engine engine(model, exact());
    Request wanted = request(*model, "Hm so");
    wanted.max_tokens = 8;
    const auto told = answer(engine, wanted);
    CHECK_EMPTY(engine);
    for (const FaultCase& wrong : kErrors) {
      for (std::size_t k = 0; k < 6; ++k) {
        inject(k, wrong.fault);
        engine.submit(wanted);
        const auto error = run_into_error(engine);
        REQUIRE(error.has_value());
        CHECK_EQ(error->code(), wrong.code);
        CHECK_EQ(count_done(run(engine)), std::size_t{1});
        CHECK_EMPTY(engine);
      }
    }
    CHECK(answer(engine, wanted)->layout.token_ids == told->layout.token_ids);
  }
}

TEST(step_that_was_broken_off_is_done_again) {
  for (const std::string name : {"storyteller", "t5"}) {
    const auto model = tiny_model(name);
    Engine engine(model, exact());
    Request wanted = request(*model, kStoryPrompt);
    wanted.max_tokens = 8;
    Request other = request(*model, "No");
    other.max_tokens = 8;
    const std::string text = answer(engine, wanted)->text;
    for (std::size_t k = 0; k < 6; ++k) {
      (void)answer(engine, other);  // what an encoder has read before must not show
      inject(k, break_off);
      CHECK_EQ(answer(engine, wanted)->text, text);
      CHECK(!is_pending());
      CHECK_EMPTY(engine);
    }
  }
}

TEST(step_that_finds_no_cells_makes_the_youngest_of_two_wait) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  for (std::size_t k = 0; k < 12; ++k) {
    engine.submit(story(*model, JoinRule::kSum));
    engine.submit(story(*model, JoinRule::kSum));
    inject(k, find_no_cells);
    std::size_t n_told = 0;
    for (const Event& event : run(engine)) {
      if (event.kind != EventKind::kDone) continue;
      CHECK_EQ(event.result->text, std::string(kStory));
      ++n_told;
    }
    CHECK_EQ(n_told, std::size_t{2});
    CHECK(!is_pending());
    CHECK_EMPTY(engine);
  }
}

TEST(step_that_finds_no_cells_ends_a_request_that_is_alone) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  for (std::size_t k = 0; k < 12; ++k) {
    inject(k, find_no_cells);
    const auto result = answer(engine, story(*model, JoinRule::kSum));
    CHECK(result->finish_reason == FinishReason::kLength);
    CHECK_EMPTY(engine);
  }
  CHECK_EQ(answer(engine, story(*model, JoinRule::kSum))->text, std::string(kStory));
}

TEST(score_that_fails_gives_everything_back) {
  const auto model = tiny_model("llama");
  Engine engine(model, exact());
  const Layout layout = trunk(std::vector<Token>(100, 33));
  const std::vector<float> scores = engine.score(layout);
  inject(2, fail_with_full_cells);
  CHECK_THROWS(engine.score(layout), DecodeError);
  CHECK_EMPTY(engine);
  CHECK(engine.score(layout) == scores);
}

TEST(engine_whose_first_steps_fail_is_not_made) {
  const auto model = tiny_model("llama");
  for (std::size_t k = 0; k < 4; ++k) {
    inject(k, throw_bad_alloc);
    CHECK_THROWS(Engine(model, exact()), DecodeError);
  }
}

TEST(self_test_that_fails_leaves_a_serial_engine) {
  const auto model = tiny_model("storyteller");
  inject(6, fail_with_full_cells);
  Engine engine(model, exact());
  CHECK(!is_pending());
  CHECK(!engine.can_join());
  const auto result = answer(engine, story(*model, JoinRule::kSum));
  CHECK(result->blocks.empty());
  CHECK(result->fallback.find("failed the join test") != std::string::npos);
  CHECK_EMPTY(engine);
}
