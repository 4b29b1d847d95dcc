#include "aspd/width_policy.h"

#include <algorithm>

namespace aspd {

namespace {

// Better by less than this is noise of the measurement.
constexpr double kClearly = 1.02;

}  // namespace

StepWidth choose_width(const WidthCurve& curve, std::int32_t live, std::int32_t least, std::int32_t most,
                       std::size_t depth) {
  StepWidth best{std::min(live, most), std::min(live, most)};
  if (curve.empty() || live < 1) return best;
  double rate = kClearly * best.lanes / curve.seconds(best.width, depth);
  const std::int32_t widest = std::min(most, std::max(curve.max_width(), best.width));
  for (std::int32_t width = widest; width >= std::max(least, 1); --width) {
    const std::int32_t lanes = std::min(live, width);
    const double other = lanes / curve.seconds(width, depth);
    if (other > rate) {
      rate = other;
      best = {lanes, width};
    }
  }
  return best;
}

double predicted_gain(const WidthCurve& curve, const BlockForecast& block) {
  if (curve.empty() || block.n_branches < 1) return 1;
  const double n = block.n_branches;
  const auto depth = block.depth + static_cast<std::size_t>(n * block.body_tokens / 2);  // on average
  const StepWidth step = choose_width(curve, block.n_branches, 1, block.most, depth);
  double fed = n * block.seed_tokens;
  if (block.decoded_again) fed += (n - 1) * (block.seed_tokens + block.body_tokens);
  const double decoded = n * block.body_tokens;
  // Where the longest body decides, steps get narrower towards the end.
  const double n_steps = std::max(decoded / step.lanes, std::min(block.longest, n) * block.body_tokens);
  const double lanes = decoded / n_steps;
  const auto narrow = static_cast<std::int32_t>(lanes);
  double step_s = curve.seconds(step.width, depth);
  if (lanes < step.lanes) {
    const double narrow_s = curve.seconds(narrow, depth);
    step_s = narrow_s + (lanes - narrow) * (curve.seconds(narrow + 1, depth) - narrow_s);
  }
  return decoded * curve.seconds(1, depth) / (fed * curve.prompt_token_s() + n_steps * step_s);
}

}  // namespace aspd
