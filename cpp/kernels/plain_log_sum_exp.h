// Logarithms of sums of exponentials in plain C++, for processors and builds without kernels.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace aspd::kernels {

namespace plain {

constexpr std::size_t kLanes = 16;

// e^x for x <= 0 within a few units of the last place, in steps that compilers do for many numbers at once.
inline float exp_of(float x) {
  constexpr float kToInteger = 12582912.0F;  // added to a small number, it leaves the integer in the low bits
  x = x < -87.0F ? -87.0F : x;
  const float shifted = x * 1.44269504F + kToInteger;
  const float n = shifted - kToInteger;
  const float r = (x - n * 0.693145752F) - n * 1.42860677e-6F;
  const float tail =
      0.5F + r * (0.166666672F + r * (0.0416666679F + r * (0.00833333377F + r * 0.00138888892F)));
  std::int32_t bits = 0;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = static_cast<std::int32_t>(static_cast<std::uint32_t>(bits + 127) << 23U);
  float power = 0;
  std::memcpy(&power, &bits, sizeof(power));
  return power * (1.0F + r * (1.0F + r * tail));
}

inline float largest(const float* row, std::size_t n) {
  float lanes[kLanes];
  std::fill(lanes, lanes + kLanes, row[0]);
  std::size_t t = 0;
  for (; t + kLanes <= n; t += kLanes) {
    for (std::size_t l = 0; l < kLanes; ++l) lanes[l] = row[t + l] > lanes[l] ? row[t + l] : lanes[l];
  }
  float most = *std::max_element(lanes, lanes + kLanes);
  for (; t < n; ++t) most = std::max(most, row[t]);
  return most;
}

// Sum of e^(row - most); in single precision over stretches only.
inline double sum_of_exp(const float* row, std::size_t n, float most) {
  constexpr std::size_t kStretch = 64 * kLanes;
  double total = 0;
  std::size_t t = 0;
  for (; t + kStretch <= n; t += kStretch) {
    float lanes[kLanes] = {};
    for (std::size_t u = t; u < t + kStretch; u += kLanes) {
      for (std::size_t l = 0; l < kLanes; ++l) lanes[l] += exp_of(row[u + l] - most);
    }
    for (const float lane : lanes) total += static_cast<double>(lane);
  }
  for (; t < n; ++t) total += static_cast<double>(exp_of(row[t] - most));
  return total;
}

}  // namespace plain

inline double plain_log_sum_exp(const float* row, std::size_t n) {
  if (n == 0) return -INFINITY;
  const float most = plain::largest(row, n);
  return static_cast<double>(most) + std::log(plain::sum_of_exp(row, n, most));
}

}  // namespace aspd::kernels
