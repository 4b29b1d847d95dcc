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
using Parents = std::vector<std::int32_t>;

// What score() says of the path from a root to node k, its own tokens only.
std::vector<float> alone(Engine& engine, const Nodes& nodes, const Parents& parents, std::size_t k) {
  std::vector<Token> path = nodes[k];
  for (std::int32_t p = parents[k]; p >= 0; p = parents[static_cast<std::size_t>(p)]) {
    const std::vector<Token>& before = nodes[static_cast<std::size_t>(p)];
    path.insert(path.begin(), before.begin(), before.end());
  }
  const std::vector<float> scores = engine.score(trunk(path));
  return {scores.end() - static_cast<std::ptrdiff_t>(nodes[k].size()), scores.end()};
}

}  // namespace

TEST(scores_of_a_tree_are_those_of_its_paths) {
  Engine engine(tiny_model("storyteller"), exact());
  const Nodes nodes = {{5, 6, 7}, {8, 9}, {10}, {11, 12, 13}, {14, 15}, {16}, {17, 18}};
  const Parents parents = {-1, 0, 0, 1, 1, 3, -1};
  const std::vector<std::vector<float>> scores = engine.score_tree(nodes, parents);
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

TEST(what_is_no_tree_is_refused) {
  Engine engine(tiny_model("storyteller"), exact());
  CHECK_THROWS(engine.score_tree({{5}, {6}}, {-1}), std::invalid_argument);
  CHECK_THROWS(engine.score_tree({{5}, {}}, {-1, 0}), std::invalid_argument);
  CHECK_THROWS(engine.score_tree({{5}, {6}}, {1, -1}), std::invalid_argument);
  CHECK_THROWS(engine.score_tree({{5}, {6}}, {-1, -2}), std::invalid_argument);
  CHECK_THROWS(engine.score_tree({{5, 1000000}}, {-1}), std::invalid_argument);
  CHECK_EMPTY(engine);
}

TEST(a_tree_that_does_not_fit_is_refused_before_anything_is_decoded) {
  Engine engine(tiny_model("storyteller"), exact());
  const std::vector<Token> half(300, 5);
  CHECK_THROWS(engine.score_tree({half, half}, {-1, 0}), ContextFullError);
  CHECK_EMPTY(engine);
  CHECK_EQ(engine.score_tree({half, {6}, {7}}, {-1, 0, 0}).size(), std::size_t{3});
  // A chain of nodes, each with two children, holds a sequence at every link.
  Nodes nodes = {{5}};
  Parents parents = {-1};
  for (std::int32_t link = 0; link < engine.n_sequences() + 1; ++link) {
    const std::int32_t parent = static_cast<std::int32_t>(nodes.size()) - 1 - (link > 0 ? 1 : 0);
    for (int child = 0; child < 2; ++child) {
      nodes.push_back({6});
      parents.push_back(parent);
    }
  }
  CHECK_THROWS(engine.score_tree(nodes, parents), std::invalid_argument);
  CHECK_EMPTY(engine);
}
