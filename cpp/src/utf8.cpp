#include "utf8.h"

#include <algorithm>

namespace aspd {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Length of the code point that begins at text[0]: > 0 if it is whole and valid, 0 if more bytes may complete
// it, -1 if it is invalid.
int code_point(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const int n = first >= 0xC2 && first <= 0xDF   ? 2
                : first >= 0xE0 && first <= 0xEF ? 3
                : first >= 0xF0 && first <= 0xF4 ? 4
                                                 : 0;
  if (n == 0) return -1;
  for (std::size_t i = 1; i < static_cast<std::size_t>(n); ++i) {
    if (i >= text.size()) return 0;
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    if (i == 1) {  // no overlong forms, no surrogates, nothing above U+10FFFF
      if (first == 0xE0) low = 0xA0;
      if (first == 0xED) high = 0x9F;
      if (first == 0xF0) low = 0x90;
      if (first == 0xF4) high = 0x8F;
    }
    if (byte(i) < low || byte(i) > high) return -1;
  }
  return n;
}

}  // namespace

std::size_t count_code_points(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::size_t whole_code_points(std::string_view bytes) {
  // A code point has at most 4 bytes: only the last 3 can be the start of an unfinished one.
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, bytes.size()); ++back) {
    const std::string_view end = bytes.substr(bytes.size() - back);
    if ((static_cast<unsigned char>(end[0]) & 0xC0U) == 0x80U) continue;
    return code_point(end) == 0 ? bytes.size() - back : bytes.size();
  }
  return bytes.size();
}

std::string valid_utf8(std::string_view bytes) {
  std::string text;
  for (std::size_t at = 0; at < bytes.size();) {
    const int n = code_point(bytes.substr(at));
    if (n > 0) {
      text.append(bytes.substr(at, static_cast<std::size_t>(n)));
      at += static_cast<std::size_t>(n);
    } else {
      text += kReplacement;
      ++at;
    }
  }
  return text;
}

std::uint32_t next_code_point(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t i) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i]));
  };
  const std::uint32_t lead = byte(at);
  const std::size_t n = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  std::uint32_t code = n == 1 ? lead : lead & (0x7FU >> n);
  for (std::size_t i = 1; i < n && at + i < text.size(); ++i) code = (code << 6U) | (byte(at + i) & 0x3FU);
  at += n;
  return code;
}

}  // namespace aspd
