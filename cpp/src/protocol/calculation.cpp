#include "calculation.h"

#include <array>
#include <cstdint>

#include "utf8.h"

namespace aspd {

namespace {

constexpr std::size_t kNone = std::string_view::npos;

// First digits of the decimal systems in use (Unicode 16, Nd).
constexpr std::array<std::uint32_t, 17> kZeros = {0x30,  0x660, 0x6F0,  0x966,  0x9E6, 0xA66,
                                                  0xAE6, 0xB66, 0xBE6,  0xC66,  0xCE6, 0xD66,
                                                  0xE50, 0xED0, 0x1040, 0x17E0, 0xFF10};

// What a code point is in a calculation: '0' a digit, 'a' a letter, 'w' a letter of a writing system without
// spaces, ' ', '=', '*', '-', '+' another operator, '(', ')', '$' a sign of a currency or a unit, '>' what
// makes another sign of "=", '.' anything else.
char sign_of(std::uint32_t code) {
  for (const std::uint32_t zero : kZeros) {
    if (code >= zero && code < zero + 10) return '0';
  }
  const auto is_in = [&](std::u32string_view signs) {
    return signs.find(static_cast<char32_t>(code)) != std::u32string_view::npos;
  };
  if (is_in(U" \t\u00A0\u202F")) return ' ';
  if (code == '=') return '=';
  if (is_in(U"-\u2013")) return '-';
  if (code == '*') return '*';
  if (is_in(U"+/^\u00D7\u00F7\u00B7\u2212\u2215\u2217\u22C5\uFF0B")) return '+';
  if (is_in(U"([\uFF08")) return '(';
  if (is_in(U")]\uFF09")) return ')';
  if (is_in(U"$%\u00A3\u00A5\u00B0\u20AC\u20B9")) return '$';
  if (is_in(U"<>!:~")) return '>';
  const std::uint32_t lower = code | 0x20U;
  if (code >= 0x3040) return 'w';
  return (lower >= 'a' && lower <= 'z') || (code >= 0xC0 && code < 0x2000) ? 'a' : '.';
}

// A line, a sign for each code point.
std::string signs_of(std::string_view line) {
  std::string signs;
  const std::string valid = valid_utf8(line);
  for (std::size_t at = 0; at < valid.size();) {
    const std::uint32_t code = next_code_point(valid, at);
    signs += code == 0xFF1D ? " = " : std::string(1, sign_of(code));  // a wide one stands apart
  }
  for (std::size_t i = 1; i + 1 < signs.size(); ++i) {  // "1.5", "1,000"
    if (signs[i] == '.' && signs[i - 1] == '0' && signs[i + 1] == '0') signs[i] = '0';
  }
  for (std::size_t at = signs.find("**"); at != std::string::npos; at = signs.find("**", at))
    signs.replace(at, 2, "  ");  // emphasis
  return signs;
}

// Whether two operands, one of them a number, are joined by an operator.
bool has_term(std::string_view signs) {
  for (std::size_t i = 1; i + 1 < signs.size(); ++i) {
    if (signs[i] != '+' && signs[i] != '*' && signs[i] != '-') continue;
    const std::size_t left = signs.find_last_not_of(' ', i - 1);
    const std::size_t right = signs.find_first_not_of(' ', i + 1);
    if (left == kNone || right == kNone) continue;
    const bool numbers = signs[left] == '0' && signs[right] == '0';
    const bool apart = left + 1 < i && i + 1 < right;
    if (signs[i] == '-' && !numbers && !apart) continue;  // "E-Mail"
    const auto is_operand = [](char sign) { return std::string_view("0aw()$").find(sign) != kNone; };
    const bool has_number = signs[left] == '0' || signs[left] == '$' || signs[right] == '0';
    if (is_operand(signs[left]) && is_operand(signs[right]) && has_number) return true;
  }
  return false;
}

}  // namespace

bool is_calculation(std::string_view line) {
  if (line.find('=') == kNone && line.find("\uFF1D") == kNone) return false;
  const std::string line_signs = signs_of(line);
  const std::string_view signs = line_signs;
  for (std::size_t at = signs.find('='); at != kNone; at = signs.find('=', at + 1)) {
    const char before = at > 0 ? signs[at - 1] : ' ';
    const char behind = at + 1 < signs.size() ? signs[at + 1] : '=';  // not known yet
    if (std::string_view("=>+-").find(before) != kNone || behind == '=' || behind == '>') continue;
    const std::string_view left = signs.substr(0, at);
    const std::string_view right = signs.substr(at + 1);
    const std::size_t first = right.find_first_not_of(" -*+($");
    const bool is_number = first != kNone && right[first] == '0';
    // Without spaces only a number, a bracket or a single letter can be what is calculated.
    const char earlier = at > 1 ? signs[at - 2] : ' ';
    const bool is_name =
        before == 'w' || (before == 'a' && std::string_view(" 0(*+-").find(earlier) != kNone);
    const std::size_t word = left.find_last_not_of("0$)");
    const bool is_value = before != ' ' && word + 1 < at &&
                          (word == kNone || std::string_view(" (*+-").find(left[word]) != kNone);
    if (before != ' ' && behind != ' ' && !is_name && !is_value) continue;
    if (is_number || has_term(left) || has_term(right)) return true;
  }
  return false;
}

}  // namespace aspd
