// The kernels as a part of llama.cpp's CPU backend. Uses ggml's internal headers, so that nothing else has
// to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace aspd::kernels {

// Puts the kernels before llama.cpp's own matrix products. Idempotent. False where this build's llama.cpp has
// no place for them (third_party/patches/op-hook.patch) or this processor runs none.
bool install();

// Turns the kernels off or on again, for comparisons. Not while anything is computed.
void enable(bool on);

// Name of the instruction set whose kernels are in use; empty: none, or turned off.
[[nodiscard]] std::string in_use();

// Whether weights of a type, by ggml's name, have a kernel of ours: repacked by llama.cpp, or as they are.
[[nodiscard]] bool has_kernel(const std::string& type, bool repacked);

// Whether attention of heads of n numbers has a kernel of ours.
[[nodiscard]] bool has_attention(std::int64_t n);

// Natural logarithm of the sum of e^x over a row of n numbers, e^x within a few units of its last place.
[[nodiscard]] double log_sum_exp(const float* row, std::size_t n);

// Products that the kernels have computed since the process began.
[[nodiscard]] std::int64_t n_products();

// The same for attention.
[[nodiscard]] std::int64_t n_attentions();

// A timed product of random weights with `width` rows on the right.
struct ProductTimes {
  std::string type;       // of the weights, ggml's name
  bool repacked = false;  // they are
  std::size_t weight_bytes = 0;
  std::vector<double> seconds;  // of each product
};
// Times matrix products through ggml, as a decode step does them: n_matrices of n_rows x k, one after the
// other, so that none of them stays in the caches. Throws std::invalid_argument.
[[nodiscard]] ProductTimes time_products(const std::string& type, bool repack, std::int64_t n_rows,
                                         std::int64_t k, std::int32_t n_matrices, std::int32_t width,
                                         std::int32_t n_threads, std::int32_t n_times);

// A step's attention. type: of the cache, ggml's name. n_heads: of a lane; n_cached: of the cache, which they
// share. dk, dv: numbers of a key and of a value.
struct AttentionShape {
  std::string type;
  std::int64_t n_lanes = 1;
  std::int64_t n_heads = 1;
  std::int64_t n_cached = 1;
  std::int64_t dk = 0;
  std::int64_t dv = 0;
  std::int64_t n_cells = 1;
};
// [n_lanes, n_heads, dv]: ggml's flash attention, with our kernels where they are in use. q: [n_heads,
// n_lanes, dk]; k: [n_cached, n_cells, dk]; v: [n_cached, n_cells, dv]; mask: [n_lanes, n_cells], added to
// the scores. Throws std::invalid_argument.
[[nodiscard]] std::vector<float> attention(const AttentionShape& shape, const std::vector<float>& q,
                                           const std::vector<float>& k, const std::vector<float>& v,
                                           const std::vector<float>& mask, std::int32_t n_threads);
// Seconds of the attention of n_layers layers with random numbers, all lanes seeing all cells; [n_times].
// Throws std::invalid_argument.
[[nodiscard]] std::vector<double> time_attention(const AttentionShape& shape, std::int32_t n_layers,
                                                 std::int32_t n_threads, std::int32_t n_times);

// Bytes per second that n_threads read together from memory, the most of several passes over n_bytes.
[[nodiscard]] double read_bandwidth(std::size_t n_bytes, std::int32_t n_threads);

// out[i * n_rows + r]: product of row r of the weights, quantised to `type`, with row i of x; computed by
// ggml with our kernels where they are in use. weights: [n_rows * k], x: [n * k]. Throws
// std::invalid_argument.
[[nodiscard]] std::vector<float> product(const std::string& type, bool repack,
                                         const std::vector<float>& weights, const std::vector<float>& x,
                                         std::int64_t n_rows, std::int64_t k, std::int32_t n_threads);

// Quantised rows as llama.cpp's repacking lays them out on this processor. Throws std::invalid_argument.
[[nodiscard]] std::vector<char> repacked_rows(const std::string& type, const std::vector<char>& weights,
                                              std::int64_t n_rows, std::int64_t k);

}  // namespace aspd::kernels
