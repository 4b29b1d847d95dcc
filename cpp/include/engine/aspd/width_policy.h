// Decides by the width curve: how many lanes a step runs, how far it is padded, whether a plan pays. Pure
// functions of numbers; no device is a special case.
#pragma once

#include <cstddef>
#include <cstdint>

#include "aspd/width_curve.h"

namespace aspd {

// Speed-up from which on a plan is decoded in parallel.
constexpr double kLeastGain = 1.05;

struct StepWidth {
  std::int32_t lanes = 0;  // that are run
  std::int32_t width = 0;  // of the step; width - lanes of it are padding
};

// The step that decodes most tokens a second, run again and again with lanes taking turns. live: lanes that
// have a token to decode. least: lanes that must move. most: widest step. depth: cells in use.
// least <= min(live, most). All live lanes unpadded if the curve is empty or nothing else is clearly better.
[[nodiscard]] StepWidth choose_width(const WidthCurve& curve, std::int32_t live, std::int32_t least,
                                     std::int32_t most, std::size_t depth);

// What is known of a block before it is forked.
struct BlockForecast {
  std::int32_t n_branches = 0;
  double seed_tokens = 0;      // of a branch, fed
  double body_tokens = 0;      // of a branch, decoded, on average
  double longest = 1;          // the longest body, in average ones
  bool decoded_again = false;  // all but the first, after the join: the join rule `linear`
  std::int32_t most = 0;       // widest step
  std::size_t depth = 0;       // cells in use at the fork
};

// Predicted speed-up: seconds of the branches' text written serially / seconds of the block. 1 if the curve
// is empty. The plan is paid for in either case.
[[nodiscard]] double predicted_gain(const WidthCurve& curve, const BlockForecast& block);

}  // namespace aspd
