// Looks for stop strings in the text of an answer as a reader has it, across the borders of trunk and
// branches. Knows events, neither tokens nor lanes.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "aspd/engine.h"

namespace aspd {

// Where a stop string begins, and which one it is.
struct StopPlace {
  std::size_t at = std::string_view::npos;
  std::string stop;
  [[nodiscard]] bool found() const { return !stop.empty(); }
};

// The stop string that is whole first; of several that are whole at once the longest. n_seen: bytes at the
// beginning that hold none.
[[nodiscard]] StopPlace find_stop(std::string_view text, const std::vector<std::string>& stops,
                                  std::size_t n_seen);

class StopSearch {
 public:
  using PieceSize = std::function<std::size_t(Token)>;  // bytes of a token

  StopSearch(std::vector<std::string> stops, PieceSize piece_size)
      : stops_(std::move(stops)), piece_size_(std::move(piece_size)) {}

  // Takes the next event in reading order and appends those that may leave. Text that may begin a stop string
  // waits, and so does what comes behind it; of what follows a stop string the text, and blocks that begin
  // there, are dropped.
  void push(Event event, std::vector<Event>& out);
  // The answer is over: what waits may leave.
  void finish(std::vector<Event>& out);

  [[nodiscard]] bool met() const { return !match_.empty(); }
  [[nodiscard]] const std::string& match() const { return match_; }
  // Bytes of the text that has left; where one was met, of the text before the stop string.
  [[nodiscard]] std::size_t n_bytes() const { return n_bytes_; }
  // Blocks that have been told.
  [[nodiscard]] std::size_t n_blocks() const { return n_blocks_; }

 private:
  void let_out(std::size_t n, std::vector<Event>& out);
  void pass(Event event, std::vector<Event>& out);
  [[nodiscard]] std::size_t n_may_begin() const;
  [[nodiscard]] Event split(Event& event, std::size_t n) const;

  std::vector<std::string> stops_;
  PieceSize piece_size_;
  std::deque<Event> waiting_;
  std::string text_;  // of the waiting events
  std::string match_;
  std::size_t n_bytes_ = 0;
  std::size_t n_blocks_ = 0;
};

}  // namespace aspd
