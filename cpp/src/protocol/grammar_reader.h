// Reads GBNF. Knows its syntax and writes repetitions out; what the rules mean is checked by Grammar.
#pragma once

#include <string>
#include <vector>

#include "grammar.h"

namespace aspd {

// The rules of a text, as they stand there. names: of a rule of a group or repetition the one it stands in.
struct ReadGrammar {
  std::vector<std::vector<Grammar::Element>> rules;
  std::vector<std::string> names;
  std::vector<Grammar::Set> sets;
  std::uint32_t root = 0;
};

// Throws std::invalid_argument, as the constructor of Grammar does.
[[nodiscard]] ReadGrammar read_grammar(const std::string& gbnf, const Grammar::TokenOf& token_of);

}  // namespace aspd
