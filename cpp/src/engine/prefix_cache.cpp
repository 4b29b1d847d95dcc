#include "prefix_cache.h"

#include <algorithm>

namespace aspd {

namespace {
constexpr std::size_t kNewest = 2;  // they stay as long as there are others
}

void PrefixCache::keep(Sequence sequence, Layout layout) {
  if (capacity_ == 0 || layout.size() == 0) return;
  entries_.push_front({std::move(sequence), std::move(layout), worth_gone_});
  while (entries_.size() > capacity_) evict();
}

void PrefixCache::use(Entries::iterator entry) {
  entry->since = worth_gone_;
  entries_.splice(entries_.begin(), entries_, entry);
}

std::size_t PrefixCache::worth(Entries::const_iterator entry) const {
  std::size_t shared = 0;
  for (auto other = entries_.begin(); other != entries_.end(); ++other) {
    if (other != entry) shared = std::max(shared, common_prefix(entry->layout, other->layout));
  }
  return entry->since + entry->layout.size() - shared;
}

// The last token of the prompt is decoded in any case, for its logits, which is what n_most is about.
std::size_t PrefixCache::n_shared(const Entry& entry, const Layout& prompt, std::size_t n_most) const {
  std::size_t n = common_prefix(entry.layout, prompt);
  if (n > n_most) {
    Layout limit = prompt;
    limit.truncate(n_most);
    n = common_prefix(entry.layout, limit);
  }
  return !can_truncate_ && n < entry.layout.size() ? 0 : n;
}

std::size_t PrefixCache::n_shared(const Layout& prompt, std::size_t n_most) const {
  std::size_t most = 0;
  for (const Entry& entry : entries_) most = std::max(most, n_shared(entry, prompt, n_most));
  return most;
}

Sequence PrefixCache::take(const Layout& prompt, std::size_t n_most, Layout& layout) {
  auto best = entries_.end();
  std::size_t most = 0;
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    const std::size_t n = n_shared(*entry, prompt, n_most);
    if (n > most) {
      most = n;
      best = entry;
    }
  }
  if (best == entries_.end()) return {};
  layout = best->layout;
  Sequence sequence;
  if (most == layout.size()) {
    sequence = std::move(best->sequence);
    entries_.erase(best);
  } else {
    // All that comes before the first different token lies at lower positions (layout.h).
    sequence = best->sequence.fork(layout.positions[most]);
    layout.truncate(most);
    use(best);
  }
  return sequence;
}

bool PrefixCache::evict() {
  if (entries_.empty()) return false;
  auto least =
      std::next(entries_.begin(), static_cast<std::ptrdiff_t>(std::min(kNewest, entries_.size() - 1)));
  std::size_t least_worth = worth(least);
  for (auto entry = std::next(least); entry != entries_.end(); ++entry) {
    // Of two worth the same, the one used longer ago.
    if (const std::size_t its = worth(entry); its <= least_worth) {
      least = entry;
      least_worth = its;
    }
  }
  worth_gone_ = std::max(worth_gone_, least_worth);
  entries_.erase(least);
  return true;
}

std::size_t PrefixCache::longest_prefix(const Layout& layout) const {
  std::size_t most = 0;
  for (const Entry& entry : entries_) {
    const std::size_t n = entry.layout.size();
    if (n > most && common_prefix(entry.layout, layout) == n) most = n;
  }
  return most;
}

const Sequence* PrefixCache::find(const Layout& layout) const {
  for (const Entry& entry : entries_) {
    if (entry.layout.size() == layout.size() && common_prefix(entry.layout, layout) == layout.size()) {
      return &entry.sequence;
    }
  }
  return nullptr;
}

Sequence PrefixCache::fork(const Layout& layout) const {
  const std::size_t n = layout.size();
  if (!can_truncate_ || n == 0) return {};
  for (const Entry& entry : entries_) {
    if (entry.layout.size() > n && common_prefix(entry.layout, layout) == n)
      return entry.sequence.fork(entry.layout.positions[n]);
  }
  return {};
}

}  // namespace aspd
