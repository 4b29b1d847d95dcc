// Against repetition: llama.cpp's samplers DRY and XTC, each behind a pointer of its own, and the loops that
// a model does not leave by itself.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "aspd/sampler.h"

struct llama_sampler;
struct llama_vocab;

namespace aspd {

struct FreeSampler {
  void operator()(llama_sampler* sampler) const;
};

// Makes tokens less likely that would go on with a repetition.
class Dry {
 public:
  Dry(const llama_vocab* vocab, const SamplingOptions& options);
  // Without tokens.
  [[nodiscard]] Dry clone() const;
  // history: of the lane; what the last call saw must be its beginning, unless forget() was called since.
  void apply(float* logits, std::int32_t n_vocab, const std::vector<Token>& history);
  void forget() { n_seen_ = kNone; }

 private:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  Dry(llama_sampler* sampler, std::size_t window) : sampler_(sampler), window_(window) {}

  std::unique_ptr<llama_sampler, FreeSampler> sampler_;
  std::size_t window_;          // tokens looked back on
  std::size_t n_seen_ = kNone;  // of the history
};

// Takes the likeliest tokens out where several are likely, now and then.
class Xtc {
 public:
  Xtc(float probability, float threshold, std::uint64_t seed);
  // candidates: (logit, token), descending.
  void apply(std::vector<std::pair<float, Token>>& candidates);

 private:
  std::unique_ptr<llama_sampler, FreeSampler> sampler_;
};

// Whether the last n tokens repeat a period of this length.
[[nodiscard]] bool repeats(const std::vector<Token>& ids, std::size_t n, std::size_t period);
// Length of the period in which the last n tokens repeat, of at most `longest`; 0: they do not.
[[nodiscard]] std::size_t period_of(const std::vector<Token>& ids, std::size_t n, std::size_t longest);

}  // namespace aspd
