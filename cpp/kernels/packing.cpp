#include "packing.h"

#include <algorithm>
#include <cstring>

#define GGML_COMMON_DECL_CPP
#include "ggml-common.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "quants.h"

namespace aspd::kernels {

namespace {

constexpr std::size_t kAlign = 64;

std::size_t padded(std::size_t n) { return (n + kAlign - 1) / kAlign * kAlign; }

// Blocks that are quantised at once, into a buffer on the stack.
constexpr std::int64_t kAtOnce = 16;

}  // namespace

std::int64_t block_size(Packing packing) { return packing == Packing::kQ8_K ? QK_K : QK8_0; }

Packed packed_layout(Packing packing, std::int64_t k) {
  const auto n_blocks = static_cast<std::size_t>(k / block_size(packing));
  Packed layout;
  layout.k = k;
  layout.scales = padded(static_cast<std::size_t>(k));
  layout.sums = layout.scales + padded(n_blocks * sizeof(float));
  const std::size_t sums =
      packing == Packing::kQ8_K ? n_blocks * kSumsK * sizeof(std::int16_t) : n_blocks * 4;
  // An odd number of cache lines: rows that are a power of two apart would fall into the same ways of the
  // cache.
  std::size_t lines = padded(layout.sums + sums) / kAlign;
  layout.stride = (lines | 1U) * kAlign;
  return layout;
}

void pack(Packing packing, const float* row, std::int64_t first, std::int64_t last, const Packed& layout,
          char* out) {
  auto* numbers = reinterpret_cast<std::int8_t*>(out);
  auto* scales = reinterpret_cast<float*>(out + layout.scales);
  char* sums = out + layout.sums;
  const std::int64_t size = block_size(packing);
  for (std::int64_t at = first; at < last;) {
    const std::int64_t n = std::min(kAtOnce, last - at);
    const float* from = row + at * size;
    switch (packing) {
      case Packing::kQ8_0: {
        block_q8_0 blocks[kAtOnce];
        quantize_row_q8_0(from, blocks, n * size);
        for (std::int64_t i = 0; i < n; ++i) {
          std::memcpy(numbers + (at + i) * size, blocks[i].qs, QK8_0);
          scales[at + i] = ggml_fp16_to_fp32(blocks[i].d);
          std::int32_t sum = 0;
          for (const std::int8_t q : blocks[i].qs) sum += q;
          reinterpret_cast<std::int32_t*>(sums)[at + i] = -8 * sum;
        }
        break;
      }
      case Packing::kQ8_1: {
        block_q8_1 blocks[kAtOnce];
        quantize_row_q8_1(from, blocks, n * size);
        for (std::int64_t i = 0; i < n; ++i) {
          std::memcpy(numbers + (at + i) * size, blocks[i].qs, QK8_1);
          ggml_half scale_and_sum[2];
          std::memcpy(scale_and_sum, blocks + i, sizeof(scale_and_sum));
          scales[at + i] = ggml_fp16_to_fp32(scale_and_sum[0]);
          reinterpret_cast<float*>(sums)[at + i] = ggml_fp16_to_fp32(scale_and_sum[1]);
        }
        break;
      }
      case Packing::kQ8_K: {
        block_q8_K blocks[kAtOnce];
        quantize_row_q8_K(from, blocks, n * size);
        for (std::int64_t i = 0; i < n; ++i) {
          std::memcpy(numbers + (at + i) * size, blocks[i].qs, QK_K);
          scales[at + i] = blocks[i].d;
          std::int16_t* to = reinterpret_cast<std::int16_t*>(sums) + (at + i) * kSumsK;
          std::memcpy(to, blocks[i].bsums, sizeof(blocks[i].bsums));
          for (std::int32_t j = 0; j < QK_K / 32; ++j)
            to[16 + j] = static_cast<std::int16_t>(blocks[i].bsums[2 * j] + blocks[i].bsums[2 * j + 1]);
        }
        break;
      }
    }
    at += n;
  }
}

}  // namespace aspd::kernels
