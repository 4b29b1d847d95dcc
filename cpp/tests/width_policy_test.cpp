#include "aspd/width_policy.h"

#include <cmath>

#include "check.h"

using namespace aspd;

namespace {

// A curve at one depth from the times of the widths 1, 2, 3, ...
WidthCurve curve(const std::vector<double>& seconds, double prompt_token_s = 0.01) {
  std::vector<WidthPoint> points;
  for (std::size_t i = 0; i < seconds.size(); ++i)
    points.push_back({static_cast<std::int32_t>(i) + 1, 100, seconds[i]});
  return {points, prompt_token_s};
}

const WidthCurve kFlat = curve({1, 1, 1, 1, 1, 1, 1, 1});
const WidthCurve kLinear = curve({1, 2, 3, 4, 5, 6, 7, 8}, 1);
const WidthCurve kStaircase = curve({1, 1.9, 2.4, 1.6, 2.4, 3.2, 4, 3});
const WidthCurve kCliff = curve({1, 1.1, 1.2, 1.3, 9, 10, 11, 12});

void check_width(const WidthCurve& of, std::int32_t live, std::int32_t least, std::int32_t lanes,
                 std::int32_t width) {
  const StepWidth step = choose_width(of, live, least, 16, 100);
  CHECK_EQ(step.lanes, lanes);
  CHECK_EQ(step.width, width);
}

BlockForecast block(std::int32_t n) {
  BlockForecast forecast;
  forecast.n_branches = n;
  forecast.seed_tokens = 8;
  forecast.body_tokens = 40;
  forecast.most = 16;
  forecast.depth = 100;
  return forecast;
}

}  // namespace

TEST(curve_is_linear_between_what_was_measured) {
  const WidthCurve two({{1, 0, 1}, {5, 0, 3}, {1, 100, 2}, {5, 100, 7}}, 0);
  CHECK_EQ(two.seconds(3, 0), 2.0);
  CHECK_EQ(two.seconds(1, 50), 1.5);
  CHECK_EQ(two.seconds(5, 200), 11.0);
  CHECK_EQ(two.seconds(10, 0), 6.0);
  CHECK_EQ(two.max_width(), 5);
  CHECK_EQ(two.prompt_token_s(), 1.0);
}

TEST(a_longer_context_is_never_cheaper) {
  const WidthCurve noisy({{1, 10, 2}, {1, 100, 1}}, 0);
  CHECK_EQ(noisy.seconds(1, 1000), 2.0);
}

TEST(curve_refuses_what_is_no_curve) {
  CHECK_THROWS(WidthCurve({{2, 0, 1}}, 0), std::invalid_argument);
  CHECK_THROWS(WidthCurve({{1, 0, 0}}, 0), std::invalid_argument);
  CHECK_THROWS(WidthCurve({{1, 0, 1}, {1, 0, 2}}, 0), std::invalid_argument);
  CHECK_THROWS(WidthCurve({{1, 0, 1}, {2, 0, 1}, {1, 9, 1}}, 0), std::invalid_argument);
  CHECK_THROWS(WidthCurve({{1, 0, 1}}, -1), std::invalid_argument);
}

TEST(without_a_curve_every_lane_runs) {
  check_width(WidthCurve(), 7, 1, 7, 7);
  check_width(WidthCurve(), 20, 1, 16, 16);
}

TEST(on_a_flat_curve_every_lane_runs) {
  for (std::int32_t live = 1; live <= 8; ++live) check_width(kFlat, live, 1, live, live);
}

TEST(on_a_linear_curve_nothing_is_padded) {
  for (std::int32_t live = 1; live <= 8; ++live) check_width(kLinear, live, 1, live, live);
}

TEST(on_a_staircase_a_step_goes_up_to_its_edge) {
  check_width(kStaircase, 1, 1, 1, 1);
  check_width(kStaircase, 2, 1, 2, 4);
  check_width(kStaircase, 3, 1, 3, 4);
  check_width(kStaircase, 4, 1, 4, 4);
}

TEST(on_a_staircase_lanes_wait_below_its_edge) {
  check_width(kStaircase, 5, 1, 4, 4);
  check_width(kStaircase, 6, 1, 4, 4);
  check_width(kStaircase, 8, 1, 8, 8);
}

TEST(before_a_cliff_lanes_take_turns) {
  for (std::int32_t live = 5; live <= 8; ++live) check_width(kCliff, live, 1, 4, 4);
}

TEST(lanes_that_must_move_do_even_over_a_cliff) { check_width(kCliff, 8, 6, 8, 8); }

TEST(padding_keeps_within_the_widest_step) {
  const StepWidth step = choose_width(kStaircase, 3, 1, 3, 100);
  CHECK_EQ(step.width, 3);
}

TEST(gain_of_flat_curves_is_the_number_of_branches_less_what_is_fed) {
  BlockForecast four = block(4);
  CHECK(predicted_gain(kFlat, four) > 3.9);
  four.decoded_again = true;
  const double again = predicted_gain(kFlat, four);
  CHECK(again > 3.5);
  CHECK(again < 3.9);
}

TEST(the_longest_body_decides_how_long_a_block_takes) {
  BlockForecast four = block(4);
  four.seed_tokens = 0;
  CHECK_EQ(predicted_gain(kFlat, four), 4.0);
  four.longest = 2;  // 80 steps of two lanes for 160 tokens
  CHECK_EQ(predicted_gain(kFlat, four), 2.0);
  four.longest = 1.6;  // 64 steps of 2.5 lanes: between 1.9 and 2.4
  CHECK(std::abs(predicted_gain(kStaircase, four) - 160 / (64 * 2.15)) < 1e-9);
  four.most = 2;  // 80 steps of two lanes in any case
  CHECK_EQ(predicted_gain(kFlat, four), 2.0);
}

TEST(no_gain_on_a_linear_curve) {
  for (std::int32_t n = 1; n <= 8; ++n) CHECK(predicted_gain(kLinear, block(n)) < 1.0);
}

TEST(two_branches_gain_on_a_staircase_only_by_padding) {
  const double gain = predicted_gain(kStaircase, block(2));
  CHECK(gain > 1.2);
  CHECK(gain < 1.25);
}

TEST(gain_of_nothing_measured_is_one) { CHECK_EQ(predicted_gain(WidthCurve(), block(4)), 1.0); }
