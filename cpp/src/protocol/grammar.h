// GBNF, the grammars of llama.cpp: texts of strangers become rules or are refused, and a place in them says
// which token may come next. Size, depth and work are bounded. Knows no model and no sampler.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "aspd/layout.h"

namespace aspd {

// The rules of a grammar. Does not change.
class Grammar {
 public:
  enum class Kind : std::uint8_t { kEnd, kOr, kRule, kChar, kSet, kToken, kNotToken };
  // value: of kRule the rule, of kChar the code point, of kSet an index of sets, of the last two a token id.
  struct Element {
    Kind kind = Kind::kEnd;
    std::uint32_t value = 0;
  };
  // A class of characters. ranges: code points, the last ones included; sorted, apart.
  struct Set {
    bool negated = false;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges;
  };
  // The id of the one token that this text is; -1: it is none, or several.
  using TokenOf = std::function<Token(const std::string& text)>;

  // Throws std::invalid_argument, which says where and why: it does not parse, has no rule "root", uses a
  // rule that is not there, calls a rule from itself before anything is read (left recursion), or is beyond
  // the limits: 1 MiB, groups of 200 levels, 2^20 elements once its repetitions are written out, a least
  // number of repetitions of 65,536, 16,384 ways to go on at one place. A largest number of repetitions above
  // 65,536 is read as none.
  explicit Grammar(const std::string& gbnf, const TokenOf& token_of = nullptr);

  [[nodiscard]] const Element& at(std::uint32_t place) const { return elements_[place]; }
  // Whether this alternative of a rule ends here.
  [[nodiscard]] bool ends(std::uint32_t place) const { return elements_[place].kind <= Kind::kOr; }
  // Where the alternatives of a rule begin.
  [[nodiscard]] const std::vector<std::uint32_t>& alternatives(std::uint32_t rule) const {
    return alternatives_[rule];
  }
  [[nodiscard]] std::uint32_t root() const { return root_; }
  // Whether the characters at a place of kChar or kSet hold one of [low, high].
  [[nodiscard]] bool holds(std::uint32_t place, std::uint32_t low, std::uint32_t high) const;

 private:
  std::vector<Element> elements_;  // of all rules; kOr parts the alternatives of a rule, kEnd ends it
  std::vector<std::vector<std::uint32_t>> alternatives_;  // [n_rules]
  std::vector<Set> sets_;
  std::uint32_t root_ = 0;
};

// How far a text has come in a grammar: all the ways in which the rest may be read.
class GrammarState {
 public:
  explicit GrammarState(std::shared_ptr<const Grammar> grammar);

  // Whether the text may end here.
  [[nodiscard]] bool may_end() const;
  // Whether a token of these bytes may come next. A token that takes more than a bounded amount of work to
  // read is not allowed; begin_choice() gives out the amount for all that are asked until the next one.
  [[nodiscard]] bool allows(Token token, std::string_view bytes);
  void begin_choice();
  // The token was taken. One that was not allowed leaves a text that nothing may follow.
  void accept(Token token, std::string_view bytes);

 private:
  using Id = std::uint32_t;
  // A way: the place to be read next, and the way to go on behind its rule. 0 is the end of the text.
  struct Node {
    std::uint32_t place = 0;
    Id parent = 0;
    std::uint32_t seen = 0;  // in which round
  };
  struct Place {
    Id ways = 0;                 // a set of ways: an index of sets_; 0: none
    std::uint32_t value = 0;     // of a code point whose bytes are not all there
    std::int32_t n_missing = 0;  // bytes of it
  };

  std::shared_ptr<const Grammar> grammar_;
  std::vector<Node> nodes_;
  std::unordered_map<std::uint64_t, Id> node_ids_;
  std::vector<std::vector<Id>> sets_;
  std::unordered_map<std::uint64_t, std::vector<Id>> set_ids_;  // by hash
  std::unordered_map<std::uint64_t, Id> steps_;                 // by set and code point
  std::size_t n_held_ = 0;                                      // ids in sets_
  std::uint32_t round_ = 0;
  std::size_t work_left_ = 0;    // of the token that is read
  std::size_t choice_left_ = 0;  // of the choice
  std::size_t n_live_ = 0;       // nodes that were left when it was compacted
  Place now_;

  void clear();
  void compact();
  Id node(std::uint32_t place, Id parent);
  Id set(std::vector<Id> ways);
  Id behind(Id way);
  bool expand(Id way, std::vector<Id>& found);
  Id step(Id ways, std::uint32_t code_point);
  Id step_token(Id ways, Token token);
  Id both(Id a, Id b);
  bool finish_code_point(const Place& place) const;
  Place read(Token token, std::string_view bytes);
};

}  // namespace aspd
