// The strict GGUF reader: reads a model file's header, metadata and tensor table before llama.cpp ever sees
// it. It knows what llama.cpp answers with an abort, an endless loop or a huge allocation, and refuses such
// files. It does not look at the weights.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace aspd {

// What a file says about itself, after all checks have passed. Of a model in several parts: the sums of all
// parts.
struct GgufSummary {
  std::uint32_t version = 0;  // of the format: 2 or 3
  std::uint64_t n_tensors = 0;
  std::uint64_t n_kv = 0;                             // metadata keys
  std::string architecture;                           // general.architecture: "llama", "qwen2", ...
  std::uint64_t file_size = 0;                        // bytes
  std::uint32_t alignment = 0;                        // of the tensors' data, bytes
  std::uint64_t n_vocab = 0;                          // 0: the file has no vocabulary
  std::map<std::string, std::uint64_t> quantisation;  // name of a ggml type -> tensors of that type
};

// Checks the file, and the other parts when it is the first part of a split model. Reads no weights: at most
// 64 MiB of memory. Throws ModelError with one sentence that says what is wrong.
[[nodiscard]] GgufSummary check_gguf(const std::string& path);

}  // namespace aspd
