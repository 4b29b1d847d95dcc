// What a lane's bytes become for the reader: whole code points, stop strings kept back, white space at the
// ends of a paragraph taken off. Knows nothing of tokens.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace aspd {

class LaneText {
 public:
  // stops: outlive this.
  explicit LaneText(const std::vector<std::string>* stops) : stops_(stops) {}

  // Takes bytes of the lane; returns what may be shown now. Nothing after a stop string.
  std::string push(std::string_view bytes);
  // The lane pauses or ends: what was held back is shown, but for white space of a stripped paragraph.
  std::string finish();
  // The next text begins a paragraph: white space before it goes, and `lead` comes before its first letter.
  // strip_end: white space at its end goes too.
  void begin_paragraph(std::string lead, bool strip_end);

  // Bytes that were pushed and are not shown yet.
  [[nodiscard]] std::size_t n_held() const { return bytes_.size() + pending_.size(); }
  [[nodiscard]] bool stopped() const { return !stop_match_.empty(); }
  [[nodiscard]] const std::string& stop_match() const { return stop_match_; }

 private:
  std::string take_code_points(bool all);
  std::string take_unstopped(bool all);
  std::string strip(const std::string& text);

  const std::vector<std::string>* stops_;
  std::string bytes_;    // an unfinished code point
  std::string pending_;  // may begin a stop string
  std::string space_;    // white space that may be the end
  std::string lead_;
  bool at_start_ = false;
  bool strip_end_ = false;
  std::string stop_match_;
};

}  // namespace aspd
