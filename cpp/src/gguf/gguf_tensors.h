// The tensor table of a GGUF file: names, shapes, types and places of the weights. Reads no weights.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_set>

namespace aspd {

class GgufReader;

struct GgufTensors {
  std::unordered_set<std::string> names;
  std::map<std::string, std::uint64_t> quantisation;  // name of a type -> tensors
  // Name of a tensor of queries, keys and values ("blk.0.attn_q.weight") -> its rows, for the first 2048 of
  // them.
  std::map<std::string, std::uint64_t> attention_rows;
};

inline constexpr std::uint64_t kMostTensors = std::uint64_t{1} << 17;  // of all parts of a model

// Reads the table of n_tensors tensors and compares their places with the size of the file. alignment: bytes,
// a power of two. Throws ModelError.
[[nodiscard]] GgufTensors check_tensors(GgufReader& reader, std::uint64_t n_tensors, std::uint32_t alignment);

}  // namespace aspd
