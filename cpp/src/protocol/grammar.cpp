#include "grammar.h"

#include <algorithm>
#include <cstddef>
#include <stdexcept>

#include "grammar_reader.h"

namespace aspd {

namespace {

constexpr std::size_t kMostWays = 16'384;  // to go on at one place

// What can be read first of each rule, and whether anything must be.
class Beginnings {
 public:
  Beginnings(const Grammar& grammar, std::size_t n_rules, const std::vector<std::string>& names)
      : grammar_(grammar), n_rules_(n_rules), names_(names) {}

  // Throws std::invalid_argument for left recursion and for too many ways.
  void check() {
    find_empty();
    find_components();
    count_ways();
  }

 private:
  using Kind = Grammar::Kind;
  const Grammar& grammar_;
  std::size_t n_rules_;
  const std::vector<std::string>& names_;
  std::vector<bool> may_be_empty_;        // [n_rules]
  std::vector<std::uint32_t> component_;  // [n_rules], of rules that begin with each other
  std::vector<std::uint32_t> order_;      // rules, those before that others begin with
  std::vector<std::size_t> ways_;         // [n_components]

  // From the rules that are plainly empty on to those that consist of such.
  void find_empty() {
    struct Alternative {
      std::uint32_t rule;
      std::size_t n_left;  // rules in it that must be read
    };
    may_be_empty_.assign(n_rules_, false);
    std::vector<Alternative> alternatives;
    std::vector<std::vector<std::uint32_t>> used_in(n_rules_);
    std::vector<std::uint32_t> todo;
    const auto is_empty = [&](std::uint32_t rule) {
      if (may_be_empty_[rule]) return;
      may_be_empty_[rule] = true;
      todo.push_back(rule);
    };
    for (std::uint32_t rule = 0; rule < n_rules_; ++rule) {
      for (const std::uint32_t begin : grammar_.alternatives(rule)) {
        std::uint32_t end = begin;
        while (!grammar_.ends(end) && grammar_.at(end).kind == Kind::kRule) ++end;
        if (!grammar_.ends(end)) continue;
        if (end == begin) {
          is_empty(rule);
          continue;
        }
        for (std::uint32_t place = begin; place < end; ++place) {
          used_in[grammar_.at(place).value].push_back(static_cast<std::uint32_t>(alternatives.size()));
        }
        alternatives.push_back({rule, end - begin});
      }
    }
    while (!todo.empty()) {
      const std::uint32_t rule = todo.back();
      todo.pop_back();
      for (const std::uint32_t i : used_in[rule]) {
        if (--alternatives[i].n_left == 0) is_empty(alternatives[i].rule);
      }
    }
  }

  // Calls f(rule that may be read first, whether something of this rule stands behind it); returns whether
  // something else may be read first too.
  template <typename Call>
  bool each_first(std::uint32_t begin, const Call& call) const {
    std::uint32_t place = begin;
    for (; !grammar_.ends(place); ++place) {
      const Grammar::Element& element = grammar_.at(place);
      if (element.kind != Kind::kRule) return true;
      call(element.value, !grammar_.ends(place + 1));
      if (!may_be_empty_[element.value]) break;
    }
    return false;
  }

  // Tarjan's algorithm, with a stack of its own: chains of rules may be long.
  void find_components() {
    constexpr std::uint32_t kNone = 0xFFFFFFFF;
    std::vector<std::vector<std::uint32_t>> first(n_rules_);
    for (std::uint32_t rule = 0; rule < n_rules_; ++rule) {
      for (const std::uint32_t begin : grammar_.alternatives(rule)) {
        each_first(begin, [&](std::uint32_t other, bool) { first[rule].push_back(other); });
      }
    }
    component_.assign(n_rules_, kNone);
    std::vector<std::uint32_t> number(n_rules_, kNone);
    std::vector<std::uint32_t> lowest(n_rules_, 0);
    std::vector<std::uint32_t> open;
    std::vector<std::pair<std::uint32_t, std::size_t>> path;
    std::uint32_t n_numbered = 0;
    std::uint32_t n_components = 0;
    for (std::uint32_t root = 0; root < n_rules_; ++root) {
      if (number[root] != kNone) continue;
      path.emplace_back(root, 0);
      while (!path.empty()) {
        const std::uint32_t rule = path.back().first;
        if (number[rule] == kNone) {
          number[rule] = lowest[rule] = n_numbered++;
          open.push_back(rule);
        }
        if (path.back().second < first[rule].size()) {
          const std::uint32_t next = first[rule][path.back().second++];
          if (number[next] == kNone) {
            path.emplace_back(next, 0);
          } else if (component_[next] == kNone) {
            lowest[rule] = std::min(lowest[rule], number[next]);
          }
          continue;
        }
        path.pop_back();
        if (!path.empty()) {
          const std::uint32_t above = path.back().first;
          lowest[above] = std::min(lowest[above], lowest[rule]);
        }
        if (lowest[rule] != number[rule]) continue;
        for (std::uint32_t member = kNone; member != rule;) {
          member = open.back();
          open.pop_back();
          component_[member] = n_components;
          order_.push_back(member);
        }
        ++n_components;
      }
    }
    ways_.assign(n_components, 0);
  }

  // A rule that begins with itself, and has something behind it, would be opened for ever.
  void count_ways() {
    for (const std::uint32_t rule : order_) {
      std::size_t& ways = ways_[component_[rule]];
      for (const std::uint32_t begin : grammar_.alternatives(rule)) {
        const bool more = each_first(begin, [&](std::uint32_t other, bool followed) {
          if (component_[other] != component_[rule]) {
            ways = std::min(kMostWays + 1, ways + ways_[component_[other]]);
          } else if (followed) {
            throw std::invalid_argument("the grammar's rule '" + names_[rule] +
                                        "' begins with itself (left recursion), possibly behind a rule that "
                                        "may be empty; let what is repeated come first");
          }
        });
        if (more) ++ways;
      }
      if (ways > kMostWays)
        throw std::invalid_argument("the grammar's rule '" + names_[rule] + "' can be read in more than " +
                                    std::to_string(kMostWays) + " ways at one place");
    }
  }
};

// Sorted ranges that do not meet.
void merge(std::vector<std::pair<std::uint32_t, std::uint32_t>>& ranges) {
  std::sort(ranges.begin(), ranges.end());
  std::size_t n = 0;
  for (const auto& range : ranges) {
    if (n > 0 && range.first <= ranges[n - 1].second + 1) {
      ranges[n - 1].second = std::max(ranges[n - 1].second, range.second);
    } else {
      ranges[n++] = range;
    }
  }
  ranges.resize(n);
}

}  // namespace

Grammar::Grammar(const std::string& gbnf, const TokenOf& token_of) {
  ReadGrammar read = read_grammar(gbnf, token_of);
  root_ = read.root;
  sets_ = std::move(read.sets);
  for (Set& set : sets_) merge(set.ranges);
  alternatives_.reserve(read.rules.size());
  for (const std::vector<Element>& rule : read.rules) {
    std::vector<std::uint32_t>& begins = alternatives_.emplace_back();
    bool begin = true;
    for (const Element& element : rule) {
      if (begin) begins.push_back(static_cast<std::uint32_t>(elements_.size()));
      begin = element.kind == Kind::kOr;
      elements_.push_back(element);
    }
  }
  Beginnings(*this, alternatives_.size(), read.names).check();
}

bool Grammar::holds(std::uint32_t place, std::uint32_t low, std::uint32_t high) const {
  const Element& element = elements_[place];
  if (element.kind == Kind::kChar) return low <= element.value && element.value <= high;
  if (element.kind != Kind::kSet) return false;
  const Set& set = sets_[element.value];
  // The first range that does not end before `low`.
  const auto range =
      std::lower_bound(set.ranges.begin(), set.ranges.end(), low,
                       [](const auto& one, std::uint32_t value) { return one.second < value; });
  if (range == set.ranges.end()) return set.negated;
  return set.negated ? low < range->first || high > range->second : range->first <= high;
}

}  // namespace aspd
