// Attention of a few lanes to one cache: the keys and values of a cell are read once for all lanes that see
// it and for all heads that share them, and cells that a lane does not see cost it nothing. After
// FlashAttention (arXiv 2205.14135) and its split over cells for decoding. Knows rows and registers; neither
// graphs nor threads.
//
// A lane's result does not depend on the other lanes: the cells that it sees are counted through in their
// order, kCells of them are attended to together, kPart make a part, and parts are put together one after the
// other. What else lies in the cache, how many lanes there are, how many threads: all that changes only who
// computes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace aspd::kernels {

constexpr std::int64_t kCells = 32;         // that are brought into the first cache together
constexpr std::int64_t kPart = 4 * kCells;  // cells of a part
constexpr std::int64_t kMostLanes = 64;
constexpr std::int64_t kHeadStep = 16;  // a head's numbers are a multiple of it

// One head of the cache.
struct CachedHead {
  using ToFloat = void (*)(const void* from, float* to, std::int64_t n);
  const char* k = nullptr;  // of the first cell
  const char* v = nullptr;
  std::size_t k_stride = 0;  // bytes from cell to cell
  std::size_t v_stride = 0;
  ToFloat k_to_float = nullptr;  // null: they are halves
  ToFloat v_to_float = nullptr;
  std::int64_t dk = 0;  // numbers of a key; a multiple of kHeadStep, as dv is
  std::int64_t dv = 0;
};

// Of kCells neighbouring cells: those that a lane sees, and how many it sees of all before them.
struct Seen {
  std::uint32_t bits = 0;
  std::uint32_t before = 0;
};

// What attends to it: up to kMostLanes, each with the heads that share this one.
struct Queries {
  const float* q = nullptr;  // [n_lanes, n_heads, dk], times the scale of the scores
  std::int32_t n_lanes = 0;
  std::int32_t n_heads = 0;
  const char* mask = nullptr;  // halves, [n_lanes, cells], added to the scores; null: all see all
  std::size_t mask_stride = 0;
  const Seen* seen = nullptr;  // [n_lanes, n_blocks]
  std::int64_t n_blocks = 0;   // of kCells cells
};

// Sums over the cells so far, for each row (lane, head).
struct Attended {
  float* most = nullptr;    // [rows]: the highest score; -inf: no cell was seen
  float* weight = nullptr;  // [rows]: sum of exp(score - most)
  float* sum = nullptr;     // [rows, dv]: of the values, so weighted
};

// Floats of scratch that an Attend needs.
[[nodiscard]] constexpr std::int64_t attention_scratch(std::int64_t n_rows, std::int64_t dk,
                                                       std::int64_t dv) {
  return ((dk > dv ? dk : dv) + n_rows + 1) * kCells;
}

// The cells that a lane sees. mask: halves, [n_cells]; null: all. seen: [n_cells / kCells, rounded up].
using See = void (*)(const char* mask, std::int64_t n_cells, Seen* seen);

// Attends each lane to those cells that it counts as [begin, end), begin a multiple of kCells: of the cells
// that it sees, in their order.
using Attend = void (*)(const CachedHead& head, const Queries& queries, std::int64_t begin, std::int64_t end,
                        const Attended& to, float* scratch);

}  // namespace aspd::kernels
