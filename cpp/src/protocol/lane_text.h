// What a lane's bytes become for the reader: whole code points, white space at the ends of a paragraph taken
// off. Knows nothing of tokens.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace aspd {

class LaneText {
 public:
  // Takes bytes of the lane; returns what may be shown now.
  std::string push(std::string_view bytes);
  // The lane pauses or ends: what was held back is shown, but for white space of a stripped paragraph.
  std::string finish();
  // The next text begins a paragraph: white space before it goes, and `lead` comes before its first letter.
  // strip_end: white space at its end goes too.
  void begin_paragraph(std::string lead, bool strip_end);

  // A stop string was met: nothing more is shown.
  void stop() { stopped_ = true; }
  [[nodiscard]] bool stopped() const { return stopped_; }

  // Bytes that were pushed and are not shown yet, but for white space.
  [[nodiscard]] std::size_t n_held() const { return bytes_.size(); }

 private:
  std::string take_code_points(bool all);
  std::string strip(const std::string& text);

  std::string bytes_;  // an unfinished code point
  std::string space_;  // white space that may be the end
  std::string lead_;
  bool at_start_ = false;
  bool strip_end_ = false;
  bool stopped_ = false;
};

}  // namespace aspd
