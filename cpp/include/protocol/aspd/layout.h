// The arrays that describe a structured text: what the layout function (aspd_local.layout) returns and
// what the engine prefills. Knows nothing of models, protocols or markers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace aspd {

using Token = std::int32_t;
using Pos = std::int32_t;

// How positions go on after a join (DESIGN, section 4).
enum class JoinRule { kSum, kLongest, kLinear, kDrop };

// A structured text as parallel arrays, one entry a token, in reading order.
// block_ids: 0 for the trunk, else the number of the block, from 1, ascending.
// branch_ids: 0 for the trunk, else the number of the branch inside its block, from 1, ascending.
// A token of a branch sees the trunk and its own branch; a token of the trunk sees all before it.
struct Layout {
  std::vector<Token> token_ids;
  std::vector<Pos> positions;
  std::vector<std::int32_t> block_ids;
  std::vector<std::int32_t> branch_ids;

  [[nodiscard]] std::size_t size() const { return token_ids.size(); }
  void push(Token token, Pos position, std::int32_t block, std::int32_t branch);
  void append(const Layout& other);
  void truncate(std::size_t n_tokens);
  // Throws std::invalid_argument when the arrays differ in length, a block is not contiguous, branches are
  // out of order, or positions break the rules above.
  void validate() const;
};

// Number of leading tokens that two layouts have in common, cut back to a border at which the trunk can go
// on: never inside a block.
[[nodiscard]] std::size_t common_prefix(const Layout& a, const Layout& b);

}  // namespace aspd
