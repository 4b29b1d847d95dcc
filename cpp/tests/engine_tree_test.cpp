// Likelihoods of trees of texts: those of each path alone, and nothing left behind.
#include <cmath>
#include <numeric>

#include "aspd/errors.h"
#include "check.h"
#include "driver.h"

using namespace aspd;
using namespace aspd_test;

namespace {

using Nodes = std::vector<std::vector<Token>>;
using Parents = std::vector<std::vector<std::int32_t>>;

// What score() says of the path from a root to node k, its own tokens only.
std::vector<float> alone(Engine& engine, const Nodes& nodes, const Parents& parents, std::size_t k) {
  std::vector<Token> path = nodes[k];
  for (std::size_t at = k; !parents[at].empty();) {
    at = static_cast<std::size_t>(parents[at][0]);
    path.insert(path.begin(), nodes[at].begin(), nodes[at].end());
  }
  const std::vector<float> scores = engine.score(trunk(path));
  return {scores.end() - static_cast<std::ptrdiff_t>(nodes[k].size()), scores.end()};
}

// All nodes scored.
TextTree tree(Nodes nodes, Parents parents) {
  const std::size_t n = nodes.size();
  return {std::move(nodes), std::move(parents), std::vector<bool>(n, true)};
}

}  // namespace

TEST(scores_of_a_tree_are_those_of_its_paths) {
  Engine engine(tiny_model("storyteller"), exact());
  const Nodes nodes = {{5, 6, 7}, {8, 9}, {10}, {11, 12, 13}, {14, 15}, {16}, {17, 18}};
  const Parents parents = {{}, {0}, {0}, {1}, {1}, {3}, {}};
  const std::vector<std::vector<float>> scores = engine.score_tree(tree(nodes, parents));
  REQUIRE(scores.size() == nodes.size());
  for (std::size_t k = 0; k < nodes.size(); ++k) {
    const std::vector<float> wanted = alone(engine, nodes, parents, k);
    REQUIRE(scores[k].size() == wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) CHECK(std::fabs(scores[k][i] - wanted[i]) < 1e-4F);
  }
  CHECK_EQ(scores[0][0], 0.0F);  // nothing predicts the first token of a root
  CHECK(scores[1][0] < 0);
  CHECK_EMPTY(engine);
}

TEST(a_node_behind_a_join_scores_as_the_trunk_of_the_layout) {
  Engine engine(tiny_model("storyteller"), exact());
  const Nodes nodes = {{5, 6, 7}, {8, 9}, {10}, {11, 12, 13}, {14, 15}, {16, 17}};
  const Parents parents = {{}, {0}, {0}, {1, 2}, {0}, {3}};
  for (const JoinRule rule : {JoinRule::kSum, JoinRule::kLongest}) {
    const Pos p = rule == JoinRule::kSum ? 6 : 5;
    Layout layout;
    for (std::int32_t i = 0; i < 3; ++i) layout.push(5 + i, i, 0, 0);
    layout.push(8, 3, 1, 1);
    layout.push(9, 4, 1, 1);
    layout.push(10, 3, 1, 2);
    for (std::int32_t i = 0; i < 3; ++i) layout.push(11 + i, p + i, 0, 0);
    layout.push(16, p + 3, 0, 0);
    layout.push(17, p + 4, 0, 0);
    const std::vector<float> wanted = engine.score(layout);
    const std::vector<std::vector<float>> scores = engine.score_tree(tree(nodes, parents), rule);
    std::vector<float> found;
    for (const std::size_t k : {0, 1, 2, 3, 5}) found.insert(found.end(), scores[k].begin(), scores[k].end());
    REQUIRE(found.size() == wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) CHECK(std::fabs(found[i] - wanted[i]) < 1e-4F);
    const std::vector<float> aside = alone(engine, nodes, parents, 4);
    for (std::size_t i = 0; i < aside.size(); ++i) CHECK(std::fabs(scores[4][i] - aside[i]) < 1e-4F);
    CHECK_EMPTY(engine);
  }
}

TEST(nodes_that_are_not_scored_change_no_other_score) {
  Engine engine(tiny_model("storyteller"), exact());
  TextTree texts = tree({{5, 6, 7}, {8, 9}, {10}, {11, 12, 13}}, {{}, {0}, {1}, {0}});
  const std::vector<std::vector<float>> all = engine.score_tree(texts);
  texts.scored = {false, false, true, true};
  const std::vector<std::vector<float>> some = engine.score_tree(texts);
  CHECK(some[0] == std::vector<float>(3, 0.0F));
  CHECK(some[1] == std::vector<float>(2, 0.0F));
  CHECK(std::fabs(some[2][0] - all[2][0]) < 1e-4F);
  for (std::size_t i = 0; i < 3; ++i) CHECK(std::fabs(some[3][i] - all[3][i]) < 1e-4F);
  CHECK_EMPTY(engine);
}

TEST(what_is_no_tree_is_refused) {
  Engine engine(tiny_model("storyteller"), exact());
  const auto refused = [&](const Nodes& nodes, const Parents& parents) {
    CHECK_THROWS(engine.score_tree(tree(nodes, parents), JoinRule::kSum), std::invalid_argument);
  };
  refused({{5}, {6}}, {{}});
  refused({{5}, {}}, {{}, {0}});
  refused({{5}, {6}}, {{1}, {}});
  refused({{5}, {6}}, {{}, {-1}});
  refused({{5, 1000000}}, {{}});
  refused({{5}, {6}, {7}}, {{}, {}, {0, 1}});                          // no children of one node
  refused({{5}, {6}, {7}}, {{}, {0}, {1, 1}});                         // one twice
  refused({{5}, {6}, {7}, {8}, {9}}, {{}, {0}, {0}, {1, 2}, {1, 2}});  // joined twice
  CHECK_THROWS(engine.score_tree(tree({{5}, {6}, {7}, {8}}, {{}, {0}, {0}, {1, 2}}), JoinRule::kLinear),
               std::invalid_argument);
  CHECK_THROWS(engine.score_tree({{{5}}, {{}}, {}}), std::invalid_argument);
  CHECK_EMPTY(engine);
}

TEST(a_tree_that_does_not_fit_is_refused_before_anything_is_decoded) {
  Engine engine(tiny_model("storyteller"), exact());
  const std::vector<Token> half(300, 5);
  CHECK_THROWS(engine.score_tree(tree({half, half}, {{}, {0}})), ContextFullError);
  CHECK_EMPTY(engine);
  CHECK_EQ(engine.score_tree(tree({half, {6}, {7}}, {{}, {0}, {0}})).size(), std::size_t{3});
  // A chain of nodes, each with two children, holds a sequence at every link.
  Nodes nodes = {{5}};
  Parents parents = {{}};
  for (std::int32_t link = 0; link < engine.n_sequences() + 1; ++link) {
    const std::int32_t parent = static_cast<std::int32_t>(nodes.size()) - 1 - (link > 0 ? 1 : 0);
    for (int child = 0; child < 2; ++child) {
      nodes.push_back({6});
      parents.push_back({parent});
    }
  }
  CHECK_THROWS(engine.score_tree(tree(nodes, parents)), std::invalid_argument);
  CHECK_EMPTY(engine);
}

TEST(a_tree_whose_siblings_do_not_fit_side_by_side_is_read_one_by_one) {
  Engine engine(tiny_model("storyteller"), exact());
  // Each path fits, and so does the join, but not the parts of the join and the longest leaves beside it.
  const std::size_t n = engine.n_cells() / 5;
  Nodes nodes = {std::vector<Token>(n, 5)};
  Parents parents = {{}};
  for (int child = 0; child < 6; ++child) {
    nodes.emplace_back(n, 6 + child);
    parents.push_back({0});
  }
  nodes.push_back({20, 21});
  parents.push_back({1, 2, 3});
  nodes.push_back({22, 23});
  parents.push_back({5});
  const std::vector<std::vector<float>> scores = engine.score_tree(tree(nodes, parents));
  for (const std::size_t k : {4, 5, 6, 8}) {
    const std::vector<float> wanted = alone(engine, nodes, parents, k);
    for (std::size_t i = 0; i < wanted.size(); ++i) CHECK(std::fabs(scores[k][i] - wanted[i]) < 1e-4F);
  }
  CHECK(scores[7][1] < 0);
  CHECK_EMPTY(engine);
}

TEST(what_goes_on_from_a_joined_branch_sees_no_sibling) {
  Engine engine(tiny_model("storyteller"), exact());
  const Nodes nodes = {{5, 6, 7}, {8, 9}, {10}, {11, 12, 13}, {14, 15}, {16}, {17, 18}, {19}, {20}};
  const Parents parents = {{}, {0}, {0}, {1, 2}, {1}, {2}, {4}, {4}, {0}};
  const std::vector<std::vector<float>> scores = engine.score_tree(tree(nodes, parents), JoinRule::kSum);
  for (const std::size_t k : {1, 2, 4, 5, 6, 7, 8}) {
    const std::vector<float> wanted = alone(engine, nodes, parents, k);
    for (std::size_t i = 0; i < wanted.size(); ++i) CHECK(std::fabs(scores[k][i] - wanted[i]) < 1e-4F);
  }
  const TextTree without = tree({nodes.begin(), nodes.begin() + 4}, {parents.begin(), parents.begin() + 4});
  const std::vector<std::vector<float>> join = engine.score_tree(without, JoinRule::kSum);
  for (std::size_t i = 0; i < 3; ++i) CHECK(std::fabs(scores[3][i] - join[3][i]) < 1e-4F);
  CHECK_EMPTY(engine);
}
