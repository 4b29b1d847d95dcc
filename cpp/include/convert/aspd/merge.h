// Puts a trained adapter into its base model: LoRA into the matrices, the markers' rows into the embedding,
// the protocol into the metadata. Needs no PyTorch and no engine. The format: docs/training.md.
#pragma once

#include <string>
#include <vector>

#include "aspd/quantize.h"

namespace aspd {

// What an adapter file says about itself.
struct AdapterSummary {
  std::string architecture;
  std::string protocol;     // name of the protocol file; empty: a plain LoRA
  std::string base_sha256;  // of the file that it was trained on; empty: not said
  std::size_t n_matrices = 0;
  std::int64_t rank = 0;  // the highest
};
// Throws ModelError for anything but a LoRA adapter.
[[nodiscard]] AdapterSummary summarize_adapter(const std::string& path);

// Reads `base` and `adapter` and writes `to`, a whole model. Matrices that the adapter changes become F16,
// all else stays as it is, byte for byte: quantize() comes next. Where it fails, nothing is left of `to`.
// Throws ModelError where the adapter is damaged or of another model; std::invalid_argument where `to` is one
// of the others; std::system_error where it cannot be written; CancelledError at the next tensor.
void merge(const std::string& base, const std::string& adapter, const std::string& to,
           QuantizeProgress* progress = nullptr);

}  // namespace aspd
