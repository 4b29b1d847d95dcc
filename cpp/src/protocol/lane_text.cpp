#include "lane_text.h"

#include "utf8.h"

namespace aspd {

namespace {

constexpr std::string_view kSpace = " \t\r\n";

}  // namespace

std::string LaneText::take_code_points(bool all) {
  const std::size_t end = all ? bytes_.size() : whole_code_points(bytes_);
  std::string text = valid_utf8(std::string_view(bytes_).substr(0, end));
  bytes_.erase(0, end);
  return text;
}

std::string LaneText::strip(const std::string& text) {
  std::string shown = space_ + text;
  space_.clear();
  if (at_start_) {
    const std::size_t first = shown.find_first_not_of(kSpace);
    if (first == std::string::npos) return "";
    shown = lead_ + shown.substr(first);
    at_start_ = false;
  }
  if (strip_end_) {
    const std::size_t last = shown.find_last_not_of(kSpace);
    const std::size_t end = last == std::string::npos ? 0 : last + 1;
    space_ = shown.substr(end);
    shown.resize(end);
  }
  return shown;
}

std::string LaneText::push(std::string_view bytes) {
  if (stopped()) return "";
  bytes_ += bytes;
  return strip(take_code_points(false));
}

std::string LaneText::finish() {
  if (stopped()) return "";
  std::string shown = strip(take_code_points(true));
  space_.clear();
  return shown;
}

void LaneText::begin_paragraph(std::string lead, bool strip_end) {
  lead_ = std::move(lead);
  at_start_ = true;
  strip_end_ = strip_end;
  space_.clear();
}

}  // namespace aspd
