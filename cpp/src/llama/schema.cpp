#include "aspd/schema.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>
#include <unordered_set>

#include "grammar.h"
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
constexpr std::size_t kMostReferences = 512;
constexpr std::size_t kMostOptional = 256;
constexpr std::size_t kMostSchemas = 4096;
constexpr std::size_t kMostLevels = 256;  // references followed
// An integer with one bound that begins with more digits has no rule in the converter.
constexpr double kMostOneSided = 1e15;

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

[[noreturn]] void fail(const std::string& what) {
  throw std::invalid_argument("the JSON schema cannot be kept: " + what);
}

// Goes through a schema as the converter does, which follows references and writes out what allOf names, and
// refuses what would take it too far.
class SchemaCheck {
 public:
  explicit SchemaCheck(const common_json& root) : root_(root) { visit(root, 0, false); }

 private:
  const common_json& root_;
  std::unordered_set<std::string> references_;
  std::size_t n_schemas_ = 0;

  // inlined: below an allOf, where a reference is written out each time.
  void visit(const common_json& schema, std::size_t level, bool inlined) {
    if (!schema.is_object()) return;  // the converter says what is wrong
    if (++n_schemas_ > kMostSchemas)
      fail("with its references written out it has more than " + std::to_string(kMostSchemas) + " schemas");
    if (level > kMostLevels)
      fail("a schema contains itself below allOf, or references follow each other too far");
    if (schema.contains("$ref")) {
      follow(schema.at("$ref"), level, inlined);
      return;
    }
    check_counts(schema, "minLength", "maxLength");
    check_counts(schema, "minItems", "maxItems");
    check_bounds(schema);
    for (const char* key : {"oneOf", "anyOf"}) {
      if (schema.contains(key)) visit_all(schema.at(key), level + 1, inlined);
    }
    if (schema.contains("properties")) visit_properties(schema, level);
    if (schema.contains("additionalProperties")) visit(schema.at("additionalProperties"), level + 1, false);
    for (std::size_t i = 0; schema.contains("allOf") && i < check_types(schema); ++i) {
      visit_all(schema.at("allOf"), level + 1, true);
    }
    for (const char* key : {"items", "prefixItems"}) {
      if (!schema.contains(key)) continue;
      const common_json& items = schema.at(key);
      if (items.is_array()) {
        visit_all(items, level + 1, false);
      } else {
        visit(items, level + 1, false);
      }
    }
  }

  void visit_all(const common_json& schemas, std::size_t level, bool inlined) {
    if (!schemas.is_array()) return;
    for (const auto& schema : schemas) visit(schema, level, inlined);
  }

  void visit_properties(const common_json& schema, std::size_t level) {
    const common_json& properties = schema.at("properties");
    if (!properties.is_object()) return;
    std::unordered_set<std::string> required;
    if (schema.contains("required") && schema.at("required").is_array()) {
      for (const auto& name : schema.at("required")) {
        if (name.is_string()) required.insert(name.get<std::string>());
      }
    }
    std::size_t n_optional = 0;
    for (auto property = properties.begin(); property != properties.end(); ++property) {
      n_optional += 1 - required.count(property.key());
      visit(*property, level + 1, false);
    }
    if (n_optional > kMostOptional)
      fail("an object has " + std::to_string(n_optional) + " optional properties; " +
           std::to_string(kMostOptional) + " is the most. List them in 'required', or ask for fewer");
  }

  // The number of types.
  static std::size_t check_types(const common_json& schema) {
    if (!schema.contains("type") || !schema.at("type").is_array()) return 1;
    std::unordered_set<std::string> types;
    for (const auto& type : schema.at("type")) {
      if (type.is_string() && !types.insert(type.get<std::string>()).second)
        fail("a list of types names " + type.get<std::string>() + " twice");
    }
    return types.size();
  }

  void follow(const common_json& value, std::size_t level, bool inlined) {
    if (!value.is_string()) return;
    const std::string name = value.get<std::string>();
    const bool is_new = references_.insert(name).second;
    if (references_.size() > kMostReferences)
      fail("it has more than " + std::to_string(kMostReferences) + " references");
    if (!is_new && !inlined) return;
    if (const common_json* target = find(name)) visit(*target, level + 1, inlined);
  }

  // What a reference names; null: nothing, as the converter will say.
  [[nodiscard]] const common_json* find(const std::string& name) const {
    const common_json* target = &root_;
    std::size_t at = name.find('/');
    while (at != std::string::npos) {
      const std::size_t end = name.find('/', at + 1);
      const std::string key = name.substr(at + 1, end == std::string::npos ? end : end - at - 1);
      at = end;
      if (target->is_object() && target->contains(key)) {
        target = &target->at(key);
      } else if (target->is_array() && !key.empty() && key.size() < 7 &&
                 key.find_first_not_of("0123456789") == std::string::npos &&
                 std::stoul(key) < target->size()) {
        target = &target->at(std::stoul(key));
      } else {
        return nullptr;
      }
    }
    return target;
  }

  static std::optional<double> number(const common_json& schema, const char* key) {
    if (!schema.contains(key) || !schema.at(key).is_number()) return std::nullopt;
    return schema.at(key).get<double>();
  }

  static std::string shown(const common_json& schema, const char* key) {
    return std::string(key) + " " + schema.at(key).dump();
  }

  static void check_counts(const common_json& schema, const char* least, const char* most) {
    for (const char* key : {least, most}) {
      const std::optional<double> count = number(schema, key);
      if (count && *count > std::numeric_limits<std::int32_t>::max())
        fail(shown(schema, key) + " is too large");
    }
    const std::optional<double> low = number(schema, least);
    const std::optional<double> high = number(schema, most);
    if (low && high && *low > *high) fail(shown(schema, least) + " is above " + shown(schema, most));
  }

  static void check_bounds(const common_json& schema) {
    constexpr double kPastInt64 = 0x1p63;
    const char* low_key = schema.contains("minimum") ? "minimum" : "exclusiveMinimum";
    const char* high_key = schema.contains("maximum") ? "maximum" : "exclusiveMaximum";
    const std::optional<double> low = number(schema, low_key);
    const std::optional<double> high = number(schema, high_key);
    if (low && high && *low > *high) fail(shown(schema, low_key) + " is above " + shown(schema, high_key));
    if (!schema.contains("type")) return;
    const common_json& type = schema.at("type");
    const auto is_integer = [](const common_json& one) {
      return one.is_string() && one.get<std::string>() == "integer";
    };
    const bool counts =
        type.is_array() ? std::any_of(type.begin(), type.end(), is_integer) : is_integer(type);
    if (!counts) return;
    for (const char* key : {low_key, high_key}) {
      const std::optional<double> bound = number(schema, key);
      // The ends of 64 bits are no bounds to the converter.
      const bool is_end = bound && schema.at(key).is_number_integer() && std::fabs(*bound) <= kPastInt64 &&
                          std::string(key).size() == 7 &&
                          (*bound < 0 || schema.at(key).get<std::int64_t>() > 0);
      if (bound && !is_end && !(std::fabs(*bound) < kPastInt64))
        fail(shown(schema, key) + " has more than 64 bits");
    }
    if (low && *low >= kMostOneSided && !high)
      fail("an integer with the " + shown(schema, low_key) + " needs a maximum too");
    if (high && *high <= -kMostOneSided && !low)
      fail("an integer with the " + shown(schema, high_key) + " needs a minimum too");
  }
};

}  // namespace

std::string grammar_of_schema(const std::string& schema_json) {
  if (schema_json.size() > kMostBytes) throw std::invalid_argument("the JSON schema is too long");
  check_depth(schema_json, kMostDepth);
  const common_json schema = common_json::parse_no_throw(schema_json);
  if (schema.is_discarded()) throw std::invalid_argument("the JSON schema is not JSON");
  if (!schema.is_object()) throw std::invalid_argument("a JSON schema is an object");
  check_strings(schema);
  const SchemaCheck checked(schema);
  std::string grammar;
  try {
    grammar = json_schema_to_grammar(schema, true);
  } catch (const std::exception& error) {
    throw std::invalid_argument(error.what());
  }
  try {
    const Grammar rules(grammar);
  } catch (const std::invalid_argument& error) {
    fail(error.what());
  }
  return grammar;
}

}  // namespace aspd
