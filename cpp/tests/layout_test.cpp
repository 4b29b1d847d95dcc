#include "aspd/layout.h"

#include <stdexcept>

#include "check.h"

using namespace aspd;

namespace {

// Trunk 0 1, a block of branches (2 3) and (2), then the trunk from `after` on.
Layout sample(Pos after) {
  return {{10, 11, 20, 21, 30, 40, 41},
          {0, 1, 2, 3, 2, after, after + 1},
          {0, 0, 1, 1, 1, 0, 0},
          {0, 0, 1, 1, 2, 0, 0}};
}

}  // namespace

TEST(a_layout_may_go_on_at_the_longest_branch_or_after_a_gap) {
  sample(4).validate();
  sample(5).validate();
  CHECK_THROWS(sample(3).validate(), std::invalid_argument);
}

TEST(malformed_layouts_are_refused) {
  const auto refused = [](auto change) {
    Layout layout = sample(5);
    change(layout);
    CHECK_THROWS(layout.validate(), std::invalid_argument);
  };
  refused([](Layout& l) { l.positions.pop_back(); });
  refused([](Layout& l) { l.positions[1] = 7; });
  refused([](Layout& l) { l.positions[3] = 5; });
  refused([](Layout& l) { l.positions[4] = 3; });
  refused([](Layout& l) { l.branch_ids[4] = 3; });
  refused([](Layout& l) { l.branch_ids[2] = 0; });
  refused([](Layout& l) { l.block_ids[6] = 1; });
  refused([](Layout& l) { l.positions[0] = -1; });
}

TEST(a_common_prefix_never_ends_inside_a_block) {
  const Layout a = sample(5);
  Layout b = a;
  CHECK_EQ(common_prefix(a, b), std::size_t{7});
  b.token_ids[4] = 99;
  CHECK_EQ(common_prefix(a, b), std::size_t{2});
  b = a;
  b.token_ids[5] = 99;
  CHECK_EQ(common_prefix(a, b), std::size_t{5});
  b = a;
  b.truncate(4);
  CHECK_EQ(common_prefix(a, b), std::size_t{2});
}
