// From a JSON schema to a grammar for the sampler, by llama.cpp's converter, for schemas that come from
// strangers.
#pragma once

#include <string>

namespace aspd {

// GBNF with a rule "root" that admits only JSON of this schema. Keywords that the converter does not know
// (such as multipleOf) do not narrow it. Throws std::invalid_argument: no JSON, no schema, bounds that
// nothing can keep, a pattern that has no grammar, or beyond the limits: 64 KiB, 32 levels, strings of 2 KiB,
// 32 parentheses in a pattern, 512 references, 256 optional properties of an object, 4,096 schemas once those
// of allOf are written out, and those of a grammar (src/grammar.h).
[[nodiscard]] std::string grammar_of_schema(const std::string& schema_json);

}  // namespace aspd
