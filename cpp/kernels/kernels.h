// Matrix products with few rows on the right, as decode steps of 2 to 16 lanes need them: the weights are
// read and unpacked once for all rows. One table of kernels for each instruction set, in the layouts that
// llama.cpp keeps its weights in. Knows blocks and registers; neither graphs nor threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "attention.h"

namespace aspd::kernels {

// How the right-hand side is quantised.
enum class Packing {
  kQ8_0,  // blocks of 32, as ggml's Q8_0
  kQ8_1,  // blocks of 32, as ggml's Q8_1: scale and scaled sum
  kQ8_K,  // blocks of 256, as ggml's Q8_K
};

// Rows of the right-hand side, each packed as: k numbers of 8 bits in their order; the scale of each block;
// sums.
struct Packed {
  const char* data = nullptr;
  std::size_t stride = 0;  // bytes from row to row
  std::size_t scales = 0;  // offset of the blocks' scales in a row: floats
  std::size_t sums = 0;    // offset of the sums in a row; what they are: packing.h
  std::int64_t k = 0;      // numbers in a row
};

// Products of the rows [begin, end) of the weights with n rows of the right-hand side:
// out[i * out_stride + r] for row i on the right and row r of the weights.
// weights: the whole matrix. row_bytes: of a row. rhs: its first row is the first of the n.
using Product = void (*)(const void* weights, std::size_t row_bytes, const Packed& rhs, std::int32_t n,
                         float* out, std::size_t out_stride, std::int64_t begin, std::int64_t end);

// A kernel, and the numbers of rows on the right with which it was measured to be faster than llama.cpp's.
struct Kernel {
  Product product = nullptr;  // null: none for this type
  std::int64_t least = 0;
  std::int64_t most = 0;
};
constexpr std::int64_t kAny = INT64_MAX;

// Natural logarithm of the sum of e^x over a row of n numbers; -inf of none.
using LogSumExp = double (*)(const float* row, std::size_t n);

// The kernels for one instruction set.
struct Kernels {
  const char* name = "";
  Kernel q4_0x8;  // eight rows interleaved by llama.cpp's repacking, eight bytes at a time
  Kernel q4_Kx8;  // the same; begin and end are multiples of 8 for both
  Kernel q4_0;    // rows as they are in the file
  Kernel q4_1;
  Kernel q8_0;
  Kernel q6_K;
  See see = nullptr;  // null: none, as the next
  Attend attend = nullptr;
  LogSumExp log_sum_exp = nullptr;  // null: none
  // On ARM only. 4x8: four rows interleaved, eight bytes at a time; begin is a multiple of 8, end of 4.
  Kernel q4_K{};
  Kernel q4_0_4x4{};
  Kernel q4_0_4x8{};
  Kernel q8_0_4x4{};
  Kernel q8_0_4x8{};
  Kernel q4_K_8x4{};
  Kernel q6_K_8x4{};
  Kernel q6_K_8x8{};
};

// Null where the compiler could not make them, or this processor cannot run them.
const Kernels* avx2_kernels();
const Kernels* avx_vnni_kernels();
const Kernels* avx512_vnni_kernels();
const Kernels* dotprod_kernels();
const Kernels* i8mm_kernels();

// The fastest that this processor runs; null: none.
const Kernels* best_kernels();

}  // namespace aspd::kernels
