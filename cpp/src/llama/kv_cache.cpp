#include "aspd/kv_cache.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "aspd/errors.h"
#include "llama.h"

namespace aspd {

Sequence::~Sequence() { release(); }

Sequence::Sequence(Sequence&& other) noexcept
    : cache_(std::exchange(other.cache_, nullptr)),
      id_(std::exchange(other.id_, -1)),
      cells_(std::move(other.cells_)) {}

Sequence& Sequence::operator=(Sequence&& other) noexcept {
  if (this != &other) {
    release();
    cache_ = std::exchange(other.cache_, nullptr);
    id_ = std::exchange(other.id_, -1);
    cells_ = std::move(other.cells_);
  }
  return *this;
}

void Sequence::release() noexcept {
  if (cache_ == nullptr) return;
  clear();
  cache_->free_ids_.push_back(id_);
  cache_ = nullptr;
  id_ = -1;
}

void Sequence::clear() {
  llama_memory_seq_rm(llama_get_memory(cache_->context_), id_, -1, -1);
  for (const Cell& cell : cells_) cache_->drop_cell(cell.index);
  cells_.clear();
}

Pos Sequence::pos_max() const {
  Pos most = -1;
  for (const Cell& cell : cells_) most = std::max(most, cell.pos);
  return most;
}

std::vector<Pos> Sequence::positions() const {
  std::vector<Pos> found;
  for (const Cell& cell : cells_) found.push_back(cell.pos);
  return found;
}

Sequence Sequence::fork(Pos end) const {
  Sequence copy = cache_->acquire();
  llama_memory_seq_cp(llama_get_memory(cache_->context_), id_, copy.id_, -1, end);
  for (const Cell& cell : cells_) {
    if (end >= 0 && cell.pos >= end) continue;
    copy.cells_.push_back(cell);
    ++cache_->users_[cell.index];
  }
  return copy;
}

void Sequence::join(Sequence&& branch, Pos p) {
  Sequence ending = std::move(branch);
  // p0 is p, never -1: the prefix is in this sequence already (asserted by debug builds of llama.cpp).
  llama_memory_seq_cp(llama_get_memory(cache_->context_), ending.id_, id_, p, -1);
  for (const Cell& cell : ending.cells_) {
    if (cell.pos < p) continue;
    cells_.push_back(cell);
    ++cache_->users_[cell.index];
  }
}

bool Sequence::truncate(Pos p) {
  if (pos_max() < p) return true;
  if (!llama_memory_seq_rm(llama_get_memory(cache_->context_), id_, p, -1)) return false;
  const auto gone =
      std::stable_partition(cells_.begin(), cells_.end(), [p](const Cell& cell) { return cell.pos < p; });
  for (auto cell = gone; cell != cells_.end(); ++cell) cache_->drop_cell(cell->index);
  cells_.erase(gone, cells_.end());
  return true;
}

void Sequence::record(Pos p, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    cells_.push_back({cache_->take_cell(), p + static_cast<Pos>(i)});
  }
}

KvCache::KvCache(llama_context* context, std::size_t n_cells, std::int32_t n_sequences)
    : context_(context), n_cells_(n_cells), n_sequences_(n_sequences), users_(n_cells, 0) {
  for (std::int32_t id = n_sequences - 1; id >= 0; --id) free_ids_.push_back(id);
  free_ids_.reserve(static_cast<std::size_t>(n_sequences));  // release() must not throw
  free_cells_.reserve(n_cells);
  for (std::size_t i = n_cells; i > 0; --i) free_cells_.push_back(static_cast<std::uint32_t>(i - 1));
}

Sequence KvCache::acquire() {
  if (free_ids_.empty()) throw std::length_error("no sequence id is free");
  const std::int32_t id = free_ids_.back();
  free_ids_.pop_back();
  return Sequence(this, id);
}

std::uint32_t KvCache::take_cell() {
  if (free_cells_.empty()) throw std::logic_error("the ledger of cells is full");
  const std::uint32_t index = free_cells_.back();
  free_cells_.pop_back();
  users_[index] = 1;
  ++in_use_;
  return index;
}

void KvCache::drop_cell(std::uint32_t index) noexcept {
  if (--users_[index] > 0) return;
  free_cells_.push_back(index);
  --in_use_;
}

Pos KvCache::pos_max(const Sequence& sequence) const {
  return llama_memory_seq_pos_max(llama_get_memory(context_), sequence.id_);
}

std::vector<std::uint8_t> KvCache::save(const Sequence& sequence) const {
  std::vector<std::uint8_t> state(llama_state_seq_get_size(context_, sequence.id_));
  const std::size_t n = llama_state_seq_get_data(context_, state.data(), state.size(), sequence.id_);
  if (n == 0) throw Error("llama.cpp did not save the sequence");
  state.resize(n);
  return state;
}

void KvCache::load(Sequence& sequence, const std::vector<std::uint8_t>& state,
                   const std::vector<Pos>& positions) {
  if (positions.size() > cells_free()) throw ContextFullError(positions.size(), cells_free());
  if (llama_state_seq_set_data(context_, state.data(), state.size(), sequence.id_) == 0) {
    sequence.clear();
    throw Error("llama.cpp did not accept the saved sequence");
  }
  for (const Pos p : positions) sequence.record(p, 1);
  if (pos_max(sequence) != sequence.pos_max()) {
    sequence.clear();
    throw Error("the saved sequence does not have the positions of its layout");
  }
}

}  // namespace aspd
