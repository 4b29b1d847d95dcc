// Writes a model file anew with other types of weights, by llama.cpp's own quantisation. Knows neither
// engines nor which types are best.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace aspd {

// A type that weights can be written in.
struct WeightType {
  std::string name;         // "Q4_0"; "Q4_K" and "Q5_K" mean the mixes that llama.cpp calls _S
  double bits = 0;          // per weight
  std::int64_t block = 32;  // a row must be a multiple of so many weights
};
[[nodiscard]] const std::vector<WeightType>& weight_types();

// The weights of a model file as far as a choice of types needs them. Matrices are what could be quantised;
// the head is the matrix that gives the logits.
struct WeightSummary {
  std::string weights;            // type of most bytes of the matrices without the head: "Q4_0", "BF16"
  std::string head;               // type of the head
  double weight_bits = 0;         // per weight, mean of the matrices without the head
  double head_bits = 0;           // per weight
  bool tied = false;              // the head is the table of the tokens' embeddings
  bool quantised = false;         // a matrix is quantised already
  std::uint64_t n_weights = 0;    // in the matrices without the head
  std::uint64_t n_head = 0;       // weights of the head
  std::uint64_t other_bytes = 0;  // header, vocabulary and all that is never quantised
  std::map<std::int64_t, std::uint64_t> rows;  // length of a row -> weights in matrices of such rows, no head
  std::int64_t head_row = 0;                   // weights in a row of the head
  std::string embedding;                       // type of the table of the tokens' embeddings
};

// Reads no weights. Throws ModelError: no model file, split into several, or of a shape that llama.cpp cannot
// quantise.
[[nodiscard]] WeightSummary summarize_weights(const std::string& path);

struct QuantizeOptions {
  std::string weights = "Q4_0";  // name of a WeightType. Where it does not divide a row, llama.cpp takes
                                 // another type; of some models it writes a few matrices in more bits
  std::string head = "Q6_K";     // name of a WeightType; it must divide a row of the head
  std::int32_t n_threads = 0;    // 0: one for each core
};

// Progress that another thread may watch and stop.
struct QuantizeProgress {
  std::atomic<double> done{0};  // 0 ... 1, by tensors
  std::atomic<bool> cancel{false};
};

// Reads `from`, which may be quantised already, and writes `to`, which must be another file. A quantised
// table of embeddings that is not the head stays as it is. Where it fails, nothing is left of `to`.
// Throws std::invalid_argument for a wrong option, then `to` is as it was; ModelError; std::system_error
// where `to` cannot be written, a full disk for one; CancelledError at the next tensor when progress->cancel
// is set.
void quantize(const std::string& from, const std::string& to, const QuantizeOptions& options,
              QuantizeProgress* progress = nullptr);

}  // namespace aspd
