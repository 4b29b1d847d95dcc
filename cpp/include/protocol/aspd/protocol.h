// A protocol is data: the markers and rules by which a model announces, opens and closes branches (DESIGN,
// section 5). Filled from a JSON file by aspd_local.protocol; knows neither models nor llama.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "aspd/layout.h"

namespace aspd {

// One marker. Either a CONTROL token (id >= 0) or plain text that the model writes (id == -1).
struct Marker {
  std::string text;
  Token id = -1;
};

// A template of token ids with places for a title and a number, for seeds: the parts are joined in order.
struct SeedPart {
  enum class Kind { kText, kMarker, kTitle, kNumber };
  Kind kind = Kind::kText;
  std::string text;  // of kText
  Marker marker;     // of kMarker
};

// What a plan's item may look like. Held while it is written where markers are text, checked at its end
// always.
struct PlanRules {
  int min_items = 2;              // fewer: serial
  int max_items = 8;              // more: serial
  int max_words = 10;             // of one title
  int max_bytes = 160;            // of one title
  bool forbid_list_marks = true;  // a title may not begin with -, *, +, #, >, |, a bullet, a digit
};

// What counts as a list whose items may be decoded in parallel, where a protocol takes a model's own lists
// apart. Data: the engine has no marks of its own.
struct ListRules {
  std::vector<std::string> bullets;      // marks of items without a number: "-", "*"
  std::vector<std::string> number_ends;  // what may follow an item's number: ".", ")"
  std::vector<std::string> emphasis;     // what may set a lead off: "**"
  std::vector<std::string> lead_ends;    // what may part a lead from its body on the same line: ":", " -"
  std::string elision;                   // stands for a body in an outline
  std::string separator = "\n\n";        // parts two items there
  int min_items = 3;                     // fewer: serial
  int max_items = 10;                    // no outline goes on behind them
  int max_words = 12;                    // of one lead
  int max_bytes = 96;                    // of one lead
  int ready_items = 4;                   // leads that are known, the first one's too, when a list is judged
                                         // and forked; all of them where there are fewer
  // Probability of an item's mark, from the third item on; behind min_items, of all marks there up to this
  // one.
  float min_mark = 0.8F;
  float min_first_mark = 0.15F;  // of that of the second, behind an elision that the model did not choose
  float max_order = 2.0F;  // natural logarithm of how much likelier a lead is on average where those from the
                           // second on stand in their own order, not from the last to the second; above: the
                           // items build on each other
  int max_tail = 80;       // tokens of an end of the answer that an outline may write
  // Mean natural logarithm of the probabilities of such an end's tokens behind the last item as it was
  // written, from the second token on; below: the trunk writes the end.
  float least_end = -1.75F;
  // Request::draft_check; natural logarithms of probabilities, means over tokens.
  float least_lead = -2.0F;    // of an item's lead
  float least_window = -3.0F;  // of the last tokens of an item
  int window = 8;              // that many of them
};

struct Protocol {
  std::string name;
  std::optional<ListRules>
      lists;  // takes the model's own lists apart; of the rest only name, limits and tokens count
  bool text_markers = false;  // true: markers are text in generated tokens, not CONTROL tokens

  Marker plan_open;   // opens the plan; empty text: the first item_open does
  Marker item_open;   // empty text: an item begins where the last ended
  Marker item_close;  // for text markers usually a newline
  Marker plan_close;  // the fork trigger
  PlanRules plan;

  std::vector<SeedPart> branch_seed;  // fed to each branch, tokenised apart from the body
  Marker branch_close;                // an eog token in a branch counts as this

  std::vector<SeedPart> join_seed;  // fed to the trunk after the join
  JoinRule join_rule = JoinRule::kLongest;
  bool ends_with_block = false;  // the answer ends with its first block: nothing is joined

  // Markers that must not be sampled, by state. For text markers: text that makes the lane step back.
  std::vector<Marker> banned_in_trunk;
  std::vector<Marker> banned_in_plan;
  std::vector<Marker> banned_in_branch;
  std::vector<Marker> banned_after_join;  // for the first token after a join only

  int max_blocks = 16;      // in one answer; afterwards plan_open is banned
  int branch_tokens = 40;   // of a typical branch's body: what a plan's gain is predicted with
  std::string text_before;  // of a branch, in the answer's text; {title} and {n} are replaced
  std::string text_after;
  std::string text_join;           // between the last branch and the trunk, if the trunk goes on
  bool strip_body = false;         // take white space off both ends of a branch's body in the text
  std::vector<Token> control_ids;  // all marker ids, never sampled outside their states

  // Whether the text of branches is decoded once more, after the join. Of a list it is only where the answer
  // goes on.
  [[nodiscard]] bool decodes_again() const {
    return !lists && join_rule == JoinRule::kLinear && !ends_with_block;
  }
};

// The replacement of {title} and {n} in a text template.
[[nodiscard]] std::string fill(const std::string& pattern, const std::string& title, int number);

}  // namespace aspd
