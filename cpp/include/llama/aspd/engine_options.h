// What an engine is opened with: the context, its cache and its threads.
#pragma once

#include <cstdint>
#include <string>

namespace aspd {

// Most cells of a cache whose size nobody chose.
constexpr std::int32_t kDefaultCells = 8192;

struct EngineOptions {
  std::int32_t n_ctx = 0;       // cells of the KV cache, for all requests; 0: min(trained, kDefaultCells)
  std::int32_t n_lanes = 16;    // most tokens decoded side by side in one step
  std::int32_t n_requests = 4;  // most requests answered at once; more wait in submit's order
  std::int32_t n_retained = 4;  // finished answers kept in the cache for the next turn
  std::int32_t n_batch = 512;   // most prompt tokens in one step
  std::int32_t n_threads = 0;   // threads of a one-lane step; 0: physical cores
  std::int32_t n_threads_batch = 0;  // threads of wider steps; 0: physical cores
  std::string flash_attn = "auto";   // "auto": off on a CPU for heads below 128; "on", "off"
  std::string cache_type = "f16";    // "f32", "f16", "q8_0"
  std::int32_t n_outputs_max = 0;    // rows of logits in one step, at least n_lanes; 0: as few as possible
  bool self_test = true;             // prove at the start that branches can be joined
};

}  // namespace aspd
