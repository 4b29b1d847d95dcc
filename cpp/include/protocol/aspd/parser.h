// The protocol state machine over generated tokens: decides what a token means, computes nothing. Does not
// include llama.h; testable without a model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "aspd/protocol.h"

namespace aspd {

// What the engine shall do after a token.
enum class Action {
  kNone,
  kFork,       // the plan is complete: decode this token, then fork
  kBranchEnd,  // the branch has closed itself
  kRewind,     // take back the last n_rewind tokens and do not choose `ban` in the first one's place
};

struct Outcome {
  Action action = Action::kNone;
  std::string text;                 // bytes released to the reader
  std::size_t n_rewind = 0;         // kRewind: tokens, this one included
  Token ban = -1;                   // kRewind
  std::string fallback;             // kRewind out of a plan: why it is decoded serially
  std::vector<std::string> titles;  // kFork
  std::size_t n_markup = 0;         // kFork: tokens of the plan; kBranchEnd: of the closing marker
};

// Follows one lane. A serial lane (no protocol) releases every byte at once.
class Parser {
 public:
  enum class State { kTrunk, kPlan, kBranch };

  // protocol: outlives the parser, may be null. max_branches: of one plan.
  Parser(const Protocol* protocol, State state, int max_branches);

  // Takes the next token of the lane, sampled or fed as part of an opened plan. piece: its bytes, "" for
  // CONTROL.
  Outcome accept(Token token, std::string_view piece);
  // The lane ends here: what was held back is text after all, but for more than half of the marker that ends
  // a branch.
  std::string flush();
  // The plan that begins next is asked for, not the model's own idea: a title that has as many words as it
  // may have ends there, instead of making the plan serial.
  void ask_for_plan() { asked_ = true; }
  // May this token come next while a plan is written? Always true outside of one. piece: "" for CONTROL.
  // Asked for what the model would choose: a new word that a full title has no room for ends the title, and
  // so does, for CONTROL markers, the end of a title that was said before.
  [[nodiscard]] bool allows(Token token, std::string_view piece);
  // True where allows() has something to forbid.
  [[nodiscard]] bool restricts() const;
  // CONTROL ids that must not be sampled now.
  [[nodiscard]] const std::vector<Token>& banned() const { return banned_; }

  // Nothing may be chosen in the plan. CONTROL markers: take back the title that is written, so that the plan
  // ends before it, if it has enough others. Text markers: take the title back so that another one is begun,
  // if the plan was asked for. The whole plan else, and where a few titles have led nowhere. n_rewind counts
  // tokens accepted.
  Outcome no_way_on(const std::string& reason);
  // Take the plan back. n_rewind counts tokens accepted since it began.
  Outcome give_up_plan(const std::string& reason);
  // After a join the trunk goes on; n_blocks: blocks in the answer so far.
  void after_join(int n_blocks);

  [[nodiscard]] State state() const { return state_; }
  // What most likely comes next, where that can be told, empty elsewhere. Text markers: the rest of one that
  // has begun, of a plan with which an answer begins, of a plan's end or a branch's. CONTROL markers: what
  // stands between the words of two titles, as the one before was set off.
  [[nodiscard]] std::vector<SeedPart> likely_next() const;
  // A plan is open, and nothing of it is written but its opening.
  [[nodiscard]] bool plan_is_empty() const;
  // Text markers: the plan that was closed last ends with a newline, written with its closing marker.
  [[nodiscard]] bool plan_ends_line() const { return !plan_text_.empty() && plan_text_.back() == '\n'; }
  // CONTROL markers: between the opening and the closing marker of a title.
  [[nodiscard]] bool in_item() const { return in_item_; }
  // Text markers: the first title begins on a new line, which is still to come.
  [[nodiscard]] bool needs_newline() const { return protocol_->text_markers && plan_text_.empty(); }
  // Tokens at the end of the lane that may be markup, and are not text yet.
  [[nodiscard]] std::size_t n_held() const { return state_ == State::kPlan ? plan_.size() : held_.size(); }

 private:
  struct Held {  // a token whose bytes are not released yet
    Token token;
    std::size_t n_bytes;
  };

  Outcome accept_control(Token token, std::string_view piece);
  [[nodiscard]] bool allows_control(Token token, std::string_view piece);
  [[nodiscard]] std::string likely_marker() const;
  [[nodiscard]] std::vector<SeedPart> likely_frame() const;
  Outcome accept_text(Token token, std::string_view piece);
  Outcome accept_plan_text(Token token, std::string_view piece);
  Outcome check_plan_text();
  Outcome step_back();
  Outcome close_plan();
  Outcome malformed(const std::string& reason);
  std::string release(std::size_t n_tokens);
  void enter(State state);

  const Protocol* protocol_;
  State state_;
  int max_branches_;
  bool plans_allowed_ = true;
  bool first_after_join_ = false;
  bool asked_ = false;
  bool title_full_ = false;  // the title that is written takes no more words (text markers: if asked_)
  bool title_said_ = false;  // CONTROL markers: it ends as one that was said before
  std::vector<Token> banned_;

  std::vector<Held> held_;  // text markers: tokens that may be the start of one
  std::string held_text_;
  std::string shown_tail_;   // text markers: the end of what was released
  std::vector<Token> plan_;  // tokens since the plan began, its opening marker included
  std::string plan_lead_;    // text markers: bytes before the opening marker in its own first token
  std::string plan_text_;    // text markers: bytes of the plan after its opening marker
  std::vector<std::size_t> plan_ends_;  // text markers: size of plan_text_ after each token of plan_
  int retried_ = 0;                     // titles that were taken back
  bool in_item_ = false;                // CONTROL markers: between item_open and item_close
  std::size_t item_begins_ = 0;         // CONTROL markers: index of its opening marker in plan_
  std::string item_;
  std::vector<std::string> items_;
};

// A plan in text form so far. Throws nothing; says whether it can still become valid.
struct PlanText {
  std::vector<std::string> titles;  // of complete lines
  bool valid = true;                // a prefix of a plan that follows the rules
  bool too_long = false;            // a line is longer than a title may be: prose, no plan
  bool closed = false;              // the closing marker is complete
};
[[nodiscard]] PlanText read_plan(std::string_view text, const Protocol& protocol);

// Words one space apart and no control characters: white space must not be a way around the other rules.
[[nodiscard]] bool is_tidy(std::string_view line);

// Whether a title is longer than the rules allow.
[[nodiscard]] bool is_too_long(std::string_view title, const PlanRules& rules);

// Whether there is nothing in a title yet but what sets titles off: list marks, emphasis, a colon.
[[nodiscard]] bool says_nothing(std::string_view title);

// What follows a title's words: "**:" of "1. **Cost**:".
[[nodiscard]] std::string_view end_of_title(std::string_view title);

// How a title most likely begins behind this one, up to its first word: "2. **" behind "1. **Cost**:".
[[nodiscard]] std::string start_behind(std::string_view title);

// Whether a title says what one before it says: list marks, emphasis, a colon and letter case do not count.
[[nodiscard]] bool repeats_title(std::string_view title, const std::vector<std::string>& before);

// Why a title cannot stand behind those before it; empty if it can.
[[nodiscard]] std::string title_fault(const std::string& title, const std::vector<std::string>& before,
                                      const PlanRules& rules);

// Why these titles cannot be forked; empty if they can.
[[nodiscard]] std::string plan_fault(const std::vector<std::string>& titles, const PlanRules& rules,
                                     int max_branches);

}  // namespace aspd
