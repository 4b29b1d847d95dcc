// What ends a request early, and many requests in an engine that is too small for them: ids and cells are
// back.
#include <atomic>
#include <chrono>
#include <map>
#include <random>
#include <stdexcept>
#include <thread>

#include "check.h"
#include "driver.h"

using namespace aspd;
using namespace aspd_test;

namespace {

constexpr std::size_t kManySteps = 200;

// Dice that fall alike with every standard library.
struct Dice {
  std::mt19937 random;
  std::size_t below(std::size_t n) { return random() % n; }
  template <typename T>
  T one_of(const std::vector<T>& values) {
    return values[below(values.size())];
  }
};

Request random_request(const Model& model, Dice& dice) {
  std::optional<Protocol> protocol;
  if (dice.below(10) > 0) {
    protocol = control_protocol(model, kJoinRules[dice.below(4)]);
    protocol->plan.min_items = dice.one_of<int>({1, 2, 2});
    protocol->strip_body = dice.below(3) == 0;
    protocol->text_before = dice.one_of<std::string>({"", "{n}. {title}: "});
  }
  const std::string digit = dice.one_of<std::string>({"1", "2", "3", "4"});
  Request wanted =
      request(model, std::string(dice.one_of<std::size_t>({0, 3, 40, 200}), 'x') + " So " + digit,
              std::move(protocol));
  wanted.sampling.temperature = dice.one_of<float>({0.0F, 1.0F, 20.0F});
  wanted.sampling.seed = dice.below(1000);
  wanted.max_tokens = dice.one_of<std::int32_t>({-1, 1, 20, 60});
  wanted.stop = dice.one_of<std::vector<std::string>>({{}, {}, {"p"}, {"xyz", "M"}});
  wanted.plan_always = dice.below(5) == 0;
  wanted.max_branches = dice.one_of<std::int32_t>({2, 16});
  wanted.retain = dice.below(2) == 0;
  wanted.n_logprobs = dice.one_of<std::int32_t>({-1, 0, 3});
  return wanted;
}

// Twelve requests come and go; some are cancelled.
void run_random_requests(const std::shared_ptr<const Model>& model, unsigned seed) {
  Dice dice{std::mt19937(seed)};
  EngineOptions options = exact();
  options.n_ctx = 256;
  options.n_lanes = dice.one_of<std::int32_t>({1, 2, 5, 16});
  options.n_requests = std::min(options.n_lanes, dice.one_of<std::int32_t>({1, 3, 5}));
  options.n_retained = dice.one_of<std::int32_t>({0, 1, 4});
  options.n_batch = dice.one_of<std::int32_t>({16, 64, 512});
  Engine engine(model, options);
  std::map<RequestId, std::vector<Event>> told;
  while (told.size() < 12 || engine.has_work()) {
    if (told.size() < 12 && dice.below(5) == 0) told[engine.submit(random_request(*model, dice))] = {};
    if (!told.empty() && dice.below(50) == 0) engine.cancel(1 + dice.below(told.size()));
    if (!told.empty() && dice.below(10) == 0) {
      engine.cancel_branch(1 + dice.below(told.size()), static_cast<std::int32_t>(dice.below(3)),
                           static_cast<std::int32_t>(dice.below(4)));
    }
    for (Event& event : engine.step()) told.at(event.request).push_back(std::move(event));
    CHECK(engine.cells_in_use() <= engine.n_cells());
  }
  for (const auto& [id, events] : told) {
    REQUIRE(!events.empty() && events.back().kind == EventKind::kDone);
    CHECK_EQ(fold(events), events.back().result->text);
    events.back().result->layout.validate();
  }
  CHECK_EMPTY(engine);
}

}  // namespace

TEST(request_cancelled_at_any_step_gives_everything_back) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  for (const JoinRule rule : kJoinRules) {
    bool over = false;
    for (std::size_t k = 0; k < kManySteps && !over; ++k) {
      const RequestId id = engine.submit(story(*model, rule));
      for (std::size_t step = 0; step < k; ++step) engine.step();
      over = !engine.has_work();
      engine.cancel(id);
      const std::vector<Event> events = run(engine);
      if (!over) CHECK(events.back().result->finish_reason == FinishReason::kCancelled);
      CHECK_EMPTY(engine);
    }
    CHECK(over);
    CHECK_EQ(answer(engine, story(*model, rule))->text, std::string(kStory));
  }
}

TEST(branch_cancelled_at_any_step_ends_and_the_answer_goes_on) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  const auto whole = answer(engine, story(*model, JoinRule::kDrop));
  for (const JoinRule rule : kJoinRules) {
    for (std::int32_t branch = 1; branch <= 3; ++branch) {
      std::size_t n_shorter = 0;
      for (std::size_t k = 0; k < 40; ++k) {
        const RequestId id = engine.submit(story(*model, rule));
        std::vector<Event> events;
        for (std::size_t step = 0; step < k; ++step) {
          for (Event& event : engine.step()) events.push_back(std::move(event));
        }
        engine.cancel_branch(id, 1, branch);
        for (Event& event : run(engine)) events.push_back(std::move(event));
        const Result& result = *events.back().result;
        CHECK_EQ(fold(events), result.text);
        CHECK(result.finish_reason == FinishReason::kStop);
        result.layout.validate();
        REQUIRE(result.blocks.size() == 1 && result.blocks[0].branches.size() == 3);
        for (std::size_t i = 0; i < 3; ++i) {
          const BranchResult& found = result.blocks[0].branches[i];
          const BranchResult& unstopped = whole->blocks[0].branches[i];
          if (found.reason != FinishReason::kCancelled) {
            CHECK_EQ(found.n_tokens, unstopped.n_tokens);
            continue;
          }
          CHECK_EQ(static_cast<std::int32_t>(i) + 1, branch);
          CHECK(found.n_tokens <= unstopped.n_tokens);
          // What is cut does not run into the next branch.
          if (branch < 3 && found.n_tokens > 0) CHECK(result.text.find("\n\n") != std::string::npos);
          n_shorter += found.n_tokens < unstopped.n_tokens ? 1 : 0;
        }
        CHECK_EMPTY(engine);
      }
      CHECK(n_shorter > 0);
    }
    CHECK_EQ(answer(engine, story(*model, rule))->text, std::string(kStory));
  }
}

TEST(branch_cancelled_while_it_waits_for_a_lane_is_empty) {
  const auto model = tiny_model("storyteller");
  EngineOptions options = exact();
  options.n_lanes = 1;
  options.n_requests = 1;
  Engine engine(model, options);
  for (const JoinRule rule : kJoinRules) {
    const RequestId id = engine.submit(story(*model, rule));
    std::vector<Event> events;
    while (events.empty() || events.back().kind != EventKind::kFork) {
      for (Event& event : engine.step()) events.push_back(std::move(event));
    }
    engine.cancel_branch(id, 1, 3);
    for (Event& event : run(engine)) events.push_back(std::move(event));
    const Result& result = *events.back().result;
    CHECK_EQ(fold(events), result.text);
    CHECK_EQ(result.blocks[0].branches[2].n_tokens, std::size_t{0});
    CHECK(result.blocks[0].branches[2].reason == FinishReason::kCancelled);
    CHECK_EQ(result.blocks[0].branches[1].n_tokens > 0, true);
    CHECK(result.finish_reason == FinishReason::kStop);
    CHECK_EMPTY(engine);
  }
}

TEST(request_cut_at_any_length_gives_everything_back) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  for (const JoinRule rule : kJoinRules) {
    for (std::int32_t max_tokens = 1; max_tokens < 40; ++max_tokens) {
      Request wanted = story(*model, rule);
      wanted.max_tokens = max_tokens;
      const std::vector<Event> events = tell(engine, std::move(wanted));
      CHECK_EQ(fold(events), events.back().result->text);
      events.back().result->layout.validate();
      CHECK_EMPTY(engine);
    }
  }
}

TEST(answer_for_which_cells_are_missing_is_serial_or_cut) {
  const auto model = tiny_model("storyteller");
  EngineOptions options = exact();
  options.n_ctx = 256;
  Engine engine(model, options);
  for (const JoinRule rule : kJoinRules) {
    for (std::size_t n_prompt = 152; n_prompt < 256; n_prompt += 3) {
      Request wanted = request(*model, std::string(n_prompt - 1, '!') + "1", control_protocol(*model, rule));
      const auto result = answer(engine, std::move(wanted));
      if (n_prompt < 160) CHECK_EQ(result->text, std::string(kStory));
      if (n_prompt > 200) CHECK(!result->fallback.empty());
      if (n_prompt > 247) CHECK(result->finish_reason == FinishReason::kLength);
      CHECK_EQ(result->blocks.empty(), !result->fallback.empty());
      CHECK_EMPTY(engine);
    }
    CHECK_EQ(answer(engine, story(*model, rule))->text, std::string(kStory));
  }
}

TEST(prompt_longer_than_the_context_says_what_it_needs) {
  const auto model = tiny_model("llama");
  Engine engine(model, exact());
  Request wanted = request(*model, "x");
  wanted.prompt = trunk(std::vector<Token>(512, 32));
  const auto error = thrown<ContextFullError>([&] { engine.submit(wanted); });
  REQUIRE(error.has_value());
  CHECK_EQ(error->needed(), std::size_t{513});
  CHECK_EQ(error->available(), std::size_t{512});
  CHECK_EMPTY(engine);
}

TEST(bad_requests_are_refused_and_the_next_one_is_served) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  const auto refused = [&](const auto& spoil) {
    Request wanted = story(*model, JoinRule::kSum);
    spoil(wanted);
    CHECK_THROWS(engine.submit(wanted), std::invalid_argument);
  };
  refused([](Request& wanted) { wanted.prompt = Layout(); });
  refused([](Request& wanted) { wanted.prompt.token_ids[0] = -1; });
  refused([](Request& wanted) { wanted.prompt.token_ids[0] = 1 << 20; });
  refused([](Request& wanted) { wanted.prompt.positions.pop_back(); });
  refused([](Request& wanted) { wanted.max_tokens = 0; });
  refused([](Request& wanted) { wanted.stop = {""}; });
  refused([](Request& wanted) { wanted.sampling.grammar = "root ::= ("; });
  Request wanted = story(*model, JoinRule::kSum);
  wanted.protocol->plan_close.id = 5;  // an ordinary token
  CHECK_THROWS(engine.submit(wanted), ProtocolError);
  CHECK_EQ(answer(engine, story(*model, JoinRule::kSum))->text, std::string(kStory));
  CHECK_EMPTY(engine);
}

TEST(random_requests_all_end_and_leave_nothing_behind) {
  const auto model = tiny_model("forking");
  for (unsigned seed = 0; seed < 25; ++seed) run_random_requests(model, seed);
}

TEST(request_cancelled_from_another_thread_during_its_prompt_ends) {
  const auto model = tiny_model("llama");
  EngineOptions options = exact();
  options.n_ctx = 2048;
  options.n_batch = 16;
  Engine engine(model, options);
  Request wanted = request(*model, "x");
  wanted.prompt = trunk(std::vector<Token>(1500, 32));
  const RequestId id = engine.submit(wanted);
  (void)engine.step();
  std::thread canceller([&] { engine.cancel(id); });
  const std::vector<Event> events = run(engine);
  canceller.join();
  REQUIRE(events.size() == 1);
  CHECK(events[0].result->finish_reason == FinishReason::kCancelled);
  CHECK_EMPTY(engine);
}

TEST(interrupted_steps_change_nothing) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  std::atomic<bool> over{false};
  std::thread interrupter([&] {
    for (int i = 0; i < 1000 && !over; ++i) {
      engine.interrupt();
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
  });
  for (const JoinRule rule : kJoinRules)
    CHECK_EQ(answer(engine, story(*model, rule))->text, std::string(kStory));
  over = true;
  interrupter.join();
  CHECK_EMPTY(engine);
}

TEST(second_thread_is_refused_while_the_first_one_is_inside) {
  const auto model = tiny_model("llama");
  EngineOptions options = exact();
  options.n_ctx = 2048;
  options.n_batch = 2048;
  Engine engine(model, options);
  const Layout longest = trunk(std::vector<Token>(2000, 32));
  std::atomic<bool> over{false};
  std::thread scorer([&] {
    while (true) {
      try {
        CHECK_EQ(engine.score(longest).size(), std::size_t{2000});
        break;
      } catch (const EngineBusyError&) {
        std::this_thread::yield();  // the other thread was inside first
      }
    }
    over = true;
  });
  bool refused = false;
  while (!over && !refused) {
    try {
      (void)engine.step();
    } catch (const EngineBusyError&) {
      refused = true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  scorer.join();
  CHECK(refused);
  CHECK_EMPTY(engine);
}
