#include "aspd/sampler.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "aspd/model.h"
#include "grammar.h"
#include "narrow.h"
#include "repetition.h"

namespace aspd {

namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
// Candidates tried one by one, the likeliest first, before the whole vocabulary is held against a
// restriction.
constexpr int kMostTries = 64;
constexpr std::size_t kMostBreakers = 64;
constexpr std::size_t kLongestBreaker = 40;  // bytes: what llama.cpp looks at
// A loop: so many tokens in a row repeat a period of at most so many. Without a letter it may be a table of
// numbers that was asked for.
constexpr std::size_t kLoopTokens = 1024;
constexpr std::size_t kBareLoopTokens = 4096;
constexpr std::size_t kLongestLoop = 128;

// SplitMix64 (Steele, Lea, Flood 2014): spreads a seed and a stream over 64 bits.
std::uint64_t mix(std::uint64_t seed, std::uint64_t stream) {
  std::uint64_t z = seed + 0x9E3779B97F4A7C15ULL * (stream + 1);
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31U);
}

void check(bool ok, const char* what) {
  if (!ok) throw std::invalid_argument(what);
}

// The largest logit. Independent maxima side by side, so that the compiler can use vector registers.
float largest(const float* logits, std::int32_t n_vocab) {
  constexpr std::int32_t kSide = 16;
  float most[kSide];
  std::fill(most, most + kSide, kNever);
  std::int32_t i = 0;
  for (; i + kSide <= n_vocab; i += kSide) {
    for (std::int32_t j = 0; j < kSide; ++j) most[j] = logits[i + j] > most[j] ? logits[i + j] : most[j];
  }
  for (; i < n_vocab; ++i) most[0] = std::max(most[0], logits[i]);
  return *std::max_element(most, most + kSide);
}

bool heavier(const std::pair<float, Token>& a, const std::pair<float, Token>& b) {
  return a.first > b.first || (a.first == b.first && a.second < b.second);
}

}  // namespace

void SamplingOptions::validate(std::int32_t n_vocab) const {
  check(std::isfinite(temperature) && temperature >= 0 && temperature <= 100,
        "temperature must be between 0 and 100");
  check(top_k >= 0, "top_k must not be negative");
  check(top_p > 0 && top_p <= 1, "top_p must be above 0 and at most 1");
  check(min_p >= 0 && min_p <= 1, "min_p must be between 0 and 1");
  check(std::isfinite(repeat_penalty) && repeat_penalty > 0 && repeat_penalty <= 10,
        "repeat_penalty must be above 0 and at most 10");
  check(std::isfinite(presence_penalty) && std::fabs(presence_penalty) <= 2,
        "presence_penalty must be between -2 and 2");
  check(std::isfinite(frequency_penalty) && std::fabs(frequency_penalty) <= 2,
        "frequency_penalty must be between -2 and 2");
  check(penalty_last_n >= -1, "penalty_last_n must be -1 or more");
  check(std::isfinite(dry_multiplier) && dry_multiplier >= 0 && dry_multiplier <= 100,
        "dry_multiplier must be between 0 and 100");
  check(std::isfinite(dry_base) && dry_base >= 1 && dry_base <= 100, "dry_base must be between 1 and 100");
  check(dry_allowed_length >= 0, "dry_allowed_length must not be negative");
  check(dry_penalty_last_n >= -1, "dry_penalty_last_n must be -1 or more");
  check(dry_sequence_breakers.size() <= kMostBreakers, "dry_sequence_breakers must be at most 64");
  for (const std::string& breaker : dry_sequence_breakers) {
    check(!breaker.empty() && breaker.size() <= kLongestBreaker && breaker.find('\0') == std::string::npos,
          "dry_sequence_breakers must have 1 to 40 bytes each, none of them 0");
  }
  check(xtc_probability >= 0 && xtc_probability <= 1, "xtc_probability must be between 0 and 1");
  check(xtc_threshold >= 0 && xtc_threshold <= 1, "xtc_threshold must be between 0 and 1");
  for (const auto& [token, bias] : logit_bias) {
    check(token >= 0 && token < n_vocab, "logit_bias names a token id outside the vocabulary");
    check(!std::isnan(bias) && bias != std::numeric_limits<float>::infinity(),
          "logit_bias must be finite or -inf");
  }
}

Likelihood likelihood_of(Token token, const float* logits, std::int32_t n_vocab, std::int32_t n_top) {
  const double total = kernels::log_sum_exp(logits, static_cast<std::size_t>(n_vocab));
  const auto logprob = [&](Token id) { return static_cast<float>(static_cast<double>(logits[id]) - total); };
  Likelihood found{token, logprob(token), {}};
  if (n_top <= 0) return found;
  std::vector<Token> ids(static_cast<std::size_t>(n_vocab));
  std::iota(ids.begin(), ids.end(), 0);
  const auto end = ids.begin() + std::min(n_top, n_vocab);
  std::partial_sort(ids.begin(), end, ids.end(), [&](Token a, Token b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
  });
  for (auto id = ids.begin(); id != end; ++id) found.top.emplace_back(*id, logprob(*id));
  return found;
}

// Where the text is in its grammar, and the pieces of tokens.
struct Sampler::Grammar {
  GrammarState state;
  const Model* model;

  bool allows(Token token) {
    return model->is_eog(token) ? state.may_end() : state.allows(token, model->piece(token));
  }

  // Takes all that the grammar forbids out of the logits.
  void mask(float* logits, std::int32_t n_vocab) {
    for (Token token = 0; token < n_vocab; ++token) {
      if (logits[token] != kNever && !allows(token)) logits[token] = kNever;
    }
  }
};

Sampler::Sampler(const Model* model, SamplingOptions options, std::uint64_t stream)
    : options_(std::move(options)), random_(mix(options_.seed, stream)) {
  if (options_.xtc_probability > 0) {
    const std::uint64_t seed = mix(mix(options_.seed, stream), 0);  // other numbers than random_ has
    xtc_ = std::make_unique<Xtc>(options_.xtc_probability, options_.xtc_threshold, seed);
  }
  if (options_.dry_multiplier > 0 && model != nullptr) dry_ = std::make_unique<Dry>(model->vocab(), options_);
  if (options_.grammar.empty()) return;
  check(model != nullptr, "a grammar needs a model");
  const auto token_of = [model](const std::string& text) {
    const std::vector<Token> ids = model->tokenize(text, true);
    return ids.size() == 1 ? ids.front() : -1;
  };
  auto rules = std::make_shared<const aspd::Grammar>(options_.grammar, token_of);
  grammar_ = std::make_unique<Grammar>(Grammar{GrammarState(std::move(rules)), model});
}

Sampler::~Sampler() = default;
Sampler::Sampler(Sampler&&) noexcept = default;
Sampler& Sampler::operator=(Sampler&&) noexcept = default;

void Sampler::penalise(float* logits, std::int32_t n_vocab) {
  for (const auto& [token, bias] : options_.logit_bias) logits[token] += bias;
  const bool off = options_.repeat_penalty == 1.0F && options_.presence_penalty == 0.0F &&
                   options_.frequency_penalty == 0.0F;
  if (!off && options_.penalty_last_n != 0) penalise_said(logits, n_vocab);
  if (dry_) dry_->apply(logits, n_vocab, history_);
}

void Sampler::penalise_said(float* logits, std::int32_t n_vocab) const {
  std::size_t n = history_.size();
  if (options_.penalty_last_n > 0) n = std::min(n, static_cast<std::size_t>(options_.penalty_last_n));
  std::unordered_map<Token, int> counts;
  for (std::size_t i = history_.size() - n; i < history_.size(); ++i) {
    if (history_[i] >= 0 && history_[i] < n_vocab) ++counts[history_[i]];
  }
  for (const auto& [token, count] : counts) {  // as llama_sampler_init_penalties
    float& logit = logits[token];
    logit = logit <= 0 ? logit * options_.repeat_penalty : logit / options_.repeat_penalty;
    logit -= static_cast<float>(count) * options_.frequency_penalty + options_.presence_penalty;
  }
}

Token Sampler::greedy(const float* logits, std::int32_t n_vocab) const {
  const float most = largest(logits, n_vocab);
  if (most == kNever) return -1;
  return static_cast<Token>(std::find(logits, logits + n_vocab, most) - logits);
}

// top_k, top_p, min_p, XTC, temperature, in llama.cpp's order. Without sorting the vocabulary: only the
// candidates that can survive are gathered and sorted.
Token Sampler::random(const float* logits, std::int32_t n_vocab) {
  const float most = largest(logits, n_vocab);
  if (most == kNever) return -1;

  candidates_.clear();
  const auto top_k = static_cast<std::size_t>(options_.top_k);
  if (top_k > 0 && top_k < static_cast<std::size_t>(n_vocab)) {
    // A heap of the k heaviest, its lightest in front.
    for (Token token = 0; token < n_vocab; ++token) {
      if (candidates_.size() == top_k && logits[token] <= candidates_.front().first) continue;
      if (logits[token] == kNever) continue;
      if (candidates_.size() == top_k) {
        std::pop_heap(candidates_.begin(), candidates_.end(), heavier);
        candidates_.pop_back();
      }
      candidates_.emplace_back(logits[token], token);
      std::push_heap(candidates_.begin(), candidates_.end(), heavier);
    }
  } else {
    // exp(-32) of the most likely token's probability is below what a double's sum of a vocabulary resolves.
    for (Token token = 0; token < n_vocab; ++token) {
      if (logits[token] > most - 32.0F) candidates_.emplace_back(logits[token], token);
    }
  }
  std::sort(candidates_.begin(), candidates_.end(), heavier);

  if (options_.top_p < 1.0F) {
    double total = 0;
    for (const auto& candidate : candidates_) total += std::exp(static_cast<double>(candidate.first - most));
    double sum = 0;
    std::size_t kept = 0;
    while (kept < candidates_.size()) {
      sum += std::exp(static_cast<double>(candidates_[kept].first - most));
      ++kept;
      if (sum >= static_cast<double>(options_.top_p) * total) break;
    }
    candidates_.resize(kept);
  }
  if (options_.min_p > 0.0F) {
    const float least = most + std::log(options_.min_p);
    while (candidates_.size() > 1 && candidates_.back().first < least) candidates_.pop_back();
  }

  if (xtc_) xtc_->apply(candidates_);
  if (options_.temperature == 0.0F) return candidates_.front().second;

  double total = 0;
  const auto weight = [&](float logit) {
    return std::exp(static_cast<double>(logit - most) / static_cast<double>(options_.temperature));
  };
  for (const auto& candidate : candidates_) total += weight(candidate.first);
  // 53 random bits, the same on every platform, unlike std::uniform_real_distribution.
  double left = static_cast<double>(random_() >> 11U) * 0x1.0p-53 * total;
  for (const auto& candidate : candidates_) {
    left -= weight(candidate.first);
    if (left < 0) return candidate.second;
  }
  return candidates_.back().second;
}

Token Sampler::sample(float* logits, std::int32_t n_vocab, const std::vector<Token>& banned,
                      const Allowed& allowed) {
  penalise(logits, n_vocab);
  if (grammar_) grammar_->state.begin_choice();
  for (const Token token : banned) {
    if (token >= 0 && token < n_vocab) logits[token] = kNever;
  }
  const auto choose = [&] {
    return options_.temperature == 0.0F && !xtc_ ? greedy(logits, n_vocab) : random(logits, n_vocab);
  };
  for (int i = 0; i < kMostTries; ++i) {
    const Token token = choose();
    if (token < 0) return -1;
    if ((!allowed || allowed(token)) && (!grammar_ || grammar_->allows(token))) return token;
    logits[token] = kNever;  // choosing again among the rest is the same as having masked it
  }
  // The likeliest are all forbidden: little is allowed, and it is found faster from the other side.
  if (grammar_) grammar_->mask(logits, n_vocab);
  for (Token token = 0; allowed && token < n_vocab; ++token) {
    if (logits[token] != kNever && !allowed(token)) logits[token] = kNever;
  }
  return choose();
}

void Sampler::accept(Token token) {
  history_.push_back(token);
  if (grammar_ && !grammar_->model->is_eog(token))
    grammar_->state.accept(token, grammar_->model->piece(token));
}

Sampler Sampler::fork(std::uint64_t stream, std::size_t n_back) const {
  Sampler other(nullptr, options_, stream);
  other.history_ = history_;
  if (dry_) other.dry_ = std::make_unique<Dry>(dry_->clone());
  other.rewind(n_back);
  return other;
}

void Sampler::rewind(std::size_t n_tokens) {
  history_.resize(history_.size() - std::min(n_tokens, history_.size()));
  if (dry_) dry_->forget();
}

bool Sampler::loops(const std::function<std::string(Token)>& piece) const {
  const std::size_t period = period_of(history_, kLoopTokens, kLongestLoop);
  if (period == 0) return false;
  for (auto token = history_.end() - static_cast<std::ptrdiff_t>(period); token != history_.end(); ++token) {
    for (const char c : piece(*token)) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte >= 0x80 || std::isalpha(byte) != 0) return true;  // all letters beyond ASCII are such bytes
    }
  }
  return period_of(history_, kBareLoopTokens, kLongestLoop) != 0;
}

}  // namespace aspd
