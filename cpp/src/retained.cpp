#include "retained.h"

#include <algorithm>

namespace aspd {

void Retained::keep(Sequence sequence, Layout layout) {
  if (capacity_ == 0 || layout.size() == 0) return;
  entries_.push_front({std::move(sequence), std::move(layout)});
  while (entries_.size() > capacity_) entries_.pop_back();
}

// The last token of the prompt is decoded in any case, for its logits, which is what n_most is about.
std::size_t Retained::n_shared(const Entry& entry, const Layout& prompt, std::size_t n_most) const {
  std::size_t n = common_prefix(entry.layout, prompt);
  if (n > n_most) {
    Layout limit = prompt;
    limit.truncate(n_most);
    n = common_prefix(entry.layout, limit);
  }
  return !can_truncate_ && n < entry.layout.size() ? 0 : n;
}

std::size_t Retained::n_shared(const Layout& prompt, std::size_t n_most) const {
  std::size_t most = 0;
  for (const Entry& entry : entries_) most = std::max(most, n_shared(entry, prompt, n_most));
  return most;
}

Sequence Retained::take(const Layout& prompt, std::size_t n_most, Layout& layout) {
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
    entries_.splice(entries_.begin(), entries_, best);
  }
  return sequence;
}

bool Retained::evict() {
  if (entries_.empty()) return false;
  entries_.pop_back();
  return true;
}

std::size_t Retained::longest_prefix(const Layout& layout) const {
  std::size_t most = 0;
  for (const Entry& entry : entries_) {
    const std::size_t n = entry.layout.size();
    if (n > most && common_prefix(entry.layout, layout) == n) most = n;
  }
  return most;
}

const Sequence* Retained::find(const Layout& layout) const {
  for (const Entry& entry : entries_) {
    if (entry.layout.size() == layout.size() && common_prefix(entry.layout, layout) == layout.size()) {
      return &entry.sequence;
    }
  }
  return nullptr;
}

Sequence Retained::fork(const Layout& layout) const {
  const std::size_t n = layout.size();
  if (!can_truncate_ || n == 0) return {};
  for (const Entry& entry : entries_) {
    if (entry.layout.size() > n && common_prefix(entry.layout, layout) == n)
      return entry.sequence.fork(entry.layout.positions[n]);
  }
  return {};
}

}  // namespace aspd
