#include "aspd/layout.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace aspd {

void Layout::push(Token token, Pos position, std::int32_t block, std::int32_t branch) {
  token_ids.push_back(token);
  positions.push_back(position);
  block_ids.push_back(block);
  branch_ids.push_back(branch);
}

void Layout::append(const Layout& other) {
  token_ids.insert(token_ids.end(), other.token_ids.begin(), other.token_ids.end());
  positions.insert(positions.end(), other.positions.begin(), other.positions.end());
  block_ids.insert(block_ids.end(), other.block_ids.begin(), other.block_ids.end());
  branch_ids.insert(branch_ids.end(), other.branch_ids.begin(), other.branch_ids.end());
}

void Layout::truncate(std::size_t n_tokens) {
  token_ids.resize(n_tokens);
  positions.resize(n_tokens);
  block_ids.resize(n_tokens);
  branch_ids.resize(n_tokens);
}

void Layout::validate() const {
  const std::size_t n = token_ids.size();
  if (positions.size() != n || block_ids.size() != n || branch_ids.size() != n) {
    throw std::invalid_argument("layout: the arrays differ in length");
  }
  const auto fail = [](std::size_t i, const char* what) {
    throw std::invalid_argument("layout: token " + std::to_string(i) + " " + what);
  };
  std::int32_t last_block = 0;
  Pos trunk_end = 0;  // first position that the trunk may take
  Pos block_start = 0;
  Pos block_end = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (positions[i] < 0) fail(i, "has a negative position");
    const bool trunk = block_ids[i] == 0;
    if (trunk != (branch_ids[i] == 0)) fail(i, "is in a block but no branch, or the reverse");
    const bool was_trunk = i == 0 || block_ids[i - 1] == 0;
    if (trunk) {
      if (was_trunk) {
        if (i > 0 && positions[i] != trunk_end) fail(i, "does not follow the trunk's last position");
      } else if (positions[i] < block_end) {
        fail(i, "lies before the end of the block");
      }
      trunk_end = positions[i] + 1;
      continue;
    }
    if (i == 0) fail(i, "begins the text with a block");
    if (was_trunk || block_ids[i] != block_ids[i - 1]) {
      if (block_ids[i] <= last_block) fail(i, "has a block number that does not ascend");
      if (branch_ids[i] != 1) fail(i, "begins a block but is not in its first branch");
      block_start = was_trunk ? trunk_end : positions[i];
      if (positions[i] != block_start || (!was_trunk && positions[i] < block_end)) {
        fail(i, "does not begin at the block's first position");
      }
      last_block = block_ids[i];
      block_end = block_start + 1;
    } else if (branch_ids[i] == branch_ids[i - 1]) {
      if (positions[i] != positions[i - 1] + 1) fail(i, "does not follow its branch's last position");
    } else if (branch_ids[i] != branch_ids[i - 1] + 1 || positions[i] != block_start) {
      fail(i, "begins a branch out of order or off the block's first position");
    }
    block_end = std::max(block_end, positions[i] + 1);
  }
}

std::size_t common_prefix(const Layout& a, const Layout& b) {
  const std::size_t most = std::min(a.size(), b.size());
  std::size_t n = 0;
  while (n < most && a.token_ids[n] == b.token_ids[n] && a.positions[n] == b.positions[n] &&
         a.block_ids[n] == b.block_ids[n] && a.branch_ids[n] == b.branch_ids[n]) {
    ++n;
  }
  // A border inside or right behind a block is no place to go on from, unless both have the block whole.
  const auto inside = [](const Layout& layout, std::size_t at) {
    return at > 0 && at < layout.size() && layout.block_ids[at - 1] != 0 &&
           layout.block_ids[at] == layout.block_ids[at - 1];
  };
  while (n > 0 && (inside(a, n) || inside(b, n))) --n;
  return n;
}

}  // namespace aspd
