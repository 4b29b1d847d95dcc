// Finished answers whose cells stay in the cache, so that a next turn decodes only what is new.
#pragma once

#include <list>

#include "aspd/kv_cache.h"
#include "aspd/layout.h"

namespace aspd {

class PrefixCache {
 public:
  explicit PrefixCache(std::size_t capacity, bool can_truncate)
      : capacity_(capacity), can_truncate_(can_truncate) {}

  // It is the one used last. Beyond the capacity, others go as with evict().
  void keep(Sequence sequence, Layout layout);
  // How many leading tokens of the prompt, at most n_most, take() would find.
  [[nodiscard]] std::size_t n_shared(const Layout& prompt, std::size_t n_most) const;
  // The sequence that shares the most leading tokens with the prompt, at most n_most of them; `layout`
  // becomes what it holds. An empty Sequence when nothing is shared. Forks where the rest is still worth
  // keeping.
  [[nodiscard]] Sequence take(const Layout& prompt, std::size_t n_most, Layout& layout);
  // Drops the one that is worth least; false when there is none. Worth is what would have to be read again,
  // in tokens that no other one holds, and grows old: it counts from the worth of the last one that went when
  // this one was last used (Cao and Irani, Cost-Aware WWW Proxy Caching Algorithms, 1997, "GreedyDual"). The
  // two used last stay as long as there are others.
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
    std::size_t since = 0;  // worth of the last one that had gone when this one was used
  };
  using Entries = std::list<Entry>;
  void use(Entries::iterator entry);
  [[nodiscard]] std::size_t worth(Entries::const_iterator entry) const;
  [[nodiscard]] std::size_t n_shared(const Entry& entry, const Layout& prompt, std::size_t n_most) const;

  std::size_t capacity_;
  bool can_truncate_;
  Entries entries_;             // the one used last first
  std::size_t worth_gone_ = 0;  // the greatest of those that went
};

}  // namespace aspd
