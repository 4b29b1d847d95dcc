// Grammars of strangers are read as they are meant, or refused with a reason.
#include "grammar.h"

#include <ctime>
#include <random>
#include <set>
#include <stdexcept>
#include <string>

#include "check.h"

using namespace aspd;

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr double kSlow = 20;  // times
#else
constexpr double kSlow = 1;
#endif

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

std::string repeat(const std::string& text, std::size_t n) {
  std::string all;
  for (std::size_t i = 0; i < n; ++i) all += text;
  return all;
}

GrammarState state(const std::string& gbnf) { return GrammarState(std::make_shared<const Grammar>(gbnf)); }

// Whether a text is one of the grammar's; its pieces are the tokens.
bool admits(const std::string& gbnf, const std::vector<std::string>& pieces) {
  GrammarState at = state(gbnf);
  for (const std::string& piece : pieces) {
    at.begin_choice();
    if (!at.allows(0, piece)) return false;
    at.accept(0, piece);
  }
  return at.may_end();
}

// The reason why a grammar is refused, found within 100 ms; fails the test where it is not.
std::string refusal(const std::string& gbnf) {
  const double begin = cpu_seconds();
  std::string reason;
  try {
    const Grammar grammar(gbnf);
  } catch (const std::invalid_argument& error) {
    reason = error.what();
  }
  CHECK(cpu_seconds() - begin < 0.1 * kSlow);
  return reason;
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// A grammar as a tree, which is written as GBNF and matched by trying everything.
struct Tree {
  enum class Kind { kText, kSet, kNotSet, kSequence, kChoice, kRepeat };
  Kind kind = Kind::kText;
  std::string text;  // of a set: its characters
  std::vector<Tree> parts;
  int least = 0;
  int most = 0;  // -1: any number

  static Tree random(std::mt19937& random, int depth) {
    const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    Tree tree;
    tree.kind = static_cast<Kind>(below(depth > 0 ? 6 : 3));
    if (tree.kind <= Kind::kNotSet) {
      const bool set = tree.kind != Kind::kText;
      for (int i = set ? 1 + below(2) : below(3); i > 0; --i) tree.text += "abc"[below(3)];
      return tree;
    }
    for (int i = tree.kind == Kind::kRepeat ? 1 : 1 + below(3); i > 0; --i) {
      tree.parts.push_back(Tree::random(random, depth - 1));
    }
    tree.least = below(3);
    tree.most = below(3) == 0 ? -1 : tree.least + below(3);
    return tree;
  }

  [[nodiscard]] std::string gbnf() const {
    std::string out;
    switch (kind) {
      case Kind::kText: return "\"" + text + "\"";
      case Kind::kSet: return "[" + text + "]";
      case Kind::kNotSet: return "[^" + text + "]";
      case Kind::kRepeat:
        return "(" + parts[0].gbnf() + "){" + std::to_string(least) + "," +
               (most < 0 ? "" : std::to_string(most)) + "}";
      default:
        for (const Tree& part : parts) {
          if (!out.empty()) out += kind == Kind::kChoice ? " | " : " ";
          out += "(" + part.gbnf() + ")";
        }
        return out;
    }
  }

  // Where in the text a match may end that begins at one of `from`.
  [[nodiscard]] std::set<std::size_t> ends(const std::string& all, const std::set<std::size_t>& from) const {
    std::set<std::size_t> found;
    switch (kind) {
      case Kind::kText:
        for (const std::size_t at : from) {
          if (all.compare(at, text.size(), text) == 0) found.insert(at + text.size());
        }
        return found;
      case Kind::kSet:
      case Kind::kNotSet:
        for (const std::size_t at : from) {
          if (at < all.size() && holds(text, all.substr(at, 1)) == (kind == Kind::kSet)) found.insert(at + 1);
        }
        return found;
      case Kind::kSequence:
        found = from;
        for (const Tree& part : parts) found = part.ends(all, found);
        return found;
      case Kind::kChoice:
        for (const Tree& part : parts) {
          for (const std::size_t end : part.ends(all, from)) found.insert(end);
        }
        return found;
      default: break;
    }
    std::set<std::size_t> now = from;
    for (int i = 0; i < least; ++i) now = parts[0].ends(all, now);
    found = now;
    for (int i = least; most < 0 ? !now.empty() : i < most; ++i) {
      std::set<std::size_t> next;
      for (const std::size_t end : parts[0].ends(all, now)) {
        if (found.insert(end).second || most >= 0) next.insert(end);
      }
      now = next;
    }
    return found;
  }
};

}  // namespace

TEST(random_grammars_admit_what_trying_everything_finds) {
  std::mt19937 random(7);
  int n_admitted = 0;
  for (int i = 0; i < 400; ++i) {
    const Tree tree = Tree::random(random, 4);
    const std::string gbnf = "root ::= " + tree.gbnf();
    for (int j = 0; j < 40; ++j) {
      std::vector<std::string> pieces;
      std::string text;
      for (auto n = random() % 5; n > 0; --n) {
        std::string piece;
        for (auto k = 1 + random() % 3; k > 0; --k) piece += "abcd"[random() % 4];
        text += piece;
        pieces.push_back(std::move(piece));
      }
      const bool expected = tree.ends(text, {0}).count(text.size()) > 0;
      n_admitted += expected ? 1 : 0;
      CHECK_EQ(admits(gbnf, pieces), expected);
    }
  }
  CHECK(n_admitted > 1000);
}

TEST(the_syntax_is_llama_cpps) {
  CHECK(admits("# a comment\nroot ::= x-1 | \"\\\"\\x41\\u00e9\" # more\nx-1 ::= (\n \"a\" |\n [b-d]\n)+",
               {"ab", "d"}));
  CHECK(admits("root ::= x-1 | \"\\\"\\x41\\u00e9\"\nx-1 ::= [^\\]\\-a]", {"\"A\xC3", "\xA9"}));
  CHECK(admits("root ::= .{2} [a-]", {"\xF0\x9F", "\x98\x80x-"}));
  CHECK(!admits("root ::= [a-c]", {"\xC3"}));
  CHECK(!admits("root ::= .", {"\xFF"}));
  CHECK(admits("root ::= \"a\"{0}", {}));
  CHECK(admits("root ::= (\"a\" | root2)* \"b\"\r\nroot2 ::= \"c\" root2 \"d\" | \"\"\n",
               {"accdda", "cd", "b"}));
  CHECK(admits("root ::= (\"a\"? \"\")* (\"b\"*)+", {"aabb"}));
}

TEST(tokens_are_told_by_their_id_or_their_text) {
  const auto rules = std::make_shared<const Grammar>(
      "root ::= <[7]> !<think> \"x\"", [](const std::string& text) { return text == "<think>" ? 9 : -1; });
  GrammarState at(rules);
  CHECK(!at.allows(6, "a"));
  CHECK(at.allows(7, ""));
  at.accept(7, "");
  CHECK(!at.allows(9, "x"));
  at.accept(8, "");
  CHECK(at.allows(3, "x"));
  CHECK_THROWS(Grammar("root ::= <think>"), std::invalid_argument);
}

TEST(grammars_that_would_grow_without_end_are_refused) {
  for (const char* gbnf : {
           "root ::= root \"x\" | \"y\"",
           "root ::= e root \"x\" | \"y\"\ne ::= \"\"",
           "root ::= e root \"x\" | \"y\"\ne ::= f f\nf ::= g?\ng ::= \"a\"",
           "root ::= a\na ::= b \"x\" | \"y\"\nb ::= c | \"z\"\nc ::= \"q\"? a",
           "root ::= \"a\"* b\nb ::= (\"c\"* d)+\nd ::= b \"e\"",
       }) {
    CHECK(holds(refusal(gbnf), "left recursion"));
  }
  CHECK(
      admits("root ::= a\na ::= b | \"x\"\nb ::= e a | \"y\"\ne ::= \"\"", {"y"}));  // it opens nothing twice
}

TEST(grammars_beyond_the_limits_are_refused_with_a_reason) {
  CHECK(holds(refusal("root ::= \"a\"{5,2}"), "at least 5 repetitions are asked for, and at most 2"));
  CHECK(holds(refusal("root ::= \"a\"{70000}"), "65536"));
  CHECK(holds(refusal("root ::= \"a\"{99999999999999999999999}"), "65536"));
  CHECK(holds(
      refusal("root ::= (((\"a\"{60000}) \"b\"){60000}) [c]{60000}\n" + repeat("x ::= \"a\"{60000}\n", 20)),
      "elements"));
  CHECK(holds(refusal("root ::= " + repeat("(", 20'000) + "\"a\"" + repeat(")", 20'000)), "nested"));
  CHECK(holds(refusal("root ::= \"" + repeat("x", 2'000'000) + "\""), "1 MiB"));
  std::string doubled = "root ::= a0\n";
  for (int i = 0; i < 60; ++i) {
    const std::string next = "a" + std::to_string(i + 1);
    doubled += "a" + std::to_string(i) + " ::= " + next + " \"x\" | " + next + " \"y\"\n";
  }
  CHECK(holds(refusal(doubled + "a60 ::= \"z\""), "ways"));
  CHECK(holds(refusal("root ::= nowhere"), "'nowhere'"));
  CHECK(holds(refusal("leaf ::= \"x\""), "no rule 'root'"));
  CHECK(holds(refusal(""), "no rule 'root'"));
  CHECK(holds(refusal("root ::= \"a\"\nb := \"c\""), "line 2"));
  CHECK(holds(refusal("root ::= [z-a]"), "range"));
  CHECK(holds(refusal("root ::= \"\xFF\""), "UTF-8"));
}

TEST(long_chains_and_many_repetitions_are_read) {
  std::string chain = "root ::= r0\n";
  for (int i = 0; i < 30'000; ++i) chain += "r" + std::to_string(i) + " ::= r" + std::to_string(i + 1) + "\n";
  CHECK_EQ(refusal(chain + "r30000 ::= \"x\""), std::string());
  CHECK(admits(chain + "r30000 ::= \"x\"", {"x"}));
  CHECK(admits("root ::= \"a\"{2500,}", std::vector<std::string>(50, repeat("a", 50))));
  CHECK(!admits("root ::= \"a\"{2501,}", std::vector<std::string>(50, repeat("a", 50))));
  CHECK(admits("root ::= (\"ab\" | \"c\"){0,2000}", std::vector<std::string>(40, repeat("abc", 25))));
  CHECK(!admits("root ::= (\"ab\" | \"c\"){0,1999}", std::vector<std::string>(40, repeat("abc", 25))));
}

TEST(an_ambiguous_text_costs_a_bounded_amount_of_work) {
  // Each "a" doubles the ways in which the rest may go on.
  GrammarState at = state("root ::= a root \"c\" | b root \"c\" | \"\"\na ::= \"a\"\nb ::= \"a\"");
  const double begin = cpu_seconds();
  for (int i = 0; i < 10; ++i) {
    at.begin_choice();
    (void)at.allows(0, repeat("a", 100));
  }
  CHECK(!at.allows(0, repeat("a", 100)));
  CHECK(at.allows(0, "aaa"));
  CHECK(cpu_seconds() - begin < 5 * kSlow);
}

TEST(a_long_text_is_held_in_bounded_memory) {
  GrammarState at = state("root ::= (\"[\" root \"]\" | [a-z] [0-9]?)*");
  const std::string deep = repeat("[", 2000);
  at.accept(0, deep);
  for (int i = 0; i < 20'000; ++i) at.accept(0, "[a1b[c]]z");
  at.accept(0, repeat("]", 1999));
  CHECK(!at.may_end());
  CHECK(!at.allows(0, "]]"));
  at.accept(0, "]");
  CHECK(at.may_end());
}
