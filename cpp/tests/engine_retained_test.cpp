// What stays in the cache after an answer: the next turn, saved states, and likelihoods of structured texts.
#include <cmath>
#include <map>

#include "check.h"
#include "driver.h"

using namespace aspd;
using namespace aspd_test;

namespace {

// Prompt and answer, as a retained sequence holds them.
Layout held(const Request& wanted, const Result& result) {
  Layout layout = wanted.prompt;
  layout.append(result.layout);
  return layout;
}

// The next turn: what is held, then a few more tokens of the trunk.
Request next_turn(const Model& model, const Layout& before, JoinRule rule) {
  Request wanted = story(model, rule);
  wanted.prompt = before;
  wanted.prompt.append(trunk(model.tokenize(" and: 1", true), before.positions.back() + 1));
  return wanted;
}

Request retained_story(const Model& model, JoinRule rule) {
  Request wanted = story(model, rule);
  wanted.retain = true;
  return wanted;
}

}  // namespace

TEST(next_turn_decodes_only_what_is_new_and_answers_as_without_a_cache) {
  const auto model = tiny_model("forking");
  Engine engine(model, exact());
  Engine fresh(model, exact());
  for (const JoinRule rule : kJoinRules) {
    Request first = request(*model, "So 3", control_protocol(*model, rule));
    first.retain = true;
    const auto result = answer(engine, first);
    REQUIRE(result->blocks.size() == 1);
    const Layout before = held(first, *result);
    CHECK_EQ(engine.cells_in_use(), before.size());
    Request second = next_turn(*model, before, rule);
    second.max_tokens = 40;
    const auto cached = answer(engine, second);
    const auto anew = answer(fresh, second);
    CHECK_EQ(cached->timings.cached_tokens, static_cast<std::int64_t>(before.size()));
    CHECK_EQ(anew->timings.cached_tokens, std::int64_t{0});
    CHECK_EQ(cached->text, anew->text);
    CHECK_EQ(cached->layout.token_ids, anew->layout.token_ids);
    CHECK_EMPTY(engine);
    CHECK_EMPTY(fresh);
  }
}

TEST(answer_with_a_cancelled_branch_is_gone_on_from_as_without_a_cache) {
  const auto model = tiny_model("forking");
  Engine engine(model, exact());
  Engine fresh(model, exact());
  for (const JoinRule rule : kJoinRules) {
    Request first = request(*model, "So 3", control_protocol(*model, rule));
    first.retain = true;
    const RequestId id = engine.submit(first);
    std::vector<Event> events;
    while (events.empty() || events.back().kind != EventKind::kFork) {
      for (Event& event : engine.step()) events.push_back(std::move(event));
    }
    engine.step();
    engine.cancel_branch(id, 1, 1);
    const auto result = run(engine).back().result;
    REQUIRE(result->blocks.size() == 1);
    CHECK(result->blocks[0].branches[0].reason == FinishReason::kCancelled);
    Request second = next_turn(*model, held(first, *result), rule);
    second.max_tokens = 40;
    const auto cached = answer(engine, second);
    const auto anew = answer(fresh, second);
    CHECK(cached->timings.cached_tokens > static_cast<std::int64_t>(first.prompt.size()));
    CHECK_EQ(cached->text, anew->text);
    CHECK_EQ(cached->layout.token_ids, anew->layout.token_ids);
    CHECK_EMPTY(engine);
    CHECK_EMPTY(fresh);
  }
}

TEST(turn_that_differs_in_its_end_shares_the_beginning) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  Request first = request(*model, "The same beginning 1", control_protocol(*model, JoinRule::kSum));
  first.retain = true;
  answer(engine, first);
  Request second = request(*model, "The same beginning, then another end");
  second.max_tokens = 5;
  second.retain = true;
  CHECK(answer(engine, second)->timings.cached_tokens >= 5);
  CHECK_EQ(answer(engine, first)->text, std::string(kStory));
  CHECK_EMPTY(engine);
}

TEST(no_more_answers_are_retained_than_wanted) {
  const auto model = tiny_model("storyteller");
  EngineOptions options = exact();
  options.n_retained = 2;
  Engine engine(model, options);
  for (const char* prompt : {"a 1", "b 1", "c 1", "d 1"}) {
    Request wanted = request(*model, prompt, control_protocol(*model, JoinRule::kLongest));
    wanted.retain = true;
    CHECK_EQ(answer(engine, std::move(wanted))->text, std::string(kStory));
  }
  CHECK_EQ(engine.sequences_free(), engine.n_sequences() - 2);
  CHECK_EMPTY(engine);
}

namespace {

// Asks one question and keeps its answer. How many tokens of its prompt were found in the cache.
std::size_t n_found(Engine& engine, const Model& model, const std::string& prompt) {
  Request wanted = request(model, prompt);
  wanted.max_tokens = 2;
  wanted.retain = true;
  return static_cast<std::size_t>(answer(engine, std::move(wanted))->timings.cached_tokens);
}

EngineOptions with_retained(std::int32_t n) {
  EngineOptions options = exact();
  options.n_retained = n;
  return options;
}

}  // namespace

TEST(what_is_dear_to_read_outlives_what_is_cheap) {
  const auto model = tiny_model("llama");
  Engine engine(model, with_retained(3));
  const std::string dear(100, 'x');
  CHECK_EQ(n_found(engine, *model, dear + "1"), std::size_t{0});
  for (const char* cheap : {"a 1", "b 1", "c 1", "d 1", "e 1"}) (void)n_found(engine, *model, cheap);
  CHECK(n_found(engine, *model, dear + "2") >= 100);
  CHECK_EMPTY(engine);
}

TEST(what_others_hold_too_is_cheap) {
  const auto model = tiny_model("llama");
  Engine engine(model, with_retained(3));
  const std::string dear(100, 'x');
  for (const char* end : {"1", "2", "3", "4", "5", "6"}) (void)n_found(engine, *model, dear + end);
  (void)n_found(engine, *model, "another one of some length");
  for (const char* end : {"7", "8"}) CHECK(n_found(engine, *model, dear + end) >= 100);
  CHECK(n_found(engine, *model, "another one of some length") > 10);
}

TEST(what_is_dear_goes_when_it_is_not_used_for_long) {
  const auto model = tiny_model("llama");
  Engine engine(model, with_retained(3));
  const std::string dear(100, 'x');
  (void)n_found(engine, *model, dear + "1");
  for (int i = 0; i < 40; ++i)
    (void)n_found(engine, *model, std::string(10, static_cast<char>('a' + i % 20)) + "!");
  CHECK(n_found(engine, *model, dear + "2") < 5);
}

TEST(the_two_answers_used_last_stay_whatever_they_cost) {
  const auto model = tiny_model("llama");
  Engine engine(model, with_retained(4));
  for (const char letter : {'v', 'w', 'x', 'y'}) (void)n_found(engine, *model, std::string(80, letter));
  CHECK_EQ(n_found(engine, *model, "a 1"), std::size_t{0});
  CHECK_EQ(n_found(engine, *model, "b 1"), std::size_t{0});
  CHECK(n_found(engine, *model, "a 1, and on") >= 3);
  CHECK(n_found(engine, *model, "b 1, and on") >= 3);
}

TEST(saved_state_of_a_joined_answer_goes_on_in_another_engine) {
  const auto model = tiny_model("storyteller");
  for (const JoinRule rule : kJoinRules) {
    Engine engine(model, exact());
    const Request first = retained_story(*model, rule);
    const Layout before = held(first, *answer(engine, first));
    const std::vector<std::uint8_t> state = engine.save_state(before);
    REQUIRE(!state.empty());
    Engine other(model, exact());
    other.load_state(before, state);
    CHECK_EQ(other.cells_in_use(), before.size());
    const auto restored = answer(other, next_turn(*model, before, rule));
    const auto straight = answer(engine, next_turn(*model, before, rule));
    CHECK_EQ(restored->timings.cached_tokens, static_cast<std::int64_t>(before.size()));
    CHECK_EQ(restored->text, straight->text);
    CHECK_EMPTY(engine);
    CHECK_EMPTY(other);
  }
}

TEST(beginning_of_a_retained_sequence_is_saved_too) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  const Request first = retained_story(*model, JoinRule::kSum);
  const Layout whole = held(first, *answer(engine, first));
  Layout part = first.prompt;
  part.truncate(part.size() - 2);
  const std::size_t used = engine.cells_in_use();
  const std::vector<std::uint8_t> state = engine.save_state(part);
  REQUIRE(!state.empty());
  CHECK_EQ(engine.cells_in_use(), used);
  Engine other(model, exact());
  other.load_state(part, state);
  CHECK_EQ(other.cells_in_use(), part.size());
  const auto again = answer(other, first);
  CHECK_EQ(again->timings.cached_tokens, static_cast<std::int64_t>(part.size()));
  CHECK_EQ(again->text, std::string(kStory));
}

TEST(state_that_does_not_fit_is_refused_and_leaves_nothing_behind) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  const Request first = retained_story(*model, JoinRule::kSum);
  const Layout before = held(first, *answer(engine, first));
  std::vector<std::uint8_t> state = engine.save_state(before);
  CHECK(engine.save_state(trunk({1, 2, 3})).empty());
  engine.clear_retained();
  CHECK_THROWS(engine.load_state(trunk({1, 2, 3}), state), Error);
  CHECK_THROWS(engine.load_state(before, {}), Error);
  CHECK_THROWS(engine.load_state(trunk(std::vector<Token>(513, 32)), state), ContextFullError);
  CHECK_THROWS(engine.load_state(Layout(), state), std::invalid_argument);
  CHECK_EQ(engine.cells_in_use(), std::size_t{0});
  for (std::size_t n = 1; n < state.size(); n += 1 + state.size() / 20) {
    const auto cut = static_cast<std::ptrdiff_t>(state.size() - n);
    CHECK_THROWS(engine.load_state(before, {state.begin(), state.begin() + cut}), Error);
    CHECK_EQ(engine.cells_in_use(), std::size_t{0});
  }
  CHECK_EQ(answer(engine, story(*model, JoinRule::kSum))->text, std::string(kStory));
  CHECK_EMPTY(engine);
}

TEST(score_is_the_log_softmax_of_the_logits) {
  const auto model = tiny_model("llama");
  Engine engine(model, exact());
  const Layout layout = trunk(model->tokenize("The winter is in the hall", true));
  const std::vector<float> scores = engine.score(layout);
  const std::vector<float> logits = engine.logits(layout);
  const auto n_vocab = static_cast<std::size_t>(model->n_vocab());
  REQUIRE(scores.size() == layout.size() && logits.size() == layout.size() * n_vocab);
  for (std::size_t i = 1; i < layout.size(); ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < n_vocab; ++j)
      sum += std::exp(static_cast<double>(logits[(i - 1) * n_vocab + j]));
    const double logit = logits[(i - 1) * n_vocab + static_cast<std::size_t>(layout.token_ids[i])];
    CHECK(std::abs(logit - std::log(sum) - static_cast<double>(scores[i])) < 1e-4);
  }
  CHECK_EMPTY(engine);
}

TEST(joined_answer_is_scored_as_it_was_decoded) {
  const auto model = tiny_model("forking");
  Engine engine(model, exact());
  for (const JoinRule rule : {JoinRule::kSum, JoinRule::kLongest}) {
    const Request first = request(*model, "So 4", control_protocol(*model, rule));
    const auto result = answer(engine, first);
    REQUIRE(result->blocks.size() == 1);
    const Layout before = held(first, *result);
    const std::vector<float> scores = engine.score(before);
    CHECK_EQ(scores.size(), before.size());
    for (const float score : scores) CHECK(score <= 0 && score > -100);
    CHECK_EMPTY(engine);
  }
}

// --- prompts that others are reading or have read --------------------------------------------------------

namespace {

Request long_request(const Model& model, const std::string& ending) {
  std::string text = "So 3";
  for (int i = 0; i < 20; ++i) text += " and: 1";
  Request wanted = request(model, text + ending, control_protocol(model, JoinRule::kLongest));
  wanted.retain = false;
  return wanted;
}

// All results, by request id.
std::map<RequestId, std::shared_ptr<const Result>> results(const std::vector<Event>& events) {
  std::map<RequestId, std::shared_ptr<const Result>> found;
  for (const Event& event : events) {
    if (event.kind == EventKind::kDone) found[event.request] = event.result;
  }
  return found;
}

}  // namespace

TEST(same_prompt_is_read_once_for_all_who_ask_it) {
  const auto model = tiny_model("forking");
  Engine engine(model, exact());
  Engine fresh(model, exact());
  const Request wanted = long_request(*model, "");
  const auto alone = answer(fresh, wanted);
  REQUIRE(alone->blocks.size() == 1);
  for (int i = 0; i < 4; ++i) engine.submit(wanted);
  const auto found = results(run(engine));
  REQUIRE(found.size() == 4);
  const auto n_prompt = static_cast<std::int64_t>(wanted.prompt.size());
  for (const auto& [id, result] : found) {
    CHECK_EQ(result->timings.cached_tokens, id == found.begin()->first ? 0 : n_prompt - 1);
    CHECK_EQ(result->text, alone->text);
    CHECK_EQ(result->layout.token_ids, alone->layout.token_ids);
  }
  CHECK_EMPTY(engine);
  CHECK_EMPTY(fresh);
}

TEST(prompt_goes_on_from_what_another_answer_has_of_it) {
  const auto model = tiny_model("forking");
  Engine fresh(model, exact());
  const Request first = long_request(*model, "");
  const Request second = long_request(*model, " and: 1");
  const std::size_t shared = common_prefix(first.prompt, second.prompt);
  REQUIRE(shared > 20 && shared < second.prompt.size());
  const auto alone = answer(fresh, second);
  // Asked while the first is read, in its trunk, in its block, behind it.
  for (int n_steps = 0; n_steps < 30; ++n_steps) {
    Engine engine(model, exact());
    const RequestId first_id = engine.submit(first);
    std::vector<Event> events;
    for (int i = 0; i < n_steps; ++i) {
      for (Event& event : engine.step()) events.push_back(std::move(event));
    }
    const bool over = !engine.has_work();
    const RequestId second_id = engine.submit(second);
    for (Event& event : run(engine)) events.push_back(std::move(event));
    const auto found = results(events);
    CHECK_EQ(found.at(first_id)->text, answer(fresh, first)->text);
    CHECK_EQ(found.at(second_id)->text, alone->text);
    CHECK_EQ(found.at(second_id)->layout.token_ids, alone->layout.token_ids);
    CHECK_EQ(found.at(second_id)->timings.cached_tokens, over ? 0 : static_cast<std::int64_t>(shared));
    CHECK_EMPTY(engine);
  }
}

TEST(who_waits_for_a_prompt_is_served_when_its_reader_leaves) {
  const auto model = tiny_model("forking");
  EngineOptions options = exact();
  options.n_batch = 16;  // the prompt takes many steps
  Engine engine(model, options);
  Engine fresh(model, options);
  const Request wanted = long_request(*model, "");
  const auto alone = answer(fresh, wanted);
  for (int n_steps = 1; n_steps < 6; ++n_steps) {
    const RequestId first = engine.submit(wanted);
    const RequestId second = engine.submit(wanted);
    std::vector<Event> events;
    for (int i = 0; i < n_steps; ++i) {
      for (Event& event : engine.step()) events.push_back(std::move(event));
    }
    engine.cancel(first);
    for (Event& event : run(engine)) events.push_back(std::move(event));
    const auto found = results(events);
    CHECK(found.at(first)->finish_reason == FinishReason::kCancelled);
    CHECK_EQ(found.at(second)->text, alone->text);
    CHECK_EMPTY(engine);
  }
}
