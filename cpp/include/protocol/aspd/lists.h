// A model's own lists: where one begins, where an item ends, what an outline says. Bytes in, decisions out;
// knows neither tokens nor models, and no language.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "aspd/protocol.h"

namespace aspd {

// How the items of one list are written. The mark of item k is before + number + after: "2. **",
// "- ", "### ", "**3. ".
struct ListStyle {
  enum class Kind { kNumbered, kBullet, kHeading, kBold };

  Kind kind = Kind::kBullet;
  std::size_t indent = 0;  // spaces before the mark; part of `before`
  std::size_t level = 0;   // of headings
  std::string before;
  bool numbered = false;
  std::string after;     // behind the number; empty without one
  std::string emphasis;  // that the mark opens, "**"; empty: none
  std::string closer;    // what parts the lead from the body: "**:", ":", " -", "\n"

  [[nodiscard]] std::string mark(int number) const;
  // The mark without the spaces at its end: they belong to the lead's first token.
  [[nodiscard]] std::string mark_alone(int number) const;
  [[nodiscard]] bool ends_line() const { return !closer.empty() && closer.back() == '\n'; }
};

// Code between fences of "```" or "~~~" (CommonMark, 4.5), line by line.
class Fence {
 public:
  [[nodiscard]] bool is_open() const { return mark_ != 0; }
  // most_indent: columns before a fence that opens code.
  void end_line(std::string_view line, std::size_t most_indent);

 private:
  char mark_ = 0;  // 0: outside code
  std::size_t size_ = 0;
  std::size_t indent_ = 0;
};

// Follows a text and finds the first item of a list whose items have leads, as soon as its body begins: what
// closes the lead is known only then.
class ListFinder {
 public:
  // rules: outlive this.
  explicit ListFinder(const ListRules* rules) : rules_(rules) {}

  struct Found {
    ListStyle style;
    std::string lead;
    std::size_t n_bytes = 0;  // of the text, from the first of the item's line to its end so far
    std::string over;         // those of them that lie behind the closer: the first of the body
  };

  // Takes the next bytes of the text. A list that has begun with these bytes.
  std::optional<Found> push(std::string_view bytes);
  // A list has been taken apart, its items are behind us; the text goes on in a line of its own.
  void after_list(const ListStyle& style);
  // Writing systems of the text so far, a set of bits (scripts_of).
  [[nodiscard]] std::uint32_t scripts() const { return scripts_; }

 private:
  std::optional<Found> look(bool line_ends);
  void end_line();

  const ListRules* rules_;
  std::string line_;
  std::string run_;       // mark of the list that the text is in, without its number; empty: none
  bool decided_ = false;  // there is nothing more to look for in this line
  Fence code_;
  std::optional<Found> closed_;  // its body has not begun
  std::uint32_t scripts_ = 0;
  std::string partial_;  // of a code point
};

// Follows the body of one item, and says where it ends: at the next mark of its list, behind a sentence
// within a line too, at a heading, where a paragraph follows that belongs to the list no more. What is nested
// stays. White space at the end of the body, and what may turn out to be the next mark, is held back.
class ItemReader {
 public:
  // number: of the item, from 1. rules: outlive this.
  ItemReader(ListStyle style, int number, const ListRules* rules)
      : style_(std::move(style)), number_(number), rules_(rules) {}

  // Takes the next bytes; returns those that belong to the body now.
  std::string push(std::string_view bytes);
  // The text ends: what of the held bytes belongs to the body after all.
  std::string finish();
  // The text is cut: all of the held bytes belong to the body.
  std::string take_held();
  [[nodiscard]] bool ended() const { return ended_; }
  // Whether bytes are held back.
  [[nodiscard]] bool holds() const { return !held_.empty(); }
  // These bytes; where the item has ended, all behind its body.
  [[nodiscard]] const std::string& held() const { return held_; }
  // Bytes of the body so far.
  [[nodiscard]] std::size_t size() const { return n_body_; }

  // What in the body says that items build on each other: code, a table, a calculation; empty: nothing.
  [[nodiscard]] const std::string& builds_on() const { return builds_on_; }

 private:
  enum class Line { kBody, kEnd, kUnclear };
  [[nodiscard]] Line judge(std::string_view line, bool whole, bool after_blank) const;
  [[nodiscard]] Line judge_mark(std::string_view text, bool whole) const;
  [[nodiscard]] std::size_t find_mark_within(std::string_view text, bool& whole) const;
  void take(std::string_view text, std::string& body);

  ListStyle style_;
  int number_;
  const ListRules* rules_;
  std::string held_;
  std::string line_;  // of the body, as far as it is released
  std::string builds_on_;
  std::size_t n_body_ = 0;
  Fence code_;
  bool ended_ = false;
};

// Follows what is written behind a first item whose body was left out: the items' leads, then what comes
// behind the list.
class OutlineReader {
 public:
  enum class State { kMark, kLead, kClosed, kRepeated, kTail };
  // What follows the last item that counts.
  enum class End { kNone, kText, kGoesOn };

  // rules: outlive this. scripts: writing systems that a lead may use besides Latin. separator: what parts
  // two items of the text; it stands behind the first item.
  OutlineReader(ListStyle style, std::string lead, std::uint32_t scripts, std::string separator,
                const ListRules* rules);

  // May these bytes come next? Asked of what is about to be chosen.
  [[nodiscard]] bool allows(std::string_view piece) const;
  // Takes the next bytes. After a lead has closed (state kClosed) comes next_item().
  void push(std::string_view bytes);
  // What is to be written so that the closer of the lead that has just closed is whole.
  [[nodiscard]] const std::string& rest_of_closer() const { return rest_of_closer_; }
  // What stands for a body that is left out behind the closer. spaced: a space stands there already.
  [[nodiscard]] std::string left_out(bool spaced) const;
  // Whether it matters how likely the next token is: those of marks and leads are weighed.
  [[nodiscard]] bool weighs() const { return state_ == State::kMark || state_ == State::kLead; }
  // The lead that has closed repeats another one (state kRepeated): it is written anew.
  void begin_lead_again();
  // The item that has begun does not count: the list is over.
  void end_list();
  // The list is over; what is written from now on stands behind it.
  void stop(End end);
  // The closed lead counts: its body and the separator are left out behind it, and the next mark may follow.
  void next_item();
  // What is most likely written now: the mark of the next item; empty elsewhere.
  [[nodiscard]] std::string likely_next() const;

  [[nodiscard]] bool is_full() const { return leads_.size() >= static_cast<std::size_t>(rules_->max_items); }
  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] End end() const { return end_; }
  [[nodiscard]] const std::vector<std::string>& leads() const { return leads_; }  // the first item's included
  [[nodiscard]] const std::string& separator() const { return separator_; }
  // What parts the last item that counts from what follows it: as two items of the outline where the list has
  // ended there, else as two of the text.
  [[nodiscard]] const std::string& separator_behind() const;
  [[nodiscard]] const std::string& tail() const { return tail_; }

 private:
  void read_lead();

  ListStyle style_;
  const ListRules* rules_;
  std::uint32_t scripts_;
  bool lead_may_number_;
  State state_ = State::kMark;
  End end_ = End::kNone;
  std::vector<std::string> leads_;
  std::string separator_;
  std::string text_;  // of the item that is being written
  std::string rest_of_closer_;
  std::string tail_;
};

// Writing systems of a text, one bit each; what belongs to none, such as digits, has no bit.
[[nodiscard]] std::uint32_t scripts_of(std::string_view text);

// Of these, those that at least a third of a text's letters belong to; Han with kana.
[[nodiscard]] std::uint32_t main_scripts_of(std::string_view text);

// Whether a text says each of these leads, whatever their case.
[[nodiscard]] bool says_all(std::string_view text, const std::vector<std::string>& leads);

// Whether a text that stands behind a list's items looks like another part of it: a list, a heading, code.
[[nodiscard]] bool opens_a_part(std::string_view text, const ListRules& rules);

}  // namespace aspd
