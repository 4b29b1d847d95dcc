#include "repetition.h"

#include <algorithm>

#include "llama.h"

namespace aspd {

namespace {

constexpr std::int32_t kLongestWindow = 32768;  // tokens: "all of the lane"

}  // namespace

void FreeSampler::operator()(llama_sampler* sampler) const { llama_sampler_free(sampler); }

Dry::Dry(const llama_vocab* vocab, const SamplingOptions& options) : window_(0) {
  const std::int32_t window =
      options.dry_penalty_last_n < 0 ? kLongestWindow : std::min(options.dry_penalty_last_n, kLongestWindow);
  std::vector<const char*> breakers;
  for (const std::string& breaker : options.dry_sequence_breakers) breakers.push_back(breaker.c_str());
  sampler_.reset(llama_sampler_init_dry(vocab, options.dry_multiplier, options.dry_base,
                                        options.dry_allowed_length, window, breakers.data(),
                                        breakers.size()));
  window_ = static_cast<std::size_t>(window);
}

Dry Dry::clone() const { return {llama_sampler_clone(sampler_.get()), window_}; }

void Dry::apply(float* logits, std::int32_t n_vocab, const std::vector<Token>& history) {
  const std::size_t begin = history.size() - std::min(history.size(), window_);
  if (n_seen_ == kNone) {
    llama_sampler_reset(sampler_.get());
    n_seen_ = begin;
  }
  for (std::size_t i = std::max(n_seen_, begin); i < history.size(); ++i)
    llama_sampler_accept(sampler_.get(), history[i]);
  n_seen_ = history.size();
  // No other tokens become less likely than those that were said.
  std::vector<Token> said(history.begin() + static_cast<std::ptrdiff_t>(begin), history.end());
  std::sort(said.begin(), said.end());
  said.erase(std::unique(said.begin(), said.end()), said.end());
  std::vector<llama_token_data> candidates;
  for (const Token token : said) {
    if (token >= 0 && token < n_vocab) candidates.push_back({token, logits[token], 0.0F});
  }
  llama_token_data_array array{candidates.data(), candidates.size(), -1, false};
  llama_sampler_apply(sampler_.get(), &array);
  for (std::size_t i = 0; i < array.size; ++i) logits[array.data[i].id] = array.data[i].logit;
}

Xtc::Xtc(float probability, float threshold, std::uint64_t seed)
    : sampler_(llama_sampler_init_xtc(probability, threshold, 1, static_cast<std::uint32_t>(seed >> 33U))) {
}  // 31 bits: none is "random"

void Xtc::apply(std::vector<std::pair<float, Token>>& candidates) {
  std::vector<llama_token_data> all;
  all.reserve(candidates.size());
  for (const auto& [logit, token] : candidates) all.push_back({token, logit, 0.0F});
  llama_token_data_array array{all.data(), all.size(), -1, true};
  llama_sampler_apply(sampler_.get(), &array);
  candidates.erase(candidates.begin(), candidates.begin() + (array.data - all.data()));
}

bool repeats(const std::vector<Token>& ids, std::size_t n, std::size_t period) {
  if (ids.size() < n || period >= n) return false;
  const auto begin = ids.end() - static_cast<std::ptrdiff_t>(n);
  return std::equal(begin + static_cast<std::ptrdiff_t>(period), ids.end(), begin);
}

std::size_t period_of(const std::vector<Token>& ids, std::size_t n, std::size_t longest) {
  for (std::size_t period = 1; period <= longest; ++period) {
    if (repeats(ids, n, period)) return period;
  }
  return 0;
}

}  // namespace aspd
