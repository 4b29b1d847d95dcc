#include "gguf_reader.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "aspd/errors.h"

namespace aspd {

namespace {

constexpr std::size_t kBufferSize = std::size_t{1} << 16;
constexpr std::size_t kLongestQuote = 60;

}  // namespace

std::string quoted(std::string_view text) {
  std::string result = "'";
  for (const char c : text.substr(0, kLongestQuote)) {
    const bool is_printable = c >= ' ' && c <= '~';
    result += is_printable ? c : '?';
  }
  return result + (text.size() > kLongestQuote ? "...'" : "'");
}

GgufReader::GgufReader(const std::string& path) : path_(path), buffer_(kBufferSize) {
  if (path.find('\0') != std::string::npos)
    throw ModelError("", "the path of the model has a zero byte in it");
  const std::filesystem::path file = std::filesystem::u8path(path);
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(file, error);
  if (status.type() == std::filesystem::file_type::not_found) fail("no such file");
  if (error) fail("the file cannot be opened: " + error.message());
  if (std::filesystem::is_directory(status)) fail("this is a directory, not a GGUF file");
  if (!std::filesystem::is_regular_file(status)) fail("this is not a regular file");
  size_ = std::filesystem::file_size(file, error);
  if (error) fail("the size of the file cannot be read: " + error.message());
  file_.open(file, std::ios::binary);
  if (!file_) fail("the file cannot be opened: no permission, or too many open files");
}

void GgufReader::fail(const std::string& message) const { throw ModelError(path_, message); }

void GgufReader::need(std::uint64_t n_bytes, const char* what) const {
  if (n_bytes > remaining()) {
    fail("the file is cut or damaged: " + std::string(what) + " at byte " + std::to_string(position_) +
         " needs " + std::to_string(n_bytes) + " bytes, " + std::to_string(remaining()) + " are left");
  }
}

void GgufReader::read(void* to, std::size_t n_bytes, const char* what) {
  need(n_bytes, what);
  auto* out = static_cast<char*>(to);
  while (n_bytes > 0) {
    if (position_ < buffer_start_ || position_ >= buffer_start_ + buffer_length_) {
      file_.clear();
      file_.seekg(static_cast<std::streamoff>(position_));
      file_.read(buffer_.data(),
                 static_cast<std::streamsize>(std::min<std::uint64_t>(kBufferSize, remaining())));
      buffer_start_ = position_;
      buffer_length_ = static_cast<std::size_t>(file_.gcount());
      if (buffer_length_ == 0) fail("the file cannot be read at byte " + std::to_string(position_));
    }
    const auto offset = static_cast<std::size_t>(position_ - buffer_start_);
    const std::size_t n = std::min(n_bytes, buffer_length_ - offset);
    std::memcpy(out, buffer_.data() + offset, n);
    out += n;
    n_bytes -= n;
    position_ += n;
  }
}

std::uint64_t GgufReader::string_length(const char* what) {
  const auto length = number<std::uint64_t>(what);
  need(length, what);
  return length;
}

void GgufReader::string(std::string& text, std::uint64_t longest, const char* what) {
  const std::uint64_t length = string_length(what);
  if (length > longest) {
    fail(std::string(what) + " at byte " + std::to_string(position_) + " has " + std::to_string(length) +
         " bytes, more than " + std::to_string(longest));
  }
  text.resize(static_cast<std::size_t>(length));
  read(text.data(), text.size(), what);
}

std::string GgufReader::string_start(std::uint64_t longest, const char* what) {
  const std::uint64_t length = string_length(what);
  std::string text(static_cast<std::size_t>(std::min(length, longest)), '\0');
  read(text.data(), text.size(), what);
  skip(length - text.size(), what);
  return text;
}

void GgufReader::skip(std::uint64_t n_bytes, const char* what) {
  need(n_bytes, what);
  position_ += n_bytes;
}

void GgufReader::seek(std::uint64_t position) { position_ = std::min(position, size_); }

}  // namespace aspd
