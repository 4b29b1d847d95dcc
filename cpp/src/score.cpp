// Likelihoods and logits of a structured text, by the same forks and joins that decoding uses.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "engine_impl.h"

namespace aspd {

// Decodes the layout in a sequence of its own; take(i, logits) gets the row after each token i.
template <typename Take>
void Engine::Impl::walk(const Layout& layout, const Take& take) {
  layout.validate();
  for (const Token token : layout.token_ids) {
    if (token < 0 || token >= model_->n_vocab())
      throw std::invalid_argument("a token id outside the vocabulary");
  }
  if (model_->has_encoder())
    throw std::invalid_argument("an encoder reads the prompt: a text alone has no likelihood");
  const bool blocks =
      std::any_of(layout.block_ids.begin(), layout.block_ids.end(), [](std::int32_t id) { return id != 0; });
  if (blocks && !cannot_join_.empty())
    throw std::invalid_argument("this model cannot join branches: " + cannot_join_);
  if (!make_room(layout.size())) throw ContextFullError(layout.size(), cache_.cells_free());
  while (cache_.sequences_free() < 2 && retained_.evict()) {
  }
  decoder_.clear_abort();

  const auto most = static_cast<std::size_t>(std::min(n_outputs_, options_.n_batch));
  const auto run = [&](Sequence& sequence, std::size_t begin, std::size_t end) {
    for (std::size_t at = begin; at < end;) {
      const std::size_t n = std::min(most, end - at);
      decoder_.clear();
      for (std::size_t i = at; i < at + n; ++i) {
        decoder_.add(layout.token_ids[i], layout.positions[i], sequence.id(), true);
      }
      if (decoder_.decode() != Decoder::Status::kDone) throw DecodeError(1, "llama.cpp found no cells");
      sequence.record(layout.positions[at], n);
      for (std::size_t i = 0; i < n; ++i) take(at + i, decoder_.logits(static_cast<std::int32_t>(i)));
      at += n;
    }
  };

  Sequence trunk = cache_.acquire();
  std::size_t at = 0;
  while (at < layout.size()) {
    std::size_t end = at;
    if (layout.block_ids[at] == 0) {
      while (end < layout.size() && layout.block_ids[end] == 0) ++end;
      run(trunk, at, end);
      at = end;
      continue;
    }
    const Pos p = layout.positions[at];
    const std::int32_t block = layout.block_ids[at];
    while (at < layout.size() && layout.block_ids[at] == block) {
      while (end < layout.size() && layout.block_ids[end] == block &&
             layout.branch_ids[end] == layout.branch_ids[at])
        ++end;
      Sequence branch = trunk.fork(p);
      run(branch, at, end);
      trunk.join(std::move(branch), p);
      at = end;
    }
  }
}

std::vector<float> Engine::Impl::score(const Layout& layout) {
  const auto n_vocab = static_cast<std::size_t>(model_->n_vocab());
  std::vector<float> scores(layout.size(), 0.0F);
  // Tokens that row i predicts: the next one of its own stretch, and the first of each branch that forks
  // there.
  std::vector<std::vector<std::size_t>> predicted(layout.size());
  std::size_t fork = 0;
  for (std::size_t i = 1; i < layout.size(); ++i) {
    const bool same =
        layout.block_ids[i] == layout.block_ids[i - 1] && layout.branch_ids[i] == layout.branch_ids[i - 1];
    if (same) {
      predicted[i - 1].push_back(i);
    } else if (layout.block_ids[i] != 0) {
      if (layout.block_ids[i - 1] == 0) fork = i - 1;
      // A block right behind another has no trunk token before it: nothing predicts its branches.
      if (layout.positions[i] == layout.positions[fork] + 1) predicted[fork].push_back(i);
    }
  }
  walk(layout, [&](std::size_t i, const float* row) {
    if (predicted[i].empty()) return;
    const float most = *std::max_element(row, row + n_vocab);
    double total = 0;
    for (std::size_t t = 0; t < n_vocab; ++t) total += std::exp(static_cast<double>(row[t] - most));
    for (const std::size_t next : predicted[i]) {
      const float logit = row[static_cast<std::size_t>(layout.token_ids[next])];
      scores[next] = static_cast<float>(static_cast<double>(logit - most) - std::log(total));
    }
  });
  return scores;
}

std::vector<float> Engine::Impl::logits(const Layout& layout) {
  const auto n_vocab = static_cast<std::size_t>(model_->n_vocab());
  std::vector<float> rows(layout.size() * n_vocab);
  walk(layout, [&](std::size_t i, const float* row) {
    std::copy(row, row + n_vocab, rows.begin() + static_cast<std::ptrdiff_t>(i * n_vocab));
  });
  return rows;
}

}  // namespace aspd
