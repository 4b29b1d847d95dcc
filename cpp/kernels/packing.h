// The right-hand side of a product, quantised as ggml does it and laid out as the kernels read it.
#pragma once

#include "kernels.h"

namespace aspd::kernels {

// Layout of rows of k numbers; data is not set. k is a multiple of the block.
// Sums, for each block: kQ8_0: int32, -8 times the sum of the numbers. kQ8_1: float, ggml's scaled sum.
// kQ8_K: 16 int16, the sums of each 16 numbers, then 8 int16, the sums of each 32.
constexpr std::int64_t kSumsK = 24;  // int16 that the sums of a block of kQ8_K take

[[nodiscard]] Packed packed_layout(Packing packing, std::int64_t k);
[[nodiscard]] std::int64_t block_size(Packing packing);

// Quantises the blocks [first, last) of a row. row: floats, [k]. out: the packed row.
void pack(Packing packing, const float* row, std::int64_t first, std::int64_t last, const Packed& layout,
          char* out);

}  // namespace aspd::kernels
