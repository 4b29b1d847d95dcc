#include "stop_search.h"

#include <algorithm>

#include "utf8.h"

namespace aspd {

StopPlace find_stop(std::string_view text, const std::vector<std::string>& stops, std::size_t n_seen) {
  StopPlace best;
  std::size_t best_end = std::string_view::npos;
  for (const std::string& stop : stops) {
    const std::size_t from = n_seen - std::min(n_seen, stop.size() - 1);
    const std::size_t at = text.find(stop, from);
    if (at == std::string_view::npos) continue;
    const std::size_t end = at + stop.size();
    if (end > best_end || (end == best_end && at >= best.at)) continue;
    best = {at, stop};
    best_end = end;
  }
  return best;
}

void StopSearch::push(Event event, std::vector<Event>& out) {
  if (met() || (event.kind != EventKind::kText && waiting_.empty())) {
    pass(std::move(event), out);
    return;
  }
  const std::size_t n_seen = text_.size();
  text_ += event.text;
  const bool says = event.kind == EventKind::kText;
  waiting_.push_back(std::move(event));
  if (!says) return;
  const StopPlace place = find_stop(text_, stops_, n_seen);
  if (!place.found()) {
    let_out(text_.size() - n_may_begin(), out);
    return;
  }
  let_out(place.at, out);
  match_ = place.stop;
  finish(out);
}

void StopSearch::finish(std::vector<Event>& out) {
  if (!met()) let_out(text_.size(), out);
  for (Event& event : waiting_) pass(std::move(event), out);
  waiting_.clear();
  text_.clear();
}

// Bytes at the end of the text that may be the beginning of a stop string.
std::size_t StopSearch::n_may_begin() const {
  std::size_t most = 0;
  for (const std::string& stop : stops_) {
    for (std::size_t n = std::min(stop.size() - 1, text_.size()); n > most; --n) {
      if (text_.compare(text_.size() - n, n, stop, 0, n) == 0) most = n;
    }
  }
  return most;
}

// The next n bytes of text leave, and what stands between and right behind them.
void StopSearch::let_out(std::size_t n, std::vector<Event>& out) {
  text_.erase(0, n);
  n_bytes_ += n;
  while (!waiting_.empty()) {
    Event& next = waiting_.front();
    if (next.text.size() > n) {
      if (n > 0) out.push_back(split(next, n));
      return;
    }
    n -= next.text.size();
    pass(std::move(next), out);
    waiting_.pop_front();
  }
}

void StopSearch::pass(Event event, std::vector<Event>& out) {
  const auto block = static_cast<std::size_t>(event.block);
  if (met() && (event.kind == EventKind::kText || block > n_blocks_)) return;
  if (event.kind == EventKind::kFork) n_blocks_ = block;
  if (event.kind == EventKind::kUnfork) n_blocks_ = block - 1;
  out.push_back(std::move(event));
}

// Takes the first n bytes off an event of text. The tokens that end there or before go with them.
Event StopSearch::split(Event& event, std::size_t n) const {
  Event first = event;
  first.text.resize(n);
  event.text.erase(0, n);
  event.offset += count_code_points(first.text);
  std::size_t n_later = 0;
  std::size_t size = 0;
  for (auto token = event.likelihoods.rbegin(); token != event.likelihoods.rend(); ++token) {
    size += piece_size_(token->token);
    if (size > event.text.size()) break;
    ++n_later;
  }
  const auto later = event.likelihoods.end() - static_cast<std::ptrdiff_t>(n_later);
  first.likelihoods.assign(event.likelihoods.begin(), later);
  event.likelihoods.erase(event.likelihoods.begin(), later);
  return first;
}

}  // namespace aspd
