// Chooses one token from a row of logits. One Sampler a lane; its random numbers come from a seed of its
// own, so that the timing of other lanes never changes a result.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "aspd/layout.h"

namespace aspd {

class Dry;
class Model;
class Xtc;

// Names and meanings are those of llama.cpp (include/llama.h) and OpenAI's API.
struct SamplingOptions {
  float temperature = 0.8F;              // 0: greedy
  std::int32_t top_k = 40;               // 0: off
  float top_p = 0.95F;                   // 1: off
  float min_p = 0.05F;                   // 0: off
  float repeat_penalty = 1.0F;           // 1: off
  float presence_penalty = 0.0F;         // OpenAI: -2 ... 2
  float frequency_penalty = 0.0F;        // OpenAI: -2 ... 2
  std::int32_t penalty_last_n = 64;      // tokens looked back on by the three penalties; -1: all of the lane
  float dry_multiplier = 0.0F;           // of DRY's penalty of a token that goes on with a repetition; 0: off
  float dry_base = 1.75F;                // the penalty grows so with each token of the repetition
  std::int32_t dry_allowed_length = 2;   // tokens that may be repeated without a penalty
  std::int32_t dry_penalty_last_n = -1;  // tokens that DRY looks back on; -1: all of the lane
  std::vector<std::string> dry_sequence_breakers = {"\n", ":", "\"", "*"};  // no repetition reaches over them
  float xtc_probability = 0.0F;  // that XTC takes all but the least of the likely tokens out; 0: off
  float xtc_threshold = 0.1F;    // probability of a likely token; above 0.5: off
  std::vector<std::pair<Token, float>> logit_bias;  // added to the logits; -inf bans
  std::string grammar;                              // GBNF with the rule "root"; empty: none
  std::uint64_t seed = 0;

  // Throws std::invalid_argument, naming the field. n_vocab: size of the vocabulary.
  void validate(std::int32_t n_vocab) const;
};

// How likely a model holds a token to be. Natural logarithms, over the whole vocabulary.
struct Likelihood {
  Token token = -1;
  float logprob = 0;
  std::vector<std::pair<Token, float>> top;  // the likeliest tokens, descending
};
// logits: [n_vocab], as the model gave them: before penalties, filters and bans. n_top: entries of `top`.
[[nodiscard]] Likelihood likelihood_of(Token token, const float* logits, std::int32_t n_vocab,
                                       std::int32_t n_top);

// May this token come next? Asked only for candidates that are about to be chosen.
using Allowed = std::function<bool(Token)>;

class Sampler {
 public:
  // model: only used for a grammar and DRY, may be null without. stream: tells lanes of one request apart.
  // Throws std::invalid_argument for a grammar that cannot be read, is left-recursive or too large
  // (src/grammar.h).
  Sampler(const Model* model, SamplingOptions options, std::uint64_t stream);
  ~Sampler();
  Sampler(Sampler&&) noexcept;
  Sampler& operator=(Sampler&&) noexcept;

  // Chooses a token; returns -1 when nothing is allowed. logits: [n_vocab], changed in place.
  // banned: ids that get no probability. allowed: may be empty.
  [[nodiscard]] Token sample(float* logits, std::int32_t n_vocab, const std::vector<Token>& banned,
                             const Allowed& allowed);
  // Tells the sampler that a token was taken, sampled or forced (penalties, grammar).
  void accept(Token token);
  // Forgets the last n accepted tokens. Not with a grammar.
  void rewind(std::size_t n_tokens);
  // A sampler of another lane that begins here: it has the same history, and random numbers of its own. Not
  // with a grammar. n_back: tokens at the end of the history that it does not have.
  [[nodiscard]] Sampler fork(std::uint64_t stream, std::size_t n_back) const;
  // Whether what was accepted ends in a loop (Request::loop_guard). piece: the bytes of a token.
  [[nodiscard]] bool loops(const std::function<std::string(Token)>& piece) const;
  [[nodiscard]] const SamplingOptions& options() const { return options_; }

 private:
  struct Grammar;
  SamplingOptions options_;
  std::mt19937_64 random_;
  std::vector<Token> history_;
  std::unique_ptr<Grammar> grammar_;
  std::unique_ptr<Dry> dry_;
  std::unique_ptr<Xtc> xtc_;
  std::vector<std::pair<float, Token>> candidates_;

  void penalise(float* logits, std::int32_t n_vocab);
  void penalise_said(float* logits, std::int32_t n_vocab) const;
  Token greedy(const float* logits, std::int32_t n_vocab) const;
  Token random(const float* logits, std::int32_t n_vocab);
};

}  // namespace aspd
