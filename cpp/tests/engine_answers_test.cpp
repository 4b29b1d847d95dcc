// What the engine answers: blocks under every join rule, steps back, stop strings, sampling.
#include <algorithm>
#include <limits>
#include <map>

#include "check.h"
#include "driver.h"

using namespace aspd;
using namespace aspd_test;

namespace {

std::size_t count(const std::vector<Event>& events, EventKind kind) {
  return static_cast<std::size_t>(
      std::count_if(events.begin(), events.end(), [&](const Event& event) { return event.kind == kind; }));
}

}  // namespace

TEST(story_is_told_in_three_branches_under_every_join_rule) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  REQUIRE(engine.can_join());
  for (const JoinRule rule : kJoinRules) {
    const std::vector<Event> events = tell(engine, story(*model, rule));
    const Result& result = *events.back().result;
    CHECK_EQ(result.text, std::string(kStory));
    CHECK_EQ(fold(events), result.text);
    CHECK_EQ(result.fallback, std::string());
    CHECK(result.finish_reason == FinishReason::kStop);
    REQUIRE(result.blocks.size() == 1 && result.blocks[0].branches.size() == 3);
    CHECK_EQ(result.blocks[0].branches[1].title, std::string("b"));
    CHECK_EQ(result.blocks[0].branches[1].span_begin, std::size_t{5});  // code points
    CHECK_EQ(result.blocks[0].branches[1].span_end, std::size_t{11});
    CHECK_EQ(count(events, EventKind::kFork), std::size_t{1});
    CHECK_EQ(count(events, EventKind::kEnd), std::size_t{3});
    CHECK_EQ(count(events, EventKind::kJoin), std::size_t{1});
    CHECK(result.timings.lanes > result.timings.steps);
    result.layout.validate();
    CHECK_EMPTY(engine);
  }
}

TEST(branches_of_one_lane_at_a_time_tell_the_same_story) {
  const auto model = tiny_model("storyteller");
  EngineOptions options = exact();
  options.n_lanes = 1;
  options.n_requests = 1;
  Engine engine(model, options);
  for (const JoinRule rule : kJoinRules) {
    const auto result = answer(engine, story(*model, rule));
    CHECK_EQ(result->text, std::string(kStory));
    CHECK_EQ(result->timings.lanes, result->timings.steps);
    CHECK_EMPTY(engine);
  }
}

TEST(lanes_sampled_on_several_threads_tell_the_same_story) {
  const auto model = tiny_model("storyteller");
  Engine one(model, exact());
  EngineOptions options = exact();
  options.n_threads_batch = 3;
  Engine several(model, options);
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    Request wanted = story(*model, JoinRule::kSum);
    wanted.sampling.temperature = 0.5F;
    wanted.sampling.seed = seed;
    CHECK_EQ(answer(several, wanted)->text, answer(one, wanted)->text);
  }
  CHECK_EMPTY(several);
}

TEST(linear_reads_all_branches_again_but_the_first) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  const auto linear = answer(engine, story(*model, JoinRule::kLinear));
  const auto drop = answer(engine, story(*model, JoinRule::kDrop));
  REQUIRE(linear->blocks.size() == 1);
  const std::vector<BranchResult>& branches = linear->blocks[0].branches;
  std::size_t others = 0;
  for (std::size_t i = 1; i < branches.size(); ++i) others += branches[i].token_ids.size();
  // Both feed the same seeds and closing markers. Of the first branch only its last token was never decoded.
  CHECK_EQ(linear->timings.seed_tokens - drop->timings.seed_tokens, static_cast<std::int64_t>(others) + 1);
  // In the cache lies one text, at the positions that it would have had serially.
  for (std::size_t i = 1; i < linear->layout.size(); ++i)
    CHECK_EQ(linear->layout.positions[i], linear->layout.positions[i - 1] + 1);
}

TEST(text_markers_give_the_same_answer_under_every_join_rule) {
  const auto model = tiny_model("prompted");
  Engine engine(model, exact());
  for (const JoinRule rule : kJoinRules) {
    for (const bool plan_always : {false, true}) {
      Request wanted = request(*model, "Hm 1", text_protocol(rule));
      wanted.plan_always = plan_always;
      const std::vector<Event> events = tell(engine, std::move(wanted));
      CHECK_EQ(fold(events),
               std::string("**red**\nIt is w\xC3\xA1rm.\n\n**blue**\nAs cold as 1 < 2.\n\nSo."));
      CHECK_EQ(events.back().result->text, fold(events));
      CHECK_EMPTY(engine);
    }
  }
}

TEST(answer_that_ends_with_its_block_is_the_one_without_what_follows_and_reads_nothing_again) {
  const auto model = tiny_model("prompted");
  Engine engine(model, exact());
  for (const JoinRule rule : kJoinRules) {
    Protocol protocol = text_protocol(rule);
    protocol.ends_with_block = true;
    const std::vector<Event> events = tell(engine, request(*model, "Hm 1", protocol));
    const Result& result = *events.back().result;
    CHECK_EQ(result.text, std::string("**red**\nIt is w\xC3\xA1rm.\n\n**blue**\nAs cold as 1 < 2."));
    CHECK_EQ(fold(events), result.text);
    CHECK(result.finish_reason == FinishReason::kStop);
    CHECK_EQ(result.fallback, std::string());
    CHECK(events[events.size() - 2].kind == EventKind::kJoin);
    CHECK_EQ(result.timings.join_s, 0.0);
    Layout whole = answer(engine, request(*model, "Hm 1", text_protocol(rule)))->layout;
    CHECK(result.layout.size() < whole.size());
    whole.truncate(result.layout.size());
    CHECK(result.layout.token_ids == whole.token_ids);
    CHECK(result.layout.positions == whole.positions);
    CHECK(result.layout.branch_ids == whole.branch_ids);
    CHECK_EMPTY(engine);
  }
}

TEST(answers_without_a_plan_are_asked_anew_without_instructions) {
  const auto model = tiny_model("prompted");
  Engine engine(model, exact());
  const auto asked = [&](const std::string& prompt) {
    Request wanted = request(*model, prompt, text_protocol(JoinRule::kLinear));
    wanted.serial_prompt = trunk(model->tokenize("\n\n", true));
    return wanted;
  };
  const std::string plan = answer(engine, asked("Hm 1"))->text;
  CHECK(plan != "So.");
  std::map<RequestId, bool> plans;
  for (int i = 0; i < 8; ++i) {
    const bool has_plan = i % 2 == 0;
    plans[engine.submit(asked(has_plan ? "Hm 1" : "1\n\n"))] = has_plan;
  }
  for (const Event& event : run(engine)) {
    if (event.kind != EventKind::kDone) continue;
    CHECK_EQ(event.result->text, plans[event.request] ? plan : std::string("So."));
    CHECK_EQ(event.result->from_serial_prompt, !plans[event.request]);
  }
  CHECK_EMPTY(engine);
  Request refused = asked("Hm 1");
  refused.max_branches = 1;
  const auto result = answer(engine, std::move(refused));
  CHECK_EQ(result->text, std::string("So."));
  CHECK(!result->fallback.empty());
  CHECK_EMPTY(engine);
}

TEST(parts_that_the_question_lists_are_planned_without_being_written) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  for (const JoinRule rule : kJoinRules) {
    Request wanted = story(*model, rule);
    wanted.asked_parts = {{"c", "1. "}, {"a", "2. "}};
    const std::vector<Event> events = tell(engine, std::move(wanted));
    const Result& result = *events.back().result;
    CHECK_EQ(result.text, std::string("Hm1. \xC3\xA9"
                                      "2. oneSo."));
    CHECK_EQ(fold(events), result.text);
    CHECK_EQ(result.timings.plan_tokens, std::int64_t{3});  // the plan's opening, two closing markers
    CHECK_EQ(result.blocks[0].branches[0].title, std::string("c"));
    CHECK_EMPTY(engine);
  }
  Request unsound = story(*model, JoinRule::kSum);
  unsound.asked_parts = {{"a", "1. "}, {"a", "2. "}};
  CHECK_EQ(answer(engine, std::move(unsound))->text, std::string(kStory));
  Request scripted = story(*model, JoinRule::kSum);
  scripted.asked_parts = {{"a", "1. "}, {"b", "2. "}};
  scripted.script = {{1}};
  CHECK_THROWS(engine.submit(std::move(scripted)), std::invalid_argument);
}

TEST(forced_plan_that_breaks_the_rules_is_taken_back_and_decoded_serially) {
  const std::pair<const char*, const char*> plans[] = {
      {"one_title", "<|title|>a<|/title|><|para|>"},
      {"title_twice", "<|title|>a<|/title|><|title|>b<|/title|><|title|>a<|/title|><|para|>"},
      {"no_end", "<|title|>a<|/title|><|eos|>"}};
  for (const auto& [name, plan] : plans) {
    const auto model = tiny_model(name);
    Engine engine(model, exact());
    Request wanted = story(*model, JoinRule::kSum);
    wanted.script = {model->tokenize(plan, true)};
    wanted.max_tokens = 60;
    const auto result = answer(engine, std::move(wanted));
    CHECK_EQ(result->text, std::string("S"));
    CHECK(!result->fallback.empty());
    CHECK(result->blocks.empty());
    CHECK(result->timings.rewound_tokens > 0);
    CHECK_EMPTY(engine);
  }
}

TEST(banned_text_is_taken_back_until_another_token_is_found) {
  const auto model = tiny_model("prompted");
  Engine engine(model, exact());
  Protocol protocol = text_protocol(JoinRule::kLinear);
  protocol.banned_in_branch.push_back({"cold", -1});
  Request wanted = request(*model, "Hm 1", protocol);
  wanted.max_tokens = 120;
  const std::vector<Event> events = tell(engine, std::move(wanted));
  const Result& result = *events.back().result;
  CHECK(result.timings.rewound_tokens > 0);
  CHECK(result.text.find("cold") == std::string::npos);
  CHECK_EQ(fold(events), result.text);
  CHECK_EMPTY(engine);
}

TEST(plan_of_more_branches_than_the_caller_wants_is_decoded_serially) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  Request wanted = story(*model, JoinRule::kSum);
  wanted.max_branches = 2;
  wanted.max_tokens = 40;
  const auto result = answer(engine, std::move(wanted));
  CHECK(!result->fallback.empty());
  CHECK(result->blocks.empty());
  CHECK_EMPTY(engine);
}

TEST(stop_string_ends_the_answer_where_it_stands_in_reading_order) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  const std::string story_text = kStory;
  for (const char* stop : {"Hm", "ne", "two", "2!", "\xC3\xA9", "So", "o."}) {
    for (const JoinRule rule : kJoinRules) {
      Request wanted = story(*model, rule);
      wanted.stop = {"never", stop};
      const std::vector<Event> events = tell(engine, std::move(wanted));
      const Result& result = *events.back().result;
      CHECK_EQ(result.text, story_text.substr(0, story_text.find(stop)));
      CHECK_EQ(result.stop_match, std::string(stop));
      CHECK(result.finish_reason == FinishReason::kStop);
      CHECK_EQ(fold(events), result.text);
      CHECK_EMPTY(engine);
    }
  }
}

TEST(answer_of_one_seed_does_not_depend_on_its_company) {
  const auto model = tiny_model("forking");
  Engine engine(model, exact());
  const auto wanted = [&](std::uint64_t seed) {
    Request result = request(*model, "So 3", control_protocol(*model, JoinRule::kSum));
    result.sampling.temperature = 20;
    result.sampling.seed = seed;
    result.max_tokens = 60;
    return result;
  };
  const std::string alone = answer(engine, wanted(7))->text;
  const RequestId id = engine.submit(wanted(7));
  for (std::uint64_t seed = 8; seed < 11; ++seed) engine.submit(wanted(seed));
  for (const Event& event : run(engine)) {
    if (event.kind == EventKind::kDone && event.request == id) CHECK_EQ(event.result->text, alone);
  }
  CHECK_EMPTY(engine);
}

TEST(grammar_and_bias_govern_what_is_sampled) {
  const auto model = tiny_model("llama");
  Engine engine(model, exact());
  Request wanted = request(*model, "Hello", control_protocol(*model, JoinRule::kSum));
  wanted.sampling.grammar = "root ::= \"yes\" | \"no\"";
  const auto result = answer(engine, wanted);
  CHECK(result->text == "yes" || result->text == "no");
  CHECK(!result->fallback.empty());
  wanted.sampling.grammar.clear();
  wanted.protocol.reset();
  wanted.sampling.logit_bias = {{model->tokenize("x", false).at(0), 1000.0F}};
  wanted.max_tokens = 3;
  CHECK_EQ(answer(engine, wanted)->text, std::string("xxx"));
  for (Token token = 0; token < model->n_vocab(); ++token) {
    wanted.sampling.logit_bias.emplace_back(token, -std::numeric_limits<float>::infinity());
  }
  CHECK_EQ(answer(engine, wanted)->text, std::string());  // nothing is allowed
  CHECK_EMPTY(engine);
}

TEST(likelihoods_come_with_the_text_and_are_those_of_the_logits) {
  const auto model = tiny_model("storyteller");
  Engine engine(model, exact());
  for (const JoinRule rule : kJoinRules) {
    Request wanted = story(*model, rule);
    wanted.n_logprobs = 2;
    wanted.sampling.logit_bias = {{model->tokenize("z", false).front(), 1.0F}};  // changes the row in place
    const std::vector<Event> events = tell(engine, wanted);
    const Result& result = *events.back().result;
    CHECK_EQ(result.text, std::string(kStory));
    std::string spelt;
    std::size_t n_told = 0;
    for (const Event& event : events) {
      for (const Likelihood& likelihood : event.likelihoods) {
        REQUIRE(likelihood.top.size() == 2);
        CHECK_EQ(likelihood.top[0].first, likelihood.token);  // greedy, and a story that is learnt by heart
        CHECK_EQ(likelihood.top[0].second, likelihood.logprob);
        CHECK(likelihood.logprob <= 0 && likelihood.top[1].second <= likelihood.logprob);
        if (event.block == 0) spelt += model->piece(likelihood.token);
        ++n_told;
      }
    }
    CHECK_EQ(spelt, std::string("HmSo."));
    CHECK_EQ(static_cast<std::int64_t>(n_told), result.timings.trunk_tokens + result.timings.branch_tokens);
  }
  Request none = story(*model, JoinRule::kSum);
  for (const Event& event : tell(engine, none)) CHECK(event.likelihoods.empty());
}

TEST(recurrent_and_hybrid_models_decode_serially_and_say_why) {
  for (const char* name : {"mamba", "lfm2"}) {
    const auto model = tiny_model(name);
    Engine engine(model, exact());
    CHECK(!engine.can_join());
    Request wanted = request(*model, "Hello", control_protocol(*model, JoinRule::kSum));
    wanted.max_tokens = 12;
    const auto result = answer(engine, std::move(wanted));
    CHECK_EQ(result->fallback, engine.cannot_join_reason());
    CHECK(result->blocks.empty());
    CHECK_EMPTY(engine);
  }
}

TEST(sliding_window_model_joins) {
  const auto model = tiny_model("cohere2");
  Engine engine(model, exact());
  CHECK_EQ(engine.cannot_join_reason(), std::string());
  CHECK_EMPTY(engine);
}
