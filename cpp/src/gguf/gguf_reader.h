// The bytes of a GGUF file: numbers and strings, each read only after its length was compared with what is
// left. Knows nothing about the meaning of keys.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace aspd {

// Text of a file for a message: printable, short, in quotes.
[[nodiscard]] std::string quoted(std::string_view text);

class GgufReader {
 public:
  // Opens a regular file. Throws ModelError.
  explicit GgufReader(const std::string& path);

  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] std::uint64_t position() const { return position_; }
  [[nodiscard]] std::uint64_t remaining() const { return size_ - position_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  // Throws ModelError for this file.
  [[noreturn]] void fail(const std::string& message) const;

  // The next number or string; `what` names it in the message when the file is too short. A string longer
  // than `longest` bytes is refused. text: overwritten, so that its memory is used again.
  template <typename T>
  [[nodiscard]] T number(const char* what) {
    T value{};
    read(&value, sizeof(T), what);
    return value;
  }
  void string(std::string& text, std::uint64_t longest, const char* what);
  // The bytes of a string's beginning, at most `longest`; the rest is skipped.
  [[nodiscard]] std::string string_start(std::uint64_t longest, const char* what);
  void skip(std::uint64_t n_bytes, const char* what);
  // Goes to a position inside the file.
  void seek(std::uint64_t position);

 private:
  void read(void* to, std::size_t n_bytes, const char* what);
  void need(std::uint64_t n_bytes, const char* what) const;
  [[nodiscard]] std::uint64_t string_length(const char* what);

  std::string path_;
  std::ifstream file_;
  std::uint64_t size_ = 0;
  std::uint64_t position_ = 0;
  std::vector<char> buffer_;  // bytes of the file from buffer_start_
  std::uint64_t buffer_start_ = 0;
  std::size_t buffer_length_ = 0;
};

}  // namespace aspd
