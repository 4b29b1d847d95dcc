// Likelihoods and logits of a structured text, by the same forks and joins that decoding uses.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "engine_impl.h"

namespace aspd {

namespace {

// Natural logarithm of the probability that a row of logits gives to each of these tokens.
std::vector<float> log_probabilities(const float* row, std::size_t n_vocab,
                                     const std::vector<Token>& tokens) {
  const float most = *std::max_element(row, row + n_vocab);
  double total = 0;
  for (std::size_t t = 0; t < n_vocab; ++t) total += std::exp(static_cast<double>(row[t] - most));
  std::vector<float> found;
  for (const Token token : tokens) {
    const float logit = row[static_cast<std::size_t>(token)];
    found.push_back(static_cast<float>(static_cast<double>(logit - most) - std::log(total)));
  }
  return found;
}

// The shape of a tree of texts. Throws std::invalid_argument when it is none.
struct Tree {
  Tree(const std::vector<std::vector<Token>>& nodes, const std::vector<std::int32_t>& parents)
      : children(nodes.size()), begins(nodes.size(), 0) {
    if (nodes.size() != parents.size()) throw std::invalid_argument("nodes and parents differ in length");
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      if (nodes[i].empty()) throw std::invalid_argument("a node needs at least one token");
      if (parents[i] < -1 || parents[i] >= static_cast<std::int32_t>(i))
        throw std::invalid_argument("a parent comes before its node");
      if (parents[i] < 0) {
        roots.push_back(i);
      } else {
        const auto parent = static_cast<std::size_t>(parents[i]);
        children[parent].push_back(i);
        begins[i] = begins[parent] + nodes[parent].size();
      }
      longest = std::max(longest, begins[i] + nodes[i].size());
    }
    // A node's sequence stays while all children but the last are read, which takes it over.
    std::vector<std::size_t> needed(nodes.size(), 1);
    for (std::size_t i = nodes.size(); i > 0; --i) {
      for (const std::size_t child : children[i - 1]) {
        const std::size_t own = child == children[i - 1].back() ? 0 : 1;
        needed[i - 1] = std::max(needed[i - 1], needed[child] + own);
      }
      n_sequences = std::max(n_sequences, needed[i - 1]);
    }
  }

  std::vector<std::size_t> roots;
  std::vector<std::vector<std::size_t>> children;
  std::vector<std::size_t> begins;  // position of each node's first token
  std::size_t longest = 0;          // tokens from a root to the end of a node
  std::size_t n_sequences = 0;      // held at once, nodes read depth first
};

}  // namespace

void Engine::Impl::check_scorable(const std::vector<Token>& token_ids) const {
  for (const Token token : token_ids) {
    if (token < 0 || token >= model_->n_vocab())
      throw std::invalid_argument("a token id outside the vocabulary");
  }
  if (model_->has_encoder())
    throw std::invalid_argument("an encoder reads the prompt: a text alone has no likelihood");
}

// Decodes n tokens of a sequence; take(i, logits) gets the row after each token i, on any of the threads.
template <typename Take>
void Engine::Impl::read(Sequence& sequence, const Token* token_ids, const Pos* positions, std::size_t n,
                        const Take& take) {
  const auto most = static_cast<std::size_t>(std::min(n_outputs_, options_.n_batch));
  for (std::size_t at = 0; at < n;) {
    const std::size_t now = std::min(most, n - at);
    decoder_.clear();
    for (std::size_t i = at; i < at + now; ++i) {
      decoder_.add(token_ids[i], positions[i], sequence.id(), true);
    }
    if (decoder_.decode() != Decoder::Status::kDone) throw DecodeError(1, "llama.cpp found no cells");
    sequence.record(positions[at], now);
    std::vector<const float*> rows;
    for (std::size_t i = 0; i < now; ++i) rows.push_back(decoder_.logits(static_cast<std::int32_t>(i)));
    decoder_.share_out(static_cast<std::int32_t>(now), [&](std::int32_t i) {
      take(at + static_cast<std::size_t>(i), rows[static_cast<std::size_t>(i)]);
    });
    at += now;
  }
}

// Decodes the layout in a sequence of its own; take(i, logits) gets the row after each token i.
template <typename Take>
void Engine::Impl::walk(const Layout& layout, const Take& take) {
  layout.validate();
  check_scorable(layout.token_ids);
  const bool blocks =
      std::any_of(layout.block_ids.begin(), layout.block_ids.end(), [](std::int32_t id) { return id != 0; });
  if (blocks && !cannot_join_.empty())
    throw std::invalid_argument("this model cannot join branches: " + cannot_join_);
  if (!make_room(layout.size())) throw ContextFullError(layout.size(), cache_.cells_free());
  while (cache_.sequences_free() < 2 && retained_.evict()) {
  }
  decoder_.clear_abort();

  const auto run = [&](Sequence& sequence, std::size_t begin, std::size_t end) {
    read(sequence, layout.token_ids.data() + begin, layout.positions.data() + begin, end - begin,
         [&](std::size_t i, const float* row) { take(begin + i, row); });
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
    std::vector<Token> tokens;
    for (const std::size_t next : predicted[i]) tokens.push_back(layout.token_ids[next]);
    const std::vector<float> found = log_probabilities(row, n_vocab, tokens);
    for (std::size_t j = 0; j < found.size(); ++j) scores[predicted[i][j]] = found[j];
  });
  return scores;
}

std::vector<std::vector<float>> Engine::Impl::score_tree(const std::vector<std::vector<Token>>& nodes,
                                                         const std::vector<std::int32_t>& parents) {
  const Tree tree(nodes, parents);
  for (const std::vector<Token>& node : nodes) check_scorable(node);
  if (!make_room(tree.longest)) throw ContextFullError(tree.longest, cache_.cells_free());
  const auto needed = static_cast<std::int32_t>(tree.n_sequences);
  while (cache_.sequences_free() < needed && retained_.evict()) {
  }
  if (cache_.sequences_free() < needed)
    throw std::invalid_argument("the tree forks deeper than sequences are free");
  decoder_.clear_abort();

  const auto n_vocab = static_cast<std::size_t>(model_->n_vocab());
  std::vector<std::vector<float>> scores;
  for (const std::vector<Token>& node : nodes) scores.emplace_back(node.size(), 0.0F);

  // What waits: nodes whose parent is read. The parent's sequence is shared by all children but the last.
  struct Open {
    std::size_t node;
    Sequence sequence;
    std::size_t next;  // of its children
  };
  const auto score_node = [&](std::size_t k, Sequence& sequence) {
    const std::vector<Token>& ids = nodes[k];
    std::vector<Pos> positions(ids.size());
    std::iota(positions.begin(), positions.end(), static_cast<Pos>(tree.begins[k]));
    read(sequence, ids.data(), positions.data(), ids.size(), [&](std::size_t i, const float* row) {
      if (i + 1 < ids.size()) {
        scores[k][i + 1] = log_probabilities(row, n_vocab, {ids[i + 1]})[0];
        return;
      }
      std::vector<Token> firsts;
      for (const std::size_t child : tree.children[k]) firsts.push_back(nodes[child][0]);
      if (firsts.empty()) return;
      const std::vector<float> found = log_probabilities(row, n_vocab, firsts);
      for (std::size_t c = 0; c < firsts.size(); ++c) scores[tree.children[k][c]][0] = found[c];
    });
  };
  for (const std::size_t root : tree.roots) {
    std::vector<Open> open;
    open.push_back({root, cache_.acquire(), 0});
    score_node(root, open.back().sequence);
    while (!open.empty()) {
      Open& top = open.back();
      const std::vector<std::size_t>& children = tree.children[top.node];
      if (top.next == children.size()) {
        open.pop_back();
        continue;
      }
      const std::size_t child = children[top.next++];
      if (top.next == children.size()) {
        top = Open{child, std::move(top.sequence), 0};
      } else {
        open.push_back({child, top.sequence.fork(), 0});
      }
      score_node(child, open.back().sequence);
    }
  }
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
