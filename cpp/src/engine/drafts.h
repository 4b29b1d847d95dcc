// Items of a list that were written before those in front of them were known, and what becomes of them. Data
// and what follows from data alone; the engine reads them into the trunk.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "aspd/kv_cache.h"
#include "lane_text.h"

namespace aspd {

// The drafts of a list's second and later items while the trunk reads them: tokens that it has taken over so
// far, and those that are still to be checked. Text is counted in bytes from the end of the first body on.
struct Drafts {
  std::vector<Token> token_ids;  // behind what the trunk has of the first item
  std::vector<bool> fed;      // [n_tokens], of those that no branch has sampled: separators, ends of closers
  std::string rest;           // text of the first body that is in the first of these tokens
  std::size_t at = 0;         // of them: the next to be checked
  std::size_t n_sampled = 0;  // of those before it, the ones that count as sampled
  std::vector<std::ptrdiff_t> ends;         // [n_branches], where each one's part of the text ends
  std::vector<std::ptrdiff_t> lead_begins;  // [n_branches], of their leads; of the first nothing
  std::vector<std::ptrdiff_t> lead_ends;
  bool whole = true;  // all items are there to their ends

  std::ptrdiff_t n_read = 0;   // bytes before the next token
  std::ptrdiff_t n_shown = 0;  // bytes that have left `text`
  std::size_t owner = 0;       // index of the branch that the last token belongs to
  std::size_t owner_at = 0;    // index of its first token, and the bytes before that
  std::ptrdiff_t owner_begin = 0;
  std::size_t shown = 0;           // index of the branch whose text leaves now
  std::string held;                // text of tokens that have been taken over, but not shown yet
  std::unique_ptr<LaneText> text;  // of the whole list

  std::size_t n_judged = 1;  // branches whose lead was found plausible, or that have none
  double lead_sum = 0;       // log probabilities of the open lead's tokens
  std::size_t n_lead = 0;
  std::deque<double> window;  // log probabilities of the last tokens of the item

  [[nodiscard]] bool all_kept() const { return at == token_ids.size(); }
  // The next token spells the end of the first body anew: there is nothing to be checked.
  [[nodiscard]] bool respells() const { return n_read < 0; }
  // The next token is taken over: whose it is, and what of its text is new.
  void take(const std::string& piece);
  // Counts the log probability of the token that has been taken last, n_bytes long.
  void weigh(double logprob, std::size_t n_bytes, std::size_t n_window);
  // Whether the next token may stand: the mean of the last n_window tokens of its item, those before it taken
  // as certain, is at least `least`.
  [[nodiscard]] bool plausible(double logprob, float least, std::size_t n_window) const;
  // Whether text of an item has been read whose lead is not judged yet.
  [[nodiscard]] bool awaits_lead() const { return n_judged < ends.size() && n_read > ends[n_judged - 1]; }
  [[nodiscard]] bool lead_is_read() const { return n_judged < ends.size() && n_read >= lead_ends[n_judged]; }
  // Tokens of the item that was begun last.
  [[nodiscard]] std::size_t n_of_item() const { return at - owner_at; }
};

// Tokens that are likely to come again: drafts that the trunk has left. Found by the last two tokens.
struct Guesses {
  std::vector<Token> token_ids;
  std::size_t next = 0;   // index of the one that may come now; the number of them: none
  std::size_t n_run = 0;  // how many have come true in a row
  std::size_t seen = 0;   // where the trunk was found last
  Token last = -1;

  // The answer goes on with this token.
  void follow(Token token);
};

}  // namespace aspd
