// Finished answers whose cells stay in the cache, so that a next turn decodes only what is new.
#pragma once

#include <list>

#include "aspd/kv_cache.h"
#include "aspd/layout.h"

namespace aspd {

class Retained {
 public:
  explicit Retained(std::size_t capacity, bool can_truncate)
      : capacity_(capacity), can_truncate_(can_truncate) {}

  // Most recently used first.
  void keep(Sequence sequence, Layout layout);
  // How many leading tokens of the prompt, at most n_most, take() would find.
  [[nodiscard]] std::size_t n_shared(const Layout& prompt, std::size_t n_most) const;
  // The sequence that shares the most leading tokens with the prompt, at most n_most of them; `layout`
  // becomes what it holds. An empty Sequence when nothing is shared. Forks where the rest is still worth
  // keeping.
  [[nodiscard]] Sequence take(const Layout& prompt, std::size_t n_most, Layout& layout);
  // Drops the least recently used one; false when there is none.
  bool evict();
  void clear() { entries_.clear(); }
  // The sequence that holds exactly this layout; null if there is none.
  [[nodiscard]] const Sequence* find(const Layout& layout) const;
  // A fork of one that begins with this layout and goes on; empty if there is none.
  [[nodiscard]] Sequence fork(const Layout& layout) const;
  // Length of the longest sequence that is a prefix of the layout as a whole; 0 if none is.
  [[nodiscard]] std::size_t longest_prefix(const Layout& layout) const;
  [[nodiscard]] bool empty() const { return entries_.empty(); }

 private:
  struct Entry {
    Sequence sequence;
    Layout layout;
  };
  [[nodiscard]] std::size_t n_shared(const Entry& entry, const Layout& prompt, std::size_t n_most) const;

  std::size_t capacity_;
  bool can_truncate_;
  std::list<Entry> entries_;
};

}  // namespace aspd
