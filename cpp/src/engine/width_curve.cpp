#include "aspd/width_curve.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace aspd {

WidthCurve::WidthCurve(std::vector<WidthPoint> points, double prompt_token_s)
    : prompt_token_s_(prompt_token_s) {
  const auto check = [](bool ok, const char* what) {
    if (!ok) throw std::invalid_argument(what);
  };
  check(std::isfinite(prompt_token_s) && prompt_token_s >= 0, "prompt_token_s must not be negative");
  std::sort(points.begin(), points.end(), [](const WidthPoint& a, const WidthPoint& b) {
    return a.depth < b.depth || (a.depth == b.depth && a.width < b.width);
  });
  for (const WidthPoint& point : points) {
    check(point.width >= 1 && point.depth >= 0, "a width is at least 1, a depth at least 0");
    check(std::isfinite(point.seconds) && point.seconds > 0, "a step takes more than 0 seconds");
    if (rows_.empty() || rows_.back().depth != point.depth) rows_.push_back({point.depth, {}});
    auto& row = rows_.back().points;
    check(row.empty() || row.back().first < point.width, "a width is measured twice at one depth");
    row.emplace_back(point.width, point.seconds);
  }
  for (const Row& row : rows_) {
    check(row.points.front().first == 1, "the width 1 was not measured at every depth");
    check(row.points.size() == rows_.front().points.size(), "the depths have not the same widths");
  }
}

double WidthCurve::at(const Row& row, std::int32_t width) {
  const auto right = std::lower_bound(row.points.begin(), row.points.end(), width,
                                      [](const auto& point, std::int32_t w) { return point.first < w; });
  if (right == row.points.end()) {
    return row.points.back().second * static_cast<double>(width) /
           static_cast<double>(row.points.back().first);
  }
  if (right->first == width || right == row.points.begin()) return right->second;
  const auto left = right - 1;
  const double part =
      static_cast<double>(width - left->first) / static_cast<double>(right->first - left->first);
  return left->second + part * (right->second - left->second);
}

double WidthCurve::seconds(std::int32_t width, std::size_t depth) const {
  if (rows_.size() == 1) return at(rows_.front(), width);
  std::size_t upper = 1;
  while (upper + 1 < rows_.size() && static_cast<std::size_t>(rows_[upper].depth) < depth) ++upper;
  const Row& low = rows_[upper - 1];
  const Row& high = rows_[upper];
  const double below = at(low, width);
  const double above = std::max(below, at(high, width));  // noise must not make a longer context cheaper
  const double part = (static_cast<double>(depth) - static_cast<double>(low.depth)) /
                      static_cast<double>(high.depth - low.depth);
  return below + std::max(part, 0.0) * (above - below);
}

std::int32_t WidthCurve::max_width() const { return empty() ? 0 : rows_.front().points.back().first; }

double WidthCurve::prompt_token_s() const {
  if (prompt_token_s_ > 0 || empty()) return prompt_token_s_;
  return rows_.front().points.front().second;
}

}  // namespace aspd
