#include "grammar_reader.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <unordered_map>

#include "utf8.h"

namespace aspd {

namespace {

using Element = Grammar::Element;
using Kind = Grammar::Kind;
using Elements = std::vector<Element>;

constexpr std::size_t kMostBytes = std::size_t{1} << 20U;
constexpr std::size_t kMostElements = std::size_t{1} << 20U;
constexpr std::uint32_t kMostRepetitions = 65'536;
constexpr std::size_t kMostDepth = 200;
constexpr std::uint32_t kLastCodePoint = 0x10FFFF;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || is_digit(c); }

class Reader {
 public:
  Reader(const std::string& text, const Grammar::TokenOf& token_of) : text_(text), token_of_(token_of) {}

  ReadGrammar read() {
    if (text_.size() > kMostBytes) throw std::invalid_argument("the grammar is longer than 1 MiB");
    if (text_.find('\0') != std::string::npos) throw std::invalid_argument("the grammar has a byte 0");
    if (valid_utf8(text_) != text_) throw std::invalid_argument("the grammar is not UTF-8");
    skip_space(true);
    while (!done()) read_rule();
    const auto root = ids_.find("root");
    if (root == ids_.end()) throw std::invalid_argument("the grammar has no rule 'root'");
    for (std::size_t i = 0; i < grammar_.rules.size(); ++i) {
      if (grammar_.rules[i].empty())
        throw std::invalid_argument("the grammar uses the rule '" + grammar_.names[i] +
                                    "', which it has not");
    }
    grammar_.root = root->second;
    return std::move(grammar_);
  }

 private:
  const std::string& text_;
  const Grammar::TokenOf& token_of_;
  std::size_t at_ = 0;
  std::size_t depth_ = 0;
  std::size_t n_elements_ = 0;
  std::string name_;  // of the rule that is read
  std::unordered_map<std::string, std::uint32_t> ids_;
  ReadGrammar grammar_;

  [[noreturn]] void fail(const std::string& what) const {
    const auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at_), '\n');
    throw std::invalid_argument("the grammar cannot be read at line " + std::to_string(line) + ": " + what);
  }
  [[nodiscard]] bool done() const { return at_ >= text_.size(); }
  [[nodiscard]] char peek() const { return done() ? '\0' : text_[at_]; }
  // The character that comes, to be shown.
  [[nodiscard]] std::string next() const {
    std::size_t end = at_;
    (void)next_code_point(text_, end);
    return text_.substr(at_, end - at_);
  }
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }

  void skip_space(bool newlines) {
    for (;;) {
      const char c = peek();
      if (c == '#') {
        while (!done() && peek() != '\n' && peek() != '\r') ++at_;
      } else if (c == ' ' || c == '\t' || (newlines && (c == '\n' || c == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  std::string read_name() {
    const std::size_t from = at_;
    while (is_name(peek())) ++at_;
    if (from == at_) fail("a rule begins with its name");
    return text_.substr(from, at_ - from);
  }

  std::uint32_t new_rule(const std::string& name) {
    grammar_.rules.emplace_back();
    grammar_.names.push_back(name);
    return static_cast<std::uint32_t>(grammar_.rules.size() - 1);
  }

  std::uint32_t rule_of(const std::string& name) {
    const auto found = ids_.find(name);
    return found != ids_.end() ? found->second : (ids_[name] = new_rule(name));
  }

  void put(Elements& to, Element element) {
    if (++n_elements_ > kMostElements)
      fail("with its repetitions written out the grammar has more than " + std::to_string(kMostElements) +
           " elements");
    to.push_back(element);
  }

  void read_rule() {
    name_ = read_name();
    const std::uint32_t rule = rule_of(name_);
    skip_space(false);
    if (text_.compare(at_, 3, "::=") != 0) fail("::= is missing behind the name '" + name_ + "'");
    at_ += 3;
    skip_space(true);
    grammar_.rules[rule] = read_alternatives(false);
    if (!done() && peek() != '\n' && peek() != '\r') fail("the character '" + next() + "' cannot stand here");
    skip_space(true);
  }

  Elements read_alternatives(bool nested) {
    Elements rule;
    read_sequence(rule, nested);
    while (take('|')) {
      put(rule, {Kind::kOr, 0});
      skip_space(true);
      read_sequence(rule, nested);
    }
    put(rule, {Kind::kEnd, 0});
    return rule;
  }

  void read_sequence(Elements& rule, bool nested) {
    for (;;) {
      std::optional<Elements> item = read_item();
      if (!item) return;
      skip_space(nested);
      while (read_repetition(*item, nested)) skip_space(nested);
      rule.insert(rule.end(), item->begin(), item->end());
    }
  }

  std::optional<Elements> read_item() {
    Elements item;
    if (take('"')) {
      while (!take('"')) {
        if (done()) fail("a string has no end");
        put(item, {Kind::kChar, read_char()});
      }
    } else if (take('[')) {
      put(item, {Kind::kSet, read_set()});
    } else if (take('.')) {
      put(item, {Kind::kSet, add_set({true, {}})});
    } else if (peek() == '<' || peek() == '!') {
      const Kind kind = take('!') ? Kind::kNotToken : Kind::kToken;
      put(item, {kind, read_token()});
    } else if (is_name(peek())) {
      put(item, {Kind::kRule, rule_of(read_name())});
    } else if (take('(')) {
      if (++depth_ > kMostDepth) fail("groups are nested deeper than " + std::to_string(kMostDepth));
      skip_space(true);
      const std::uint32_t rule = new_rule(name_);
      grammar_.rules[rule] = read_alternatives(true);
      if (!take(')')) fail("a group has no end");
      --depth_;
      put(item, {Kind::kRule, rule});
    } else {
      return std::nullopt;
    }
    return item;
  }

  std::uint32_t add_set(Grammar::Set set) {
    grammar_.sets.push_back(std::move(set));
    return static_cast<std::uint32_t>(grammar_.sets.size() - 1);
  }

  std::uint32_t read_set() {
    Grammar::Set set;
    set.negated = take('^');
    while (!take(']')) {
      if (done()) fail("a class of characters has no end");
      const std::uint32_t first = read_char();
      std::uint32_t last = first;
      if (peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        last = read_char();
      }
      if (last < first) fail("a range of characters ends before it begins");
      set.ranges.emplace_back(first, last);
    }
    if (set.ranges.empty() && !set.negated) fail("a class of characters is empty");
    return add_set(std::move(set));
  }

  std::uint32_t read_char() {
    if (peek() != '\\') {
      if (done()) fail("it ends within a string or a class of characters");
      return next_code_point(text_, at_);
    }
    ++at_;
    const char c = peek();
    ++at_;
    switch (c) {
      case 'x': return read_hex(2);
      case 'u': return read_hex(4);
      case 'U': return read_hex(8);
      case 't': return '\t';
      case 'r': return '\r';
      case 'n': return '\n';
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-': return static_cast<std::uint32_t>(c);
      default:
        at_ = std::min(at_, text_.size());
        fail("an unknown escape; known are \\x \\u \\U \\t \\r \\n \\\\ \\\" \\[ \\] \\-");
    }
  }

  std::uint32_t read_hex(std::size_t n_digits) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < n_digits; ++i, ++at_) {
      const char c = peek();
      const bool lower = c >= 'a' && c <= 'f';
      const bool upper = c >= 'A' && c <= 'F';
      if (!is_digit(c) && !lower && !upper)
        fail("an escape needs " + std::to_string(n_digits) + " hex digits");
      const int digit = is_digit(c) ? c - '0' : c - (lower ? 'a' : 'A') + 10;
      value = value * 16 + static_cast<std::uint32_t>(digit);
    }
    if (value > kLastCodePoint) fail("an escape is above U+10FFFF");
    return value;
  }

  std::uint32_t read_token() {
    const std::size_t from = at_;
    const std::size_t end = text_.find('>', at_);
    if (peek() != '<' || end == std::string::npos || end - at_ > 200) fail("a token stands between < and >");
    at_ = end + 1;
    const std::string text = text_.substr(from, at_ - from);
    if (text.size() > 4 && text[1] == '[' && text[text.size() - 2] == ']') {
      const std::string digits = text.substr(2, text.size() - 4);
      if (digits.size() > 9 || !std::all_of(digits.begin(), digits.end(), is_digit))
        fail("a token id is a number below 10^9");
      return static_cast<std::uint32_t>(std::stoul(digits));
    }
    const Token token = token_of_ ? token_of_(text) : -1;
    if (token < 0) fail("'" + text + "' is not one token of the vocabulary");
    return static_cast<std::uint32_t>(token);
  }

  std::uint32_t read_number() {
    if (!is_digit(peek())) fail("a number of repetitions is missing");
    std::uint64_t value = 0;
    for (; is_digit(peek()); ++at_) {
      value = std::min<std::uint64_t>(value * 10 + static_cast<std::uint64_t>(peek() - '0'), 1'000'000'000);
    }
    return static_cast<std::uint32_t>(value);
  }

  // Reads a repetition, if one follows, and writes the item out so many times.
  bool read_repetition(Elements& item, bool nested) {
    std::uint32_t least = 0;
    std::optional<std::uint32_t> most;
    if (take('*')) {
    } else if (take('+')) {
      least = 1;
    } else if (take('?')) {
      most = 1;
    } else if (take('{')) {
      skip_space(nested);
      least = read_number();
      most = least;
      skip_space(nested);
      if (take(',')) {
        skip_space(nested);
        most.reset();
        if (is_digit(peek())) most = read_number();
        skip_space(nested);
      }
      if (!take('}')) fail("a repetition has no }");
    } else {
      return false;
    }
    if (most && *most < least)
      fail("at least " + std::to_string(least) + " repetitions are asked for, and at most " +
           std::to_string(*most));
    if (least > kMostRepetitions)
      fail("at least " + std::to_string(least) + " repetitions are asked for; " +
           std::to_string(kMostRepetitions) + " is the most");
    if (most && *most > kMostRepetitions) most.reset();
    item = repeat(std::move(item), least, most);
    return true;
  }

  Elements repeat(Elements item, std::uint32_t least, std::optional<std::uint32_t> most) {
    if (item.empty()) return item;
    if (item.size() > 1) {  // so that each repetition is one element
      const std::uint32_t rule = new_rule(name_);
      put(item, {Kind::kEnd, 0});
      grammar_.rules[rule] = std::move(item);
      item = {{Kind::kRule, rule}};
    }
    Elements all;
    for (std::uint32_t i = 0; i < least; ++i) put(all, item.front());
    if (!most) {
      const std::uint32_t rule = new_rule(name_);
      write_optional(rule, item.front(), rule);
      put(all, {Kind::kRule, rule});
      return all;
    }
    std::optional<std::uint32_t> rest;
    for (std::uint32_t i = least; i < *most; ++i) {
      const std::uint32_t rule = new_rule(name_);
      write_optional(rule, item.front(), rest);
      rest = rule;
    }
    if (rest) put(all, {Kind::kRule, *rest});
    return all;
  }

  // rule ::= item rest |
  void write_optional(std::uint32_t rule, Element item, std::optional<std::uint32_t> rest) {
    Elements elements;
    put(elements, item);
    if (rest) put(elements, {Kind::kRule, *rest});
    put(elements, {Kind::kOr, 0});
    put(elements, {Kind::kEnd, 0});
    grammar_.rules[rule] = std::move(elements);
  }
};

}  // namespace

ReadGrammar read_grammar(const std::string& gbnf, const Grammar::TokenOf& token_of) {
  return Reader(gbnf, token_of).read();
}

}  // namespace aspd
