#include "gguf_metadata.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "gguf_reader.h"

namespace aspd {

namespace {

constexpr std::uint64_t kMostKeys = 4096;
constexpr std::uint64_t kLongestKey = 1024;
constexpr std::uint64_t kLongestKeptText = 256;
constexpr std::uint64_t kMostKeptNumbers = 512;                  // LLAMA_MAX_LAYERS
constexpr std::uint64_t kMostElements = std::uint64_t{1} << 30;  // GGUF_MAX_ARRAY_ELEMENTS
constexpr std::uint64_t kMostStrings = std::uint64_t{1} << 24;
constexpr std::uint64_t kMostTokens = std::uint64_t{1} << 22;
// llama.cpp puts token texts into tries by recursion, one level for each byte.
constexpr std::uint64_t kLongestToken = 4096;
// A byte-level token of n unknown code points is rendered in n * n bytes when a model loads.
constexpr std::uint64_t kMostSquaredBytes = std::uint64_t{1} << 29;
constexpr std::int32_t kByteType = 6;  // LLAMA_TOKEN_TYPE_BYTE

// Bytes of a number of this type; 0: not a number.
std::uint64_t number_size(gguf_type type) {
  switch (type) {
    case GGUF_TYPE_UINT8:
    case GGUF_TYPE_INT8:
    case GGUF_TYPE_BOOL: return 1;
    case GGUF_TYPE_UINT16:
    case GGUF_TYPE_INT16: return 2;
    case GGUF_TYPE_UINT32:
    case GGUF_TYPE_INT32:
    case GGUF_TYPE_FLOAT32: return 4;
    case GGUF_TYPE_UINT64:
    case GGUF_TYPE_INT64:
    case GGUF_TYPE_FLOAT64: return 8;
    default: return 0;
  }
}

double read_number(GgufReader& reader, gguf_type type) {
  const char* what = "a number of the metadata";
  switch (type) {
    case GGUF_TYPE_UINT8: return reader.number<std::uint8_t>(what);
    case GGUF_TYPE_INT8: return reader.number<std::int8_t>(what);
    case GGUF_TYPE_BOOL: return reader.number<std::uint8_t>(what) != 0 ? 1.0 : 0.0;
    case GGUF_TYPE_UINT16: return reader.number<std::uint16_t>(what);
    case GGUF_TYPE_INT16: return reader.number<std::int16_t>(what);
    case GGUF_TYPE_UINT32: return reader.number<std::uint32_t>(what);
    case GGUF_TYPE_INT32: return reader.number<std::int32_t>(what);
    case GGUF_TYPE_FLOAT32: return static_cast<double>(reader.number<float>(what));
    case GGUF_TYPE_UINT64: return static_cast<double>(reader.number<std::uint64_t>(what));
    case GGUF_TYPE_INT64: return static_cast<double>(reader.number<std::int64_t>(what));
    default: return reader.number<double>(what);
  }
}

gguf_type read_type(GgufReader& reader, const std::string& key) {
  const auto type = reader.number<std::uint32_t>("the type of a metadata key");
  if (type >= GGUF_TYPE_COUNT)
    reader.fail("metadata key " + quoted(key) + " has the unknown type " + std::to_string(type));
  return static_cast<gguf_type>(type);
}

// FNV-1a.
std::uint64_t hash_of(const std::string& text) {
  std::uint64_t hash = 14695981039346656037U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return hash;
}

// A token text as llama.cpp keeps it: up to its first zero byte, and never empty.
void read_token(GgufReader& reader, std::uint64_t index, std::string& text) {
  reader.string(text, kLongestToken, "a token of the vocabulary");
  text.resize(std::strlen(text.c_str()));
  if (text.empty()) text = "[EMPTY_" + std::to_string(index) + "]";
}

// Whether llama.cpp, which reads bytes that are not UTF-8 as U+FFFD, would write this text as it is.
bool is_utf8(const std::string& text) {
  constexpr std::array<std::uint32_t, 5> kLeast = {0, 0, 0x80, 0x800, 0x10000};  // of so many bytes
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    std::size_t length = 1;
    if (first >= 0x80) length = first < 0xC0 || first >= 0xF8 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (length == 0 || length > text.size() - i) return false;
    std::uint32_t code = length == 1 ? first : first & (0x7FU >> length);
    for (std::size_t k = 1; k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xC0U) != 0x80U) return false;
      code = code << 6U | (next & 0x3FU);
    }
    if (code < kLeast[length] || code > 0x10FFFF) return false;
    i += length;
  }
  return true;
}

int hex_digit(char c) { return c >= 'a' ? c - 'a' + 10 : c - '0'; }

// The first byte of a token after RWKV's escapes are resolved, and the number of characters that spell it;
// none: the text is an unfinished escape.
std::optional<std::pair<unsigned char, std::size_t>> first_byte(const std::string& text) {
  if (text[0] != '\\') return std::pair{static_cast<unsigned char>(text[0]), std::size_t{1}};
  if (text.size() < 2 || (text[1] == 'x' && text.size() < 4)) return std::nullopt;
  switch (text[1]) {
    case 't': return std::pair{static_cast<unsigned char>('\t'), std::size_t{2}};
    case 'n': return std::pair{static_cast<unsigned char>('\n'), std::size_t{2}};
    case 'r': return std::pair{static_cast<unsigned char>('\r'), std::size_t{2}};
    case 'x':
      return std::pair{static_cast<unsigned char>(hex_digit(text[2]) * 16 + hex_digit(text[3])),
                       std::size_t{4}};
    default: return std::pair{static_cast<unsigned char>(text[1]), std::size_t{2}};
  }
}

// llama.cpp aborts when two tokens have the same text.
void check_unique(GgufReader& reader, std::uint64_t start, std::vector<std::uint64_t>& hashes) {
  std::sort(hashes.begin(), hashes.end());
  const auto twice = std::adjacent_find(hashes.begin(), hashes.end());
  if (twice == hashes.end()) return;
  reader.seek(start);
  std::string text;
  std::string first;
  for (std::uint64_t i = 0; i < hashes.size(); ++i) {
    read_token(reader, i, text);
    if (hash_of(text) != *twice) continue;
    if (!first.empty()) {
      reader.fail("tokens " + first + " and " + std::to_string(i) + " of the vocabulary are both " +
                  quoted(text));
    }
    first = std::to_string(i);
  }
  reader.fail("two tokens of the vocabulary are the same");
}

}  // namespace

GgufMetadata::GgufMetadata(GgufReader& reader, std::uint64_t n_kv) {
  if (n_kv > kMostKeys)
    reader.fail("the file claims " + std::to_string(n_kv) + " metadata keys; at most 4096 are accepted");
  std::string key;
  for (std::uint64_t i = 0; i < n_kv; ++i) {
    reader.string(key, kLongestKey, "a metadata key");
    if (key.empty()) reader.fail("metadata key " + std::to_string(i) + " has no name");
    if (key.find('\0') != std::string::npos)
      reader.fail("metadata key " + quoted(key) + " has a zero byte in its name");
    if (values_.count(key) != 0) reader.fail("metadata key " + quoted(key) + " appears twice");
    values_.emplace(key, read_value(reader, key));
  }
}

GgufValue GgufMetadata::read_value(GgufReader& reader, const std::string& key) {
  GgufValue value;
  value.type = read_type(reader, key);
  if (value.type == GGUF_TYPE_ARRAY) {
    value.is_array = true;
    value.type = read_type(reader, key);
    if (value.type == GGUF_TYPE_ARRAY) reader.fail("metadata key " + quoted(key) + " is an array of arrays");
    value.count = reader.number<std::uint64_t>("the length of an array");
    read_array(reader, key, value);
  } else if (value.type == GGUF_TYPE_STRING) {
    value.text = reader.string_start(kLongestKeptText, "a text of the metadata");
    value.text.resize(std::strlen(value.text.c_str()));
  } else {
    value.numbers.push_back(read_number(reader, value.type));
  }
  return value;
}

void GgufMetadata::read_array(GgufReader& reader, const std::string& key, GgufValue& value) {
  const bool is_text = value.type == GGUF_TYPE_STRING;
  const std::uint64_t least_size = is_text ? 8 : number_size(value.type);
  if (value.count > kMostElements || value.count * least_size > reader.remaining()) {
    reader.fail("the file is cut or damaged: array " + quoted(key) + " claims " +
                std::to_string(value.count) + " elements, " + std::to_string(reader.remaining()) +
                " bytes are left");
  }
  if (is_text) {
    read_strings(reader, key, value.count);
  } else if (key == "tokenizer.ggml.token_type" && value.type == GGUF_TYPE_INT32) {
    for (std::uint64_t i = 0; i < value.count; ++i) {
      if (reader.number<std::int32_t>("a token type") == kByteType) vocabulary_.has_byte_type = true;
    }
  } else if (value.count <= kMostKeptNumbers) {
    for (std::uint64_t i = 0; i < value.count; ++i) value.numbers.push_back(read_number(reader, value.type));
  } else {
    reader.skip(value.count * least_size, "an array of the metadata");
  }
}

void GgufMetadata::read_strings(GgufReader& reader, const std::string& key, std::uint64_t count) {
  if (key == "tokenizer.ggml.tokens") return read_tokens(reader, count);
  if (count > kMostStrings)
    reader.fail("array " + quoted(key) + " has " + std::to_string(count) + " texts, too many");
  for (std::uint64_t i = 0; i < count; ++i) (void)reader.string_start(0, "a text of an array");
}

void GgufMetadata::read_tokens(GgufReader& reader, std::uint64_t count) {
  if (count > kMostTokens)
    reader.fail("the vocabulary claims " + std::to_string(count) + " tokens, too many");
  vocabulary_.n_tokens = count;
  const std::uint64_t start = reader.position();
  std::vector<std::uint64_t> hashes;
  hashes.reserve(static_cast<std::size_t>(count));
  std::uint64_t squares = 0;
  std::string text;
  for (std::uint64_t i = 0; i < count; ++i) {
    read_token(reader, i, text);
    hashes.push_back(hash_of(text));
    squares += text.size() * text.size();
    if (squares > kMostSquaredBytes) reader.fail("the token texts of the vocabulary are too long");
    vocabulary_.cubed_bytes += std::pow(static_cast<double>(text.size()), 3.0);
    vocabulary_.is_utf8 = vocabulary_.is_utf8 && is_utf8(text);
    if (const auto first = first_byte(text)) {
      (first->second == text.size() ? vocabulary_.singles : vocabulary_.starts).set(first->first);
    }
  }
  const std::uint64_t end = reader.position();
  check_unique(reader, start, hashes);
  reader.seek(end);
}

const GgufValue* GgufMetadata::find(const std::string& key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

std::optional<double> GgufMetadata::number(const std::string& key) const {
  const GgufValue* value = find(key);
  if (value == nullptr || value->is_array || value->numbers.empty()) return std::nullopt;
  return value->numbers.front();
}

std::vector<double> GgufMetadata::numbers(const std::string& key) const {
  const GgufValue* value = find(key);
  return value == nullptr ? std::vector<double>{} : value->numbers;
}

std::string GgufMetadata::text(const std::string& key) const {
  const GgufValue* value = find(key);
  return value == nullptr ? "" : value->text;
}

}  // namespace aspd
