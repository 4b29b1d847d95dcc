// UTF-8 as a reader must get it: whole, valid code points.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace aspd {

// Number of code points in valid UTF-8.
[[nodiscard]] std::size_t count_code_points(std::string_view text);
// Bytes up to a code point at the end that more bytes may complete.
[[nodiscard]] std::size_t whole_code_points(std::string_view bytes);
// The text with every byte that is not part of a valid code point replaced by U+FFFD.
[[nodiscard]] std::string valid_utf8(std::string_view bytes);
// The text with capital letters of the Latin, Greek, Cyrillic and Armenian alphabets as small ones, those in
// use today (simple case folding of Unicode 16). As many bytes; those that are no valid UTF-8 stay.
[[nodiscard]] std::string fold_case(std::string_view text);
// The code point at `at` of valid UTF-8; moves on behind it.
[[nodiscard]] std::uint32_t next_code_point(std::string_view text, std::size_t& at);

}  // namespace aspd
