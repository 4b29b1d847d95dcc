// Likelihoods and logits of a structured text, by the same forks and joins that decoding uses.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <stdexcept>

#include "engine_impl.h"

namespace aspd {

namespace {

constexpr std::size_t kLanes = 16;

// e^x for x <= 0 within a few units of the last place, in steps that compilers do for many numbers at once.
float exp_of(float x) {
  constexpr float kToInteger = 12582912.0F;  // added to a small number, it leaves the integer in the low bits
  x = x < -87.0F ? -87.0F : x;
  const float shifted = x * 1.44269504F + kToInteger;
  const float n = shifted - kToInteger;
  const float r = (x - n * 0.693145752F) - n * 1.42860677e-6F;
  const float tail =
      0.5F + r * (0.166666672F + r * (0.0416666679F + r * (0.00833333377F + r * 0.00138888892F)));
  std::int32_t bits = 0;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = static_cast<std::int32_t>(static_cast<std::uint32_t>(bits + 127) << 23U);
  float power = 0;
  std::memcpy(&power, &bits, sizeof(power));
  return power * (1.0F + r * (1.0F + r * tail));
}

float largest(const float* row, std::size_t n) {
  float lanes[kLanes];
  std::fill(lanes, lanes + kLanes, row[0]);
  std::size_t t = 0;
  for (; t + kLanes <= n; t += kLanes) {
    for (std::size_t l = 0; l < kLanes; ++l) lanes[l] = row[t + l] > lanes[l] ? row[t + l] : lanes[l];
  }
  float most = *std::max_element(lanes, lanes + kLanes);
  for (; t < n; ++t) most = std::max(most, row[t]);
  return most;
}

// Sum of e^(row - most); in single precision over stretches only.
double sum_of_exp(const float* row, std::size_t n, float most) {
  constexpr std::size_t kStretch = 64 * kLanes;
  double total = 0;
  std::size_t t = 0;
  for (; t + kStretch <= n; t += kStretch) {
    float lanes[kLanes] = {};
    for (std::size_t u = t; u < t + kStretch; u += kLanes) {
      for (std::size_t l = 0; l < kLanes; ++l) lanes[l] += exp_of(row[u + l] - most);
    }
    for (const float lane : lanes) total += static_cast<double>(lane);
  }
  for (; t < n; ++t) total += static_cast<double>(exp_of(row[t] - most));
  return total;
}

// Natural logarithm of the probability that a row of logits gives to each of these tokens.
std::vector<float> log_probabilities(const float* row, std::size_t n_vocab,
                                     const std::vector<Token>& tokens) {
  const float most = largest(row, n_vocab);
  const double total = std::log(sum_of_exp(row, n_vocab, most));
  std::vector<float> found;
  for (const Token token : tokens) {
    const float logit = row[static_cast<std::size_t>(token)];
    found.push_back(static_cast<float>(static_cast<double>(logit - most) - total));
  }
  return found;
}

// The shape of a tree of texts. Throws std::invalid_argument when it is none.
struct Tree {
  Tree(const TextTree& texts, JoinRule rule)
      : children(texts.size()), joins(texts.size()), begins(texts.size(), 0), cells(texts.size(), 0) {
    if (texts.parents.size() != texts.size() || texts.scored.size() != texts.size())
      throw std::invalid_argument("nodes, parents and scored differ in length");
    joined.resize(texts.size(), false);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (texts.nodes[i].empty()) throw std::invalid_argument("a node needs at least one token");
      for (const std::int32_t parent : texts.parents[i]) {
        if (parent < 0 || parent >= static_cast<std::int32_t>(i))
          throw std::invalid_argument("a parent comes before its node");
      }
      place(texts, rule, i);
      longest = std::max(longest, cells[i] + texts.nodes[i].size());
    }
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (joined[i] && !(children[i].empty() && joins[i].empty()))
        throw std::invalid_argument("only a join goes on from a joined node");
    }
    count_sequences(texts.size());
  }

  // What is read behind a node, in this order: what goes on from joins of its children, then its children
  // that are not joined.
  [[nodiscard]] std::vector<std::size_t> plain(std::size_t node) const {
    std::vector<std::size_t> found;
    for (const std::size_t child : children[node]) {
      if (!joined[child]) found.push_back(child);
    }
    return found;
  }

  std::vector<std::size_t> roots;
  std::vector<std::vector<std::size_t>> children;  // with the joined ones
  std::vector<std::vector<std::size_t>> joins;     // nodes that go on from joins of children of the node
  std::vector<bool> joined;
  std::vector<std::size_t> begins;  // position of each node's first token
  std::vector<std::size_t> cells;   // held before each node's first token
  std::size_t longest = 0;          // most cells held at once
  std::size_t n_sequences = 0;      // most sequences held at once, nodes read depth first

 private:
  void place(const TextTree& texts, JoinRule rule, std::size_t i) {
    const std::vector<std::int32_t>& parents = texts.parents[i];
    if (parents.empty()) {
      roots.push_back(i);
      return;
    }
    const auto first = static_cast<std::size_t>(parents[0]);
    if (parents.size() == 1) {
      children[first].push_back(i);
      begins[i] = begins[first] + texts.nodes[first].size();
      cells[i] = cells[first] + texts.nodes[first].size();
      return;
    }
    if (rule != JoinRule::kSum && rule != JoinRule::kLongest)
      throw std::invalid_argument("a tree joins by the rules sum and longest only");
    std::size_t sum = 0;
    std::size_t most = 0;
    for (const std::int32_t parent : parents) {
      const auto branch = static_cast<std::size_t>(parent);
      if (joined[branch] || texts.parents[branch].size() != 1 ||
          texts.parents[branch] != texts.parents[first])
        throw std::invalid_argument("a join takes different children of one node, each once");
      joined[branch] = true;
      sum += texts.nodes[branch].size();
      most = std::max(most, texts.nodes[branch].size());
    }
    joins[static_cast<std::size_t>(texts.parents[first][0])].push_back(i);
    begins[i] = begins[first] + (rule == JoinRule::kSum ? sum : most);
    cells[i] = cells[first] + sum;
  }

  // A node's sequence stays while all that follows but its last child are read, which takes it over.
  void count_sequences(std::size_t n) {
    std::vector<std::size_t> needed(n, 1);
    for (std::size_t i = n; i > 0; --i) {
      std::size_t& own = needed[i - 1];
      for (const std::size_t join : joins[i - 1])
        own = std::max(own, 1 + std::max<std::size_t>(2, needed[join]));
      const std::vector<std::size_t> rest = plain(i - 1);
      for (const std::size_t child : rest)
        own = std::max(own, needed[child] + (child == rest.back() ? 0 : 1));
      n_sequences = std::max(n_sequences, own);
    }
  }
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

// Decodes n tokens of a sequence; take(i, logits) gets the row after each token i that is wanted(i), on any
// of the threads.
template <typename Wanted, typename Take>
void Engine::Impl::read(Sequence& sequence, const Token* token_ids, const Pos* positions, std::size_t n,
                        const Wanted& wanted, const Take& take) {
  const auto most = static_cast<std::size_t>(std::min(n_outputs_, options_.n_batch));
  for (std::size_t at = 0; at < n;) {
    const std::size_t now = std::min(most, n - at);
    decoder_.clear();
    std::vector<std::size_t> rows;
    for (std::size_t i = at; i < at + now; ++i) {
      const bool output = wanted(i);
      decoder_.add(token_ids[i], positions[i], sequence.id(), output);
      if (output) rows.push_back(i - at);
    }
    if (decoder_.decode() != Decoder::Status::kDone) throw DecodeError(1, "llama.cpp found no cells");
    sequence.record(positions[at], now);
    std::vector<const float*> logits;
    for (const std::size_t row : rows) logits.push_back(decoder_.logits(static_cast<std::int32_t>(row)));
    decoder_.share_out(static_cast<std::int32_t>(rows.size()), [&](std::int32_t i) {
      take(at + rows[static_cast<std::size_t>(i)], logits[static_cast<std::size_t>(i)]);
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
    read(
        sequence, layout.token_ids.data() + begin, layout.positions.data() + begin, end - begin,
        [](std::size_t) { return true; }, [&](std::size_t i, const float* row) { take(begin + i, row); });
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

std::vector<std::vector<float>> Engine::Impl::score_tree(const TextTree& texts, JoinRule rule) {
  const Tree tree(texts, rule);
  const std::vector<std::vector<Token>>& nodes = texts.nodes;
  for (const std::vector<Token>& node : nodes) check_scorable(node);
  const bool joins = std::find(tree.joined.begin(), tree.joined.end(), true) != tree.joined.end();
  if (joins && !cannot_join_.empty())
    throw std::invalid_argument("this model cannot join branches: " + cannot_join_);
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

  const auto score_node = [&](std::size_t k, Sequence& sequence) {
    const std::vector<Token>& ids = nodes[k];
    std::vector<Pos> positions(ids.size());
    std::iota(positions.begin(), positions.end(), static_cast<Pos>(tree.begins[k]));
    std::vector<std::size_t> next;  // children whose first token the last row predicts
    for (const std::size_t child : tree.children[k]) {
      if (texts.scored[child]) next.push_back(child);
    }
    const auto wanted = [&](std::size_t i) { return i + 1 < ids.size() ? texts.scored[k] : !next.empty(); };
    read(sequence, ids.data(), positions.data(), ids.size(), wanted, [&](std::size_t i, const float* row) {
      if (i + 1 < ids.size()) {
        scores[k][i + 1] = log_probabilities(row, n_vocab, {ids[i + 1]})[0];
        return;
      }
      std::vector<Token> firsts;
      for (const std::size_t child : next) firsts.push_back(nodes[child][0]);
      const std::vector<float> found = log_probabilities(row, n_vocab, firsts);
      for (std::size_t c = 0; c < next.size(); ++c) scores[next[c]][0] = found[c];
    });
  };

  // What waits: nodes whose parent is read. The parent's sequence is shared by all but the last child.
  struct Open {
    std::size_t node;
    Sequence sequence;
    std::vector<std::size_t> plain;
    std::size_t next_join = 0;
    std::size_t next_plain = 0;
  };
  std::vector<Open> open;
  const auto begin = [&](std::size_t node, Sequence sequence) {
    open.push_back({node, std::move(sequence), tree.plain(node)});
    score_node(node, open.back().sequence);
  };
  for (const std::size_t root : tree.roots) {
    begin(root, cache_.acquire());
    while (!open.empty()) {
      Open& top = open.back();
      if (top.next_join < tree.joins[top.node].size()) {
        const std::size_t node = tree.joins[top.node][top.next_join++];
        Sequence trunk = top.sequence.fork();
        for (const std::int32_t parent : texts.parents[node]) {
          const auto branch = static_cast<std::size_t>(parent);
          const auto p = static_cast<Pos>(tree.begins[branch]);
          Sequence sequence = trunk.fork(p);
          score_node(branch, sequence);
          trunk.join(std::move(sequence), p);
        }
        begin(node, std::move(trunk));
      } else if (top.next_plain < top.plain.size()) {
        const std::size_t child = top.plain[top.next_plain++];
        if (top.next_plain < top.plain.size()) {
          begin(child, top.sequence.fork());
        } else {
          Sequence sequence = std::move(top.sequence);
          open.pop_back();
          begin(child, std::move(sequence));
        }
      } else {
        open.pop_back();
      }
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
