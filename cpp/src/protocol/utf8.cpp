#include "utf8.h"

#include <algorithm>
#include <array>

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

// Capital letters: each of a range becomes the one `plus` further on. every: that many code points apart.
struct Capitals {
  std::uint32_t first, last, every, plus;
};
constexpr std::array<Capitals, 29> kCapitals = {{
    {0x0041, 0x005A, 1, 32}, {0x00C0, 0x00D6, 1, 32}, {0x00D8, 0x00DE, 1, 32},  {0x0100, 0x012E, 2, 1},
    {0x0132, 0x0136, 2, 1},  {0x0139, 0x0147, 2, 1},  {0x014A, 0x0176, 2, 1},   {0x0179, 0x017D, 2, 1},
    {0x01CD, 0x01DB, 2, 1},  {0x01DE, 0x01EE, 2, 1},  {0x0218, 0x021A, 2, 1},   {0x0386, 0x0386, 1, 38},
    {0x0388, 0x038A, 1, 37}, {0x038C, 0x038C, 1, 64}, {0x038E, 0x038F, 1, 63},  {0x0391, 0x03A1, 1, 32},
    {0x03A3, 0x03AB, 1, 32}, {0x0400, 0x040F, 1, 80}, {0x0410, 0x042F, 1, 32},  {0x048A, 0x04BE, 2, 1},
    {0x04D0, 0x052E, 2, 1},  {0x0531, 0x0556, 1, 48}, {0x018F, 0x018F, 1, 202}, {0x01A0, 0x01A0, 1, 1},
    {0x01AF, 0x01AF, 1, 1},  {0x04C0, 0x04C0, 1, 15}, {0x04C1, 0x04CD, 2, 1},   {0x1E00, 0x1E94, 2, 1},
    {0x1EA0, 0x1EFE, 2, 1},
}};
std::uint32_t small_letter(std::uint32_t code) {
  for (const Capitals& range : kCapitals) {
    if (code >= range.first && code <= range.last && (code - range.first) % range.every == 0)
      return code + range.plus;
  }
  return code;
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

std::string fold_case(std::string_view text) {
  std::string folded(text);
  for (std::size_t at = 0; at < text.size();) {
    const int n = code_point(text.substr(at));
    std::size_t next = at + 1;
    if (n > 0) {
      next = at;
      std::uint32_t small = small_letter(next_code_point(text, next));
      // As many bytes as before: only the bits of the code point change.
      for (std::size_t i = next - 1; i > at; --i, small >>= 6U)
        folded[i] = static_cast<char>(0x80U | (small & 0x3FU));
      const unsigned lead_bits = n == 1 ? 0 : 0xFFU << (8U - static_cast<unsigned>(n));
      folded[at] = static_cast<char>(lead_bits | small);
    }
    at = next;
  }
  return folded;
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
