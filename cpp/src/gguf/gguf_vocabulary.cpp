// The rules for a vocabulary: every assertion, endless loop and out-of-range read that src/llama-vocab.cpp
// can reach from a file.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "gguf_metadata.h"
#include "gguf_reader.h"
#include "gguf_rules.h"

namespace aspd {

namespace {

// llama.cpp spells out every piece of every ending of a PLaMo 2 token: seconds for so many.
constexpr double kMostCubedBytes = 2147483648.0;

void check_array(const GgufReader& reader, const GgufMetadata& metadata, const std::string& key,
                 bool is_text) {
  const GgufValue* value = metadata.find(key);
  if (value == nullptr) return;
  if (!value->is_array || (value->type == GGUF_TYPE_STRING) != is_text) {
    reader.fail("metadata key " + quoted(key) + " must be an array of " + (is_text ? "texts" : "numbers"));
  }
}

void check_length(const GgufReader& reader, const GgufMetadata& metadata, const std::string& key) {
  const GgufValue* value = metadata.find(key);
  const std::uint64_t n_tokens = metadata.vocabulary().n_tokens;
  if (value != nullptr && value->count != n_tokens) {
    reader.fail("the vocabulary has " + std::to_string(n_tokens) + " tokens, but " + quoted(key) + " has " +
                std::to_string(value->count) + " entries");
  }
}

// Ids that steer decoding. llama.cpp ignores other ids that are out of range (padding, unknown, ...), and
// files with such ids are in use. -1 means none.
void check_token_id(const GgufReader& reader, const GgufMetadata& metadata, const std::string& key) {
  const std::optional<double> id = metadata.number(key);
  const std::uint64_t n_tokens = metadata.vocabulary().n_tokens;
  if (!id.has_value() || *id == -1.0 || *id == 4294967295.0) return;
  if (!(*id >= 0.0 && *id < static_cast<double>(n_tokens))) {
    reader.fail("metadata key " + quoted(key) + " names token " + shown(*id) + ", the vocabulary has " +
                std::to_string(n_tokens));
  }
}

}  // namespace

void check_vocabulary(const GgufReader& reader, const GgufMetadata& metadata) {
  check_array(reader, metadata, "tokenizer.ggml.tokens", true);
  check_array(reader, metadata, "tokenizer.ggml.merges", true);
  check_array(reader, metadata, "tokenizer.ggml.scores", false);
  check_array(reader, metadata, "tokenizer.ggml.token_type", false);
  if (metadata.find("tokenizer.ggml.tokens") == nullptr) return;

  const VocabularyFacts& facts = metadata.vocabulary();
  if (facts.n_tokens == 0) reader.fail("the vocabulary has no tokens");
  check_length(reader, metadata, "tokenizer.ggml.scores");
  check_length(reader, metadata, "tokenizer.ggml.token_type");
  for (const char* name : {"bos", "eos", "eot", "eom"}) {
    check_token_id(reader, metadata, "tokenizer.ggml." + std::string(name) + "_token_id");
  }
  const std::string model = metadata.text("tokenizer.ggml.model");
  if (model == "bert" && facts.has_byte_type)
    reader.fail("a WordPiece vocabulary cannot have tokens of the type BYTE");
  if (metadata.text("tokenizer.ggml.pre") == "whitespace" && model != "whitespace") {
    reader.fail(
        "the pre-tokenizer 'whitespace' needs the tokenizer 'whitespace'");  // or llama.cpp aborts on a space
  }
  if (model == "plamo2") {
    // or its table leads beyond the end of a text
    if (!facts.is_utf8) reader.fail("the PLaMo 2 vocabulary has tokens that are not UTF-8");
    if (facts.cubed_bytes > kMostCubedBytes) reader.fail("the tokens of the PLaMo 2 vocabulary are too long");
  }
  // llama.cpp loops for ever on a text that starts like a token but goes on differently.
  if (model == "rwkv" && (facts.starts & ~facts.singles).any()) {
    reader.fail("the RWKV vocabulary starts tokens with bytes that are no tokens themselves");
  }
}

}  // namespace aspd
