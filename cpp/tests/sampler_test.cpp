#include "aspd/sampler.h"

#include <cmath>
#include <limits>
#include <map>

#include "check.h"

using namespace aspd;

namespace {

Token draw(Sampler& sampler, std::vector<float> logits, const std::vector<Token>& banned = {},
           const Allowed& allowed = {}) {
  return sampler.sample(logits.data(), static_cast<std::int32_t>(logits.size()), banned, allowed);
}

SamplingOptions greedy() {
  SamplingOptions options;
  options.temperature = 0;
  return options;
}

// Frequencies of n draws from the same logits.
std::map<Token, int> draws(const SamplingOptions& options, const std::vector<float>& logits, int n) {
  std::map<Token, int> counts;
  Sampler sampler(nullptr, options, 0);
  for (int i = 0; i < n; ++i) ++counts[draw(sampler, logits)];
  return counts;
}

}  // namespace

TEST(greedy_takes_the_largest_logit_and_the_first_of_equals) {
  Sampler sampler(nullptr, greedy(), 0);
  CHECK_EQ(draw(sampler, {0.F, 3.F, 3.F, 1.F}), Token{1});
}

TEST(banned_and_forbidden_tokens_are_passed_over) {
  Sampler sampler(nullptr, greedy(), 0);
  CHECK_EQ(draw(sampler, {0.F, 3.F, 2.F, 1.F}, {1}), Token{2});
  CHECK_EQ(draw(sampler, {0.F, 3.F, 2.F, 1.F}, {}, [](Token t) { return t == 0; }), Token{0});
  CHECK_EQ(draw(sampler, {0.F, 3.F}, {}, [](Token) { return false; }), Token{-1});
}

TEST(one_allowed_token_is_found_however_unlikely_it_is) {
  std::vector<float> logits(5000);
  for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i);
  Sampler sampler(nullptr, greedy(), 0);
  CHECK_EQ(draw(sampler, logits, {}, [](Token t) { return t == 3; }), Token{3});
  SamplingOptions options;
  Sampler chancy(nullptr, options, 0);
  CHECK_EQ(draw(chancy, logits, {}, [](Token t) { return t == 3; }), Token{3});
}

TEST(logit_bias_is_added) {
  SamplingOptions options = greedy();
  options.logit_bias = {{3, 5.F}, {1, -std::numeric_limits<float>::infinity()}};
  Sampler sampler(nullptr, options, 0);
  CHECK_EQ(draw(sampler, {0.F, 30.F, 2.F, 1.F}), Token{3});
}

TEST(frequency_penalty_counts_and_rewinding_forgets) {
  SamplingOptions options = greedy();
  options.frequency_penalty = 1.0F;
  Sampler sampler(nullptr, options, 0);
  sampler.accept(1);
  sampler.accept(1);
  CHECK_EQ(draw(sampler, {0.F, 3.F, 1.5F}), Token{2});
  sampler.rewind(1);
  CHECK_EQ(draw(sampler, {0.F, 3.F, 1.5F}), Token{1});
}

TEST(random_draws_follow_the_softmax) {
  SamplingOptions options;
  options.temperature = 1;
  options.top_k = 0;
  options.top_p = 1;
  options.min_p = 0;
  const std::vector<float> logits = {std::log(0.5F), std::log(0.3F), std::log(0.2F)};
  const auto counts = draws(options, logits, 20000);
  CHECK(std::abs(counts.at(0) - 10000) < 300);  // over four standard deviations
  CHECK(std::abs(counts.at(1) - 6000) < 300);
  CHECK(std::abs(counts.at(2) - 4000) < 300);
}

TEST(top_k_top_p_and_min_p_cut_the_tail) {
  const std::vector<float> logits = {std::log(0.5F), std::log(0.3F), std::log(0.15F), std::log(0.05F)};
  SamplingOptions options;
  options.temperature = 1;
  options.top_p = 1;
  options.min_p = 0;
  options.top_k = 2;
  CHECK_EQ(draws(options, logits, 2000).size(), std::size_t{2});
  options.top_k = 0;
  options.top_p = 0.6F;
  CHECK_EQ(draws(options, logits, 2000).size(), std::size_t{2});
  options.top_p = 1;
  options.min_p = 0.25F;
  CHECK_EQ(draws(options, logits, 2000).size(), std::size_t{3});
}

TEST(a_seed_and_a_stream_decide_every_draw) {
  SamplingOptions options;
  options.seed = 7;
  std::vector<float> logits(50);
  for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i % 7);
  const auto run = [&](std::uint64_t stream) {
    Sampler sampler(nullptr, options, stream);
    std::vector<Token> tokens;
    for (int i = 0; i < 40; ++i) tokens.push_back(draw(sampler, logits));
    return tokens;
  };
  CHECK(run(0) == run(0));
  CHECK(run(0) != run(1));
}

TEST(likelihood_is_the_log_softmax_of_the_row) {
  const std::vector<float> row = {1.0F, 3.0F, 2.0F, 3.0F};
  const double total = std::log(std::exp(1.0) + 2 * std::exp(3.0) + std::exp(2.0));
  const Likelihood found = likelihood_of(2, row.data(), 4, 3);
  CHECK(std::fabs(found.logprob - (2.0 - total)) < 1e-6);
  REQUIRE(found.top.size() == 3);
  CHECK_EQ(found.top[0].first, 1);  // the first of equals
  CHECK_EQ(found.top[1].first, 3);
  CHECK_EQ(found.top[2].first, 2);
  CHECK(std::fabs(found.top[1].second - (3.0 - total)) < 1e-6);
  CHECK(likelihood_of(0, row.data(), 4, 0).top.empty());
  CHECK_EQ(likelihood_of(0, row.data(), 4, 20).top.size(), std::size_t{4});
}

TEST(options_outside_their_range_are_refused) {
  const auto refused = [](auto change) {
    SamplingOptions options;
    change(options);
    CHECK_THROWS(options.validate(10), std::invalid_argument);
  };
  refused([](SamplingOptions& o) { o.temperature = -1; });
  refused([](SamplingOptions& o) { o.temperature = std::nanf(""); });
  refused([](SamplingOptions& o) { o.top_k = -1; });
  refused([](SamplingOptions& o) { o.top_p = 0; });
  refused([](SamplingOptions& o) { o.min_p = 1.5F; });
  refused([](SamplingOptions& o) { o.repeat_penalty = 0; });
  refused([](SamplingOptions& o) { o.presence_penalty = 3; });
  refused([](SamplingOptions& o) { o.penalty_last_n = -2; });
  refused([](SamplingOptions& o) { o.logit_bias = {{10, 1.F}}; });
}

TEST(xtc_keeps_the_least_of_the_likely_and_all_that_are_less) {
  SamplingOptions options;
  options.xtc_probability = 1;
  options.xtc_threshold = 0.15F;  // the third has 0.18
  options.top_p = 1;
  options.min_p = 0;
  const auto counts = draws(options, {2.F, 1.5F, 1.F, -1.F}, 400);
  CHECK(counts.count(0) == 0);
  CHECK(counts.count(1) == 0);
  CHECK(counts.count(2) == 1);
  CHECK(counts.count(3) == 1);
  options.xtc_probability = 0.5F;
  const auto half = draws(options, {2.F, 1.5F, 1.F, -1.F}, 400);
  CHECK(half.count(0) == 1);
}

TEST(a_loop_is_what_was_accepted_over_and_over) {
  const auto letters = [](Token token) { return std::string(1, static_cast<char>('a' + token % 26)); };
  const auto umlauts = [](Token) { return std::string("\xC3\xA4"); };
  const auto digits = [](Token token) { return std::to_string(token % 10); };
  Sampler sampler(nullptr, {}, 0);
  for (Token i = 0; i < 2000; ++i) sampler.accept(i);  // not yet
  for (int i = 0; i < 1023; ++i) {
    sampler.accept(3000 + i % 128);
    CHECK(!sampler.loops(letters));
  }
  sampler.accept(3000 + 1023 % 128);
  CHECK(sampler.loops(letters));
  CHECK(sampler.loops(umlauts));
  CHECK(!sampler.loops(digits));
  CHECK(sampler.fork(1, 0).loops(letters));
  sampler.rewind(1);
  CHECK(!sampler.loops(letters));
}

TEST(a_longer_period_is_no_loop) {
  const auto letter = [](Token) { return std::string("a"); };
  Sampler sampler(nullptr, {}, 0);
  for (int i = 0; i < 5000; ++i) sampler.accept(i % 129);
  CHECK(!sampler.loops(letter));
}
