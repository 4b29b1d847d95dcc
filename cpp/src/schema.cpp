#include "aspd/schema.h"

#include <algorithm>
#include <stdexcept>

#include "json-schema-to-grammar.h"
#include "json.h"
#include "json_depth.h"

namespace aspd {

namespace {

constexpr std::size_t kMostBytes = std::size_t{64} << 10U;
constexpr std::size_t kMostDepth = 32;
// The converter's regular expressions and its reader of patterns recurse over strings.
constexpr std::size_t kMostStringBytes = 2048;
constexpr std::ptrdiff_t kMostParentheses = 32;
constexpr std::size_t kMostGrammarBytes = std::size_t{1} << 20U;

void check_string(const std::string& text) {
  if (text.size() > kMostStringBytes) throw std::invalid_argument("a string of the JSON schema is too long");
  if (std::count(text.begin(), text.end(), '(') > kMostParentheses)
    throw std::invalid_argument("a string of the JSON schema has too many parentheses");
}

void check_strings(const common_json& value) {
  if (value.is_string()) check_string(value.get<std::string>());
  if (!value.is_object() && !value.is_array()) return;
  for (auto item = value.begin(); item != value.end(); ++item) {
    if (value.is_object()) check_string(item.key());
    check_strings(*item);
  }
}

}  // namespace

std::string grammar_of_schema(const std::string& schema_json) {
  if (schema_json.size() > kMostBytes) throw std::invalid_argument("the JSON schema is too long");
  check_depth(schema_json, kMostDepth);
  const common_json schema = common_json::parse_no_throw(schema_json);
  if (schema.is_discarded()) throw std::invalid_argument("the JSON schema is not JSON");
  if (!schema.is_object()) throw std::invalid_argument("a JSON schema is an object");
  check_strings(schema);
  std::string grammar;
  try {
    grammar = json_schema_to_grammar(schema, true);
  } catch (const std::exception& error) {
    throw std::invalid_argument(error.what());
  }
  if (grammar.size() > kMostGrammarBytes)
    throw std::invalid_argument("the grammar of this JSON schema would be too long");
  return grammar;
}

}  // namespace aspd
