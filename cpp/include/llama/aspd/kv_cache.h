// Owns the sequences of a context. The only file that calls llama_memory_seq_*. Keeps a ledger of cells
// beside llama.cpp's, so that cells in use are known exactly at any time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "aspd/layout.h"

struct llama_context;

namespace aspd {

class KvCache;

// A move-only lease on one llama.cpp sequence id. Its destructor frees its cells and gives the id back.
class Sequence {
 public:
  Sequence() = default;  // holds nothing
  ~Sequence();
  Sequence(Sequence&& other) noexcept;
  Sequence& operator=(Sequence&& other) noexcept;
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  [[nodiscard]] std::int32_t id() const { return id_; }
  [[nodiscard]] explicit operator bool() const { return cache_ != nullptr; }
  [[nodiscard]] std::size_t n_cells() const { return cells_.size(); }
  [[nodiscard]] Pos pos_max() const;                 // -1: empty
  [[nodiscard]] std::vector<Pos> positions() const;  // of its cells, [n_cells], several may be equal

  // A new sequence that shares the cells at positions below `end` (-1: all of them; a recurrent memory can
  // only share all). Throws std::length_error when no id is free.
  [[nodiscard]] Sequence fork(Pos end = -1) const;
  // Takes the branch's cells at positions >= p into this sequence and ends the branch.
  // The same position may then be held by several cells of this sequence.
  void join(Sequence&& branch, Pos p);
  // Removes the cells at positions >= p. False where the memory cannot (recurrent models); nothing is removed
  // then.
  [[nodiscard]] bool truncate(Pos p);
  // Books n cells at positions [p, p + n) that llama.cpp has just filled.
  void record(Pos p, std::size_t n);
  void clear();

 private:
  friend class KvCache;
  struct Cell {
    std::uint32_t index;  // in the ledger
    Pos pos;
  };
  Sequence(KvCache* cache, std::int32_t id) : cache_(cache), id_(id) {}
  void release() noexcept;

  KvCache* cache_ = nullptr;
  std::int32_t id_ = -1;
  std::vector<Cell> cells_;
};

class KvCache {
 public:
  // context: outlives the cache. n_cells, n_sequences: as the context was made.
  KvCache(llama_context* context, std::size_t n_cells, std::int32_t n_sequences);
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  // Throws std::length_error when no id is free.
  [[nodiscard]] Sequence acquire();
  [[nodiscard]] std::size_t n_cells() const { return n_cells_; }
  [[nodiscard]] std::size_t cells_in_use() const { return in_use_; }
  [[nodiscard]] std::size_t cells_free() const { return n_cells_ - in_use_; }
  [[nodiscard]] std::int32_t n_sequences() const { return n_sequences_; }
  [[nodiscard]] std::int32_t sequences_free() const { return static_cast<std::int32_t>(free_ids_.size()); }

  // The largest position as llama.cpp has it, for checks against the ledger's.
  [[nodiscard]] Pos pos_max(const Sequence& sequence) const;

  // State of one sequence as bytes, private to this build and model. Throws Error when llama.cpp refuses.
  [[nodiscard]] std::vector<std::uint8_t> save(const Sequence& sequence) const;
  // Fills an empty sequence. positions: those of its cells. Throws Error when the bytes do not fit.
  void load(Sequence& sequence, const std::vector<std::uint8_t>& state, const std::vector<Pos>& positions);

 private:
  friend class Sequence;
  std::uint32_t take_cell();
  void drop_cell(std::uint32_t index) noexcept;

  llama_context* context_;
  std::size_t n_cells_;
  std::int32_t n_sequences_;
  std::size_t in_use_ = 0;
  std::vector<std::int32_t> free_ids_;
  std::vector<std::uint16_t> users_;  // sequences a ledger cell has
  std::vector<std::uint32_t> free_cells_;
};

}  // namespace aspd
