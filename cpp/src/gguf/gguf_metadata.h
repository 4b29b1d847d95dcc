// The metadata of a GGUF file: keys and their values, as far as the checks need them. Long arrays and texts
// are counted, not kept; the token texts of the vocabulary become VocabularyFacts while they stream by.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gguf.h"

namespace aspd {

class GgufReader;

struct GgufValue {
  gguf_type type = GGUF_TYPE_COUNT;  // of the elements, for an array
  bool is_array = false;
  std::uint64_t count = 1;      // elements of an array
  std::vector<double> numbers;  // a number, or an array of at most 512 numbers; empty otherwise
  std::string text;  // a string's first 256 bytes, up to its first zero byte: llama.cpp sees no more
};

struct VocabularyFacts {
  std::uint64_t n_tokens = 0;
  std::bitset<256> starts;   // bytes that a token of more than one byte starts with, RWKV's escapes resolved
  std::bitset<256> singles;  // bytes that are a token
  bool has_byte_type = false;  // a token of the type BYTE
  bool is_utf8 = true;         // all tokens are
  double cubed_bytes = 0.0;    // sum over the tokens
};

class GgufMetadata {
 public:
  // Reads n_kv keys. Throws ModelError where a key, a type, a length or the vocabulary's texts are not
  // acceptable.
  GgufMetadata(GgufReader& reader, std::uint64_t n_kv);

  [[nodiscard]] const GgufValue* find(const std::string& key) const;
  // The number under a key; none: no such key, a text, an array.
  [[nodiscard]] std::optional<double> number(const std::string& key) const;
  // The number under a key, or the numbers of an array, one for each layer; empty: no such key.
  [[nodiscard]] std::vector<double> numbers(const std::string& key) const;
  // The text under a key; empty: no such key, or not a text.
  [[nodiscard]] std::string text(const std::string& key) const;
  [[nodiscard]] const VocabularyFacts& vocabulary() const { return vocabulary_; }

 private:
  [[nodiscard]] GgufValue read_value(GgufReader& reader, const std::string& key);
  void read_array(GgufReader& reader, const std::string& key, GgufValue& value);
  void read_strings(GgufReader& reader, const std::string& key, std::uint64_t count);
  void read_tokens(GgufReader& reader, std::uint64_t count);

  std::map<std::string, GgufValue> values_;
  VocabularyFacts vocabulary_;
};

}  // namespace aspd
