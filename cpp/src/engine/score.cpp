// Likelihoods and logits of a structured text, by the same forks and joins that decoding uses.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "engine_impl.h"
#include "narrow.h"

namespace aspd {

namespace {

// Natural logarithm of the probability that a row of logits gives to each of these tokens.
std::vector<float> log_probabilities(const float* row, std::size_t n_vocab,
                                     const std::vector<Token>& tokens) {
  const double total = kernels::log_sum_exp(row, n_vocab);
  std::vector<float> found;
  for (const Token token : tokens)
    found.push_back(static_cast<float>(static_cast<double>(row[static_cast<std::size_t>(token)]) - total));
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
    }
    count_cells(texts);
    count_sequences(texts);
  }

  // A node's children that are not joined: they are read behind what goes on from joins of the others.
  [[nodiscard]] std::vector<std::size_t> plain(std::size_t node) const {
    std::vector<std::size_t> found;
    for (const std::size_t child : children[node]) {
      if (!joined[child]) found.push_back(child);
    }
    return found;
  }
  // Does anything but a join go on from it?
  [[nodiscard]] bool leads_on(std::size_t node) const {
    return !children[node].empty() || !joins[node].empty();
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
  }

  // Branches stay while what goes on from their join is read, and until what goes on from one of them alone
  // is read too.
  void count_cells(const TextTree& texts) {
    std::vector<std::size_t> of_join(texts.size(), 0);  // cells of a joined node's block and all before it
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const std::vector<std::int32_t>& parents = texts.parents[i];
      if (parents.size() < 2) continue;
      std::size_t sum = 0;
      for (const std::int32_t parent : parents) sum += texts.nodes[static_cast<std::size_t>(parent)].size();
      for (const std::int32_t parent : parents) of_join[static_cast<std::size_t>(parent)] = sum;
    }
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const std::vector<std::int32_t>& parents = texts.parents[i];
      if (!parents.empty()) {
        const auto first = static_cast<std::size_t>(parents[0]);
        cells[i] = cells[first] + (joined[first] ? of_join[first] : texts.nodes[first].size());
      }
      longest = std::max(longest, cells[i] + texts.nodes[i].size());
    }
  }

  // A node's sequence stays while all that follows but its last child are read, which takes it over.
  void count_sequences(const TextTree& texts) {
    std::vector<std::size_t> needed(texts.size(), 1);
    for (std::size_t i = texts.size(); i > 0; --i) {
      std::size_t& own = needed[i - 1];
      for (const std::size_t join : joins[i - 1]) {
        std::size_t kept = 0;  // branches from which more goes on
        std::size_t most = std::max<std::size_t>(2, needed[join]);
        for (const std::int32_t parent : texts.parents[join]) {
          const auto branch = static_cast<std::size_t>(parent);
          if (!leads_on(branch)) continue;
          ++kept;
          most = std::max(most, needed[branch]);
        }
        own = std::max(own, 1 + kept + most);
      }
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

// Natural logarithm of the probability of the tokens that are wanted, where they stand behind what the
// sequence holds; 0 for others and for the first. Throws DecodeError.
std::vector<double> Engine::Impl::read_logprobs(Sequence& sequence, Pos begin,
                                                const std::vector<Token>& token_ids,
                                                const std::vector<bool>& wanted) {
  std::vector<double> found(token_ids.size(), 0);
  const std::int32_t n_vocab = model_->n_vocab();
  runner_.read(
      {{&sequence, token_ids.data(), begin, token_ids.size()}},
      [&](std::size_t, std::size_t i) { return i + 1 < token_ids.size() && wanted[i + 1]; },
      [&](std::size_t, std::size_t i, const float* logits) {
        found[i + 1] = likelihood_of(token_ids[i + 1], logits, n_vocab, 0).logprob;
      });
  return found;
}

// Natural logarithms of the probabilities of the ways to go on behind what the trunk has read: of their
// tokens but the first, and of what must follow them, the end of the answer or no further item. NaN: cells or
// sequences are missing. Throws DecodeError.
std::vector<double> Engine::Impl::weigh_ways(const Lane& trunk, const ListEnd& end) {
  const Pos begin = trunk.next - (end.is_first_read ? 1 : 0);
  std::size_t n_cells = 0;
  for (const ListEnd::Way& way : end.ways) n_cells += way.token_ids.size();
  std::vector<double> found(end.ways.size(), std::nan(""));
  if (!make_room(n_cells)) return found;
  std::vector<Sequence> trials;
  for (std::size_t s = 0; s < end.ways.size(); ++s) {
    if (!make_sequence()) return found;
    trials.push_back(end.is_first_read ? trunk.sequence.fork(begin) : trunk.sequence.fork());
  }
  std::vector<std::vector<double>> rows;  // of each token: of what comes behind it
  std::vector<BatchSpan> spans;
  for (std::size_t s = 0; s < end.ways.size(); ++s) {
    const std::vector<Token>& ids = end.ways[s].token_ids;
    rows.emplace_back(ids.size(), 0);
    spans.push_back({&trials[s], ids.data(), begin, ids.size()});
  }
  std::vector<Token> ends;
  for (Token token = 0; token < model_->n_vocab(); ++token) {
    if (model_->is_eog(token)) ends.push_back(token);
  }
  const auto probability = [&](const std::vector<Token>& tokens, const float* logits) {
    double sum = 0;
    for (const float logprob : log_probabilities(logits, static_cast<std::size_t>(model_->n_vocab()), tokens))
      sum += std::exp(static_cast<double>(logprob));
    return sum;
  };
  runner_.read(
      spans, [](std::size_t, std::size_t) { return true; },
      [&](std::size_t s, std::size_t i, const float* logits) {
        const ListEnd::Way& way = end.ways[s];
        double& row = rows[s][i];
        if (i + 1 < way.token_ids.size()) {
          row = std::log(probability({way.token_ids[i + 1]}, logits));
        } else if (way.separator.empty()) {
          row = std::log(probability(ends, logits));
        } else if (end.mark >= 0) {
          row = std::log(std::max(0.0, 1 - probability({end.mark}, logits)));
        }
      });
  for (std::size_t s = 0; s < rows.size(); ++s)
    found[s] = std::accumulate(rows[s].begin(), rows[s].end(), 0.0);
  return found;
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
  while (cache_.sequences_free() < 2 && prefix_cache_.evict()) {
  }
  decoder_.clear_abort();

  const auto run = [&](Sequence& sequence, std::size_t begin, std::size_t end) {
    runner_.read(
        {{&sequence, layout.token_ids.data() + begin, layout.positions[begin], end - begin}},
        [](std::size_t, std::size_t) { return true; },
        [&](std::size_t, std::size_t i, const float* row) { take(begin + i, row); });
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
  while (cache_.sequences_free() < needed && prefix_cache_.evict()) {
  }
  if (cache_.sequences_free() < needed)
    throw std::invalid_argument("the tree forks deeper than sequences are free");
  decoder_.clear_abort();

  const auto n_vocab = static_cast<std::size_t>(model_->n_vocab());
  std::vector<std::vector<float>> scores;
  for (const std::vector<Token>& node : nodes) scores.emplace_back(node.size(), 0.0F);

  struct Node {
    std::size_t k;
    Sequence sequence;
    std::vector<std::size_t> next;  // children whose first token its last row predicts
  };
  const auto place = [&](std::size_t k, Sequence sequence) {
    Node node{k, std::move(sequence), {}};
    for (const std::size_t child : tree.children[k]) {
      if (texts.scored[child]) node.next.push_back(child);
    }
    return node;
  };
  const auto read_nodes = [&](std::vector<Node>& together) {
    std::vector<BatchSpan> spans;
    for (Node& node : together) {
      const std::vector<Token>& ids = nodes[node.k];
      spans.push_back({&node.sequence, ids.data(), static_cast<Pos>(tree.begins[node.k]), ids.size()});
    }
    const auto wanted = [&](std::size_t s, std::size_t i) {
      const Node& node = together[s];
      return i + 1 < nodes[node.k].size() ? static_cast<bool>(texts.scored[node.k]) : !node.next.empty();
    };
    runner_.read(spans, wanted, [&](std::size_t s, std::size_t i, const float* row) {
      const Node& node = together[s];
      const std::vector<Token>& ids = nodes[node.k];
      if (i + 1 < ids.size()) {
        scores[node.k][i + 1] = log_probabilities(row, n_vocab, {ids[i + 1]})[0];
        return;
      }
      std::vector<Token> firsts;
      for (const std::size_t child : node.next) firsts.push_back(nodes[child][0]);
      const std::vector<float> found = log_probabilities(row, n_vocab, firsts);
      for (std::size_t c = 0; c < node.next.size(); ++c) scores[node.next[c]][0] = found[c];
    });
  };

  // What waits: nodes that are read. A node's sequence is shared by all but its last child.
  struct Open {
    std::size_t node;
    Sequence sequence;
    std::vector<std::size_t> plain;
    std::size_t next_join = 0;
    std::size_t next_plain = 0;
  };
  std::vector<Open> open;
  const auto begin = [&](std::size_t k, Sequence sequence) {
    std::vector<Node> alone;
    alone.push_back(place(k, std::move(sequence)));
    read_nodes(alone);
    open.push_back({k, std::move(alone.front().sequence), tree.plain(k)});
  };
  // Whether one more node can be read beside those that are, n_cells of them: small steps waste most of a
  // read of the weights. Where it cannot, nodes are read one by one, for which there is room.
  const auto has_room = [&](std::size_t k, std::size_t n_cells) {
    return cache_.sequences_free() > 0 && cache_.cells_free() >= n_cells + nodes[k].size();
  };
  const auto read_joined = [&](Sequence& trunk, std::size_t join) {
    const std::vector<std::int32_t>& branches = texts.parents[join];
    const auto p = static_cast<Pos>(tree.begins[static_cast<std::size_t>(branches[0])]);
    for (std::size_t at = 0; at < branches.size();) {
      std::vector<Node> together;
      for (std::size_t n_cells = 0; at < branches.size(); ++at) {
        const auto k = static_cast<std::size_t>(branches[at]);
        if (!together.empty() && !has_room(k, n_cells)) break;
        together.push_back(place(k, trunk.fork(p)));
        n_cells += nodes[k].size();
      }
      read_nodes(together);
      for (Node& node : together) {
        if (tree.leads_on(node.k)) open.push_back({node.k, node.sequence.fork(), tree.plain(node.k)});
        trunk.join(std::move(node.sequence), p);
      }
    }
  };
  // Reads the next plain children of a node: those in a row that nothing follows, and the one behind them,
  // which is left open.
  const auto read_plain = [&] {
    Open& top = open.back();
    std::vector<Node> together;
    bool inner = false;
    for (std::size_t n_cells = 0; top.next_plain < top.plain.size() && !inner; ++top.next_plain) {
      const std::size_t k = top.plain[top.next_plain];
      const bool last = top.next_plain + 1 == top.plain.size();
      if (!together.empty() && !last && !has_room(k, n_cells)) break;
      if (!together.empty() && last && cache_.cells_free() < n_cells + nodes[k].size()) break;
      inner = tree.leads_on(k);
      together.push_back(place(k, last ? std::move(top.sequence) : top.sequence.fork()));
      n_cells += nodes[k].size();
    }
    read_nodes(together);
    if (top.next_plain == top.plain.size()) open.pop_back();
    if (inner) {
      Node& node = together.back();
      open.push_back({node.k, std::move(node.sequence), tree.plain(node.k)});
    }
  };
  for (const std::size_t root : tree.roots) {
    begin(root, cache_.acquire());
    while (!open.empty()) {
      Open& top = open.back();
      if (top.next_join < tree.joins[top.node].size()) {
        const std::size_t join = tree.joins[top.node][top.next_join++];
        Sequence trunk = top.sequence.fork();
        read_joined(trunk, join);
        begin(join, std::move(trunk));
      } else if (top.next_plain < top.plain.size()) {
        read_plain();
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
