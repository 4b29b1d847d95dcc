// JSON schemas of strangers become grammars, or are refused.
#include "aspd/schema.h"

#include <stdexcept>
#include <string>

#include "aspd/sampler.h"
#include "check.h"
#include "driver.h"

using namespace aspd;
using namespace aspd_test;

namespace {

std::string repeat(const std::string& text, std::size_t n) {
  std::string all;
  for (std::size_t i = 0; i < n; ++i) all += text;
  return all;
}

}  // namespace

TEST(a_schema_governs_what_is_sampled) {
  const auto model = tiny_model("llama");
  Engine engine(model, exact());
  Request wanted = request(*model, "x");
  wanted.sampling.grammar = grammar_of_schema(
      R"({"type": "object", "properties": {"a": {"enum": ["yes", "no"]}, "b": {"type": "boolean"}},
          "required": ["a", "b"], "additionalProperties": false})");
  wanted.max_tokens = 60;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    wanted.sampling.seed = seed;
    wanted.sampling.temperature = 1.0F;
    const std::string text = answer(engine, wanted)->text;
    const bool one_of_four =
        (text.find("\"yes\"") != std::string::npos) != (text.find("\"no\"") != std::string::npos) &&
        (text.find("true") != std::string::npos) != (text.find("false") != std::string::npos);
    CHECK(one_of_four);
  }
}

TEST(schemas_that_cannot_be_kept_are_refused) {
  for (const std::string& schema : {
           std::string(""),
           std::string("{"),
           std::string("3"),
           std::string("true"),
           std::string("[]"),
           std::string(R"({"type": "no such type"})"),
           std::string(R"({"$ref": "https://example.com/schema.json"})"),
           std::string(R"({"$ref": "#/definitions/none"})"),
           std::string(R"({"type": "string", "pattern": "^(?=a)b$"})"),
           std::string(R"({"type": "string", "pattern": "no anchors"})"),
           std::string(R"({"type": "string", "pattern": "^[a$"})"),
           R"({"type": "string", "pattern": "^)" + repeat("(", 1000) + "a" + repeat(")", 1000) + R"($"})",
           R"({"properties": {")" + repeat("#", 50'000) + R"(": {"type": "string"}}})",
           repeat(R"({"items": )", 40) + "{}" + repeat("}", 40),
           repeat("[", 1'000'000),
           "{\"description\": \"" + repeat("x", 100'000) + "\"}",
       }) {
    CHECK_THROWS((void)grammar_of_schema(schema), std::invalid_argument);
  }
}

TEST(common_schemas_have_grammars_that_parse) {
  const auto model = tiny_model("llama");
  for (const char* schema : {
           "{}",
           R"({"type": ["string", "null"], "minLength": 2, "maxLength": 5})",
           R"({"type": "integer", "minimum": -17, "maximum": 123456789})",
           R"({"type": "array", "items": {"$ref": "#/$defs/node"}, "$defs": {"node": {"type": "object",
               "properties": {"next": {"$ref": "#/$defs/node"}}}}})",
           R"({"anyOf": [{"const": 1}, {"type": "string", "pattern": "^[a-z]{2,4}$"}]})",
           R"({"type": "string", "format": "date-time"})",
           R"({"type": "object", "additionalProperties": {"type": "number"}})",
       }) {
    SamplingOptions options;
    options.grammar = grammar_of_schema(schema);
    const Sampler sampler(model.get(), options, 0);
  }
}
