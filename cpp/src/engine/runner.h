// Builds every batch and alone has it computed. Knows tokens, positions and sequences; no lanes, no requests.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "aspd/errors.h"
#include "aspd/kv_cache.h"
#include "aspd/layout.h"
#include "decoder.h"

namespace aspd {

// Tokens of one sequence in a batch, at positions one behind the other.
struct BatchSpan {
  Sequence* sequence = nullptr;
  const Token* token_ids = nullptr;  // [n]
  Pos begin = 0;                     // position of the first
  std::size_t n = 0;
  std::size_t n_wanted = 0;  // of the last of them: their rows of logits are wanted
  std::int32_t row = -1;     // of the first of these, once it has run
};

class Runner {
 public:
  // decoder: outlives this. n_most: tokens of one batch of read(), each with a row of logits.
  Runner(Decoder* decoder, std::size_t n_most) : decoder_(*decoder), n_most_(n_most) {}

  // Computes the spans as one step. Sequences book nothing. Throws DecodeError.
  Decoder::Status run(std::vector<BatchSpan>& spans);
  // The same, where there are cells for it; the sequences book them. Throws DecodeError.
  void run_booked(std::vector<BatchSpan>& spans);
  // Lets the model's encoder read the span. Throws DecodeError.
  Decoder::Status encode(const BatchSpan& span);

  // [n_vocab], of a row of the last run.
  [[nodiscard]] float* logits(std::int32_t row) { return decoder_.logits(row); }
  // Decoder::parallel_for.
  void parallel_for(std::int32_t n, const std::function<void(std::int32_t)>& task) {
    decoder_.parallel_for(n, task);
  }

  // Computes spans of any length, as many tokens in one batch as there is room for; the sequences book them.
  // take(s, i, logits) gets the row after each token i of span s that is wanted(s, i), on any of the threads.
  // Throws DecodeError.
  template <typename Wanted, typename Take>
  void read(const std::vector<BatchSpan>& spans, const Wanted& wanted, const Take& take);

 private:
  Decoder& decoder_;
  std::size_t n_most_;
};

template <typename Wanted, typename Take>
void Runner::read(const std::vector<BatchSpan>& spans, const Wanted& wanted, const Take& take) {
  struct Row {
    std::size_t span;
    std::size_t token;
    std::int32_t row;
  };
  std::vector<Row> rows;
  std::vector<BatchSpan> parts;  // what the sequences hold once the batch is computed
  std::size_t n = 0;
  const auto finish = [&] {
    if (decoder_.decode() != Decoder::Status::kDone) throw DecodeError(1, "llama.cpp found no cells");
    for (const BatchSpan& part : parts) part.sequence->record(part.begin, part.n);
    std::vector<const float*> logits;
    for (const Row& row : rows) logits.push_back(decoder_.logits(row.row));
    parallel_for(static_cast<std::int32_t>(rows.size()), [&](std::int32_t i) {
      const Row& row = rows[static_cast<std::size_t>(i)];
      take(row.span, row.token, logits[static_cast<std::size_t>(i)]);
    });
    rows.clear();
    parts.clear();
    n = 0;
  };
  for (std::size_t s = 0; s < spans.size(); ++s) {
    const BatchSpan& span = spans[s];
    for (std::size_t at = 0; at < span.n;) {
      const std::size_t now = std::min(n_most_ - n, span.n - at);
      if (n == 0) decoder_.clear();
      const Pos begin = span.begin + static_cast<Pos>(at);
      for (std::size_t i = 0; i < now; ++i) {
        const bool output = wanted(s, at + i);
        const std::int32_t row =
            decoder_.add(span.token_ids[at + i], begin + static_cast<Pos>(i), span.sequence->id(), output);
        if (output) rows.push_back({s, at + i, row});
      }
      parts.push_back({span.sequence, span.token_ids + at, begin, now});
      n += now;
      at += now;
      if (n == n_most_) finish();
    }
  }
  if (n > 0) finish();
}

}  // namespace aspd
