// Scheduling by a width curve: nobody sees it in an answer, and nothing is left behind in the cache.
#include "aspd/errors.h"
#include "check.h"
#include "driver.h"

using namespace aspd;
using namespace aspd_test;

namespace {

WidthCurve curve(const std::vector<double>& seconds) {
  std::vector<WidthPoint> points;
  for (std::size_t i = 0; i < seconds.size(); ++i)
    points.push_back({static_cast<std::int32_t>(i) + 1, 100, seconds[i]});
  return {points, 0.001};
}

const WidthCurve kEdgeAtFour = curve({1, 1.9, 2.4, 1.6});
const WidthCurve kCliffAfterTwo = curve({1, 1.01, 9, 10});
const WidthCurve kLinear = curve({1, 2, 3, 4});

}  // namespace

TEST(padding_and_waiting_change_no_answer) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  for (const JoinRule rule : kJoinRules) {
    engine.set_width_curve({});
    const auto plain = answer(engine, story(*model, rule));
    CHECK_EQ(plain->timings.padding, std::int64_t{0});
    for (const WidthCurve& curve : {kEdgeAtFour, kCliffAfterTwo}) {
      engine.set_width_curve(curve);
      const auto scheduled = answer(engine, story(*model, rule));
      CHECK_EQ(scheduled->text, plain->text);
      CHECK(scheduled->layout.token_ids == plain->layout.token_ids);
      CHECK(scheduled->layout.positions == plain->layout.positions);
      CHECK_EMPTY(engine);
    }
  }
}

TEST(three_branches_are_padded_to_a_bargain_of_four) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  engine.set_width_curve(kEdgeAtFour);
  CHECK(answer(engine, story(*model, JoinRule::kSum))->timings.padding > 0);
}

TEST(branches_take_turns_before_a_cliff) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  const auto all = answer(engine, story(*model, JoinRule::kSum));
  engine.set_width_curve(kCliffAfterTwo);
  const auto turns = answer(engine, story(*model, JoinRule::kSum));
  CHECK_EQ(turns->text, all->text);
  CHECK(turns->timings.steps > all->timings.steps);
}

TEST(a_plan_that_would_not_pay_is_serial_and_says_so) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  engine.set_width_curve(kLinear);
  Request wanted = story(*model, JoinRule::kSum);
  const auto serial = answer(engine, wanted);
  CHECK(serial->blocks.empty());
  CHECK(serial->fallback.find("would not pay") != std::string::npos);
  CHECK_EMPTY(engine);
}

TEST(measured_steps_leave_nothing_behind) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  for (const std::int32_t width : {1, 2, 5, 16}) {
    const std::vector<double> times = engine.measure_step(width, 20, 3);
    CHECK_EQ(times.size(), std::size_t{3});
    for (const double seconds : times) CHECK(seconds > 0);
    CHECK_EQ(engine.cells_in_use(), std::size_t{20});  // the prefix, for the next measurement
  }
  engine.clear_retained();
  CHECK_EMPTY(engine);
  CHECK(engine.measure_prompt(30) > 0);
  CHECK_EMPTY(engine);
}

TEST(measure_refuses_what_it_cannot_measure) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  CHECK_THROWS(engine.measure_step(0, 10, 1), std::invalid_argument);
  CHECK_THROWS(engine.measure_step(17, 10, 1), std::invalid_argument);
  CHECK_THROWS(engine.measure_step(1, 0, 1), std::invalid_argument);
  CHECK_THROWS(engine.measure_step(1, 10, 0), std::invalid_argument);
  CHECK_THROWS(engine.measure_step(16, 500, 10), ContextFullError);
  CHECK_THROWS(engine.measure_prompt(0), std::invalid_argument);
  engine.submit(story(*model, JoinRule::kSum));
  CHECK_THROWS(engine.measure_step(1, 10, 1), std::invalid_argument);
  run(engine);
  CHECK_EMPTY(engine);
}

TEST(a_script_is_written_whatever_is_sampled) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  const auto told = answer(engine, story(*model, JoinRule::kSum));
  REQUIRE(told->blocks.size() == 1);
  Request again = story(*model, JoinRule::kSum);
  again.sampling.temperature = 100;  // as good as random
  again.sampling.top_k = 0;
  again.sampling.top_p = 1;
  again.sampling.min_p = 0;
  again.script.emplace_back();
  // Of the trunk: all that is neither a seed nor a branch. Of a branch: what follows its seed.
  const Protocol protocol = *again.protocol;
  const std::size_t n_join_seed = 1;
  bool joined = false;
  for (std::size_t i = 0; i < told->layout.size(); ++i) {
    if (told->layout.block_ids[i] != 0) {
      joined = true;
      continue;
    }
    if (joined && again.script[0].size() > 0 && told->layout.block_ids[i - 1] != 0) {
      i += n_join_seed - 1;
      continue;
    }
    again.script[0].push_back(told->layout.token_ids[i]);
  }
  for (const BranchResult& branch : told->blocks[0].branches) {
    const std::size_t n_body = branch.n_tokens + 1;  // and its closing marker
    again.script.emplace_back(branch.token_ids.end() - static_cast<std::ptrdiff_t>(n_body),
                              branch.token_ids.end());
  }
  again.max_tokens = static_cast<std::int32_t>(again.script[0].size());
  for (std::size_t i = 1; i < again.script.size(); ++i)
    again.max_tokens += static_cast<std::int32_t>(again.script[i].size());
  CHECK_EQ(answer(engine, again)->text, told->text);
}
