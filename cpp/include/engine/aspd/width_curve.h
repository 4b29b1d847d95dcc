// The width curve t(n): measured seconds of a decode step by its width and by the cells in use. Data and
// interpolation; knows neither engines nor models.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace aspd {

// One measured point, a median.
struct WidthPoint {
  std::int32_t width = 1;  // lanes in the step
  std::int32_t depth = 0;  // cells in use
  double seconds = 0;      // of one step, sampling included
};

class WidthCurve {
 public:
  // Empty: nothing was measured.
  WidthCurve() = default;
  // points: each depth has the same widths, 1 among them. prompt_token_s: seconds of a token in a long
  // prompt, 0: not measured. Throws std::invalid_argument.
  WidthCurve(std::vector<WidthPoint> points, double prompt_token_s);

  [[nodiscard]] bool empty() const { return rows_.empty(); }
  // Seconds of a step. Linear between the measured widths and depths; beyond the last width in proportion to
  // it, beyond the last depth along the last slope. Not when empty.
  [[nodiscard]] double seconds(std::int32_t width, std::size_t depth) const;
  // The largest measured width.
  [[nodiscard]] std::int32_t max_width() const;
  // Seconds of a token in a long prompt; t(1) where it was not measured.
  [[nodiscard]] double prompt_token_s() const;

 private:
  struct Row {  // the curve at one depth, widths ascending
    std::int32_t depth;
    std::vector<std::pair<std::int32_t, double>> points;
  };
  std::vector<Row> rows_;  // depths ascending
  double prompt_token_s_ = 0;

  [[nodiscard]] static double at(const Row& row, std::int32_t width);
};

}  // namespace aspd
