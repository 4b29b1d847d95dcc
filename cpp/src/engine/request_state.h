// A request that is being answered: its lanes, its text so far, its times. Data and what follows from data
// alone; the engine moves it on.
#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "aspd/engine.h"
#include "aspd/kv_cache.h"
#include "aspd/lists.h"
#include "aspd/parser.h"
#include "drafts.h"
#include "lane_text.h"
#include "stop_search.h"

namespace aspd {

using Clock = std::chrono::steady_clock;

[[nodiscard]] inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// One serial stretch of decoding: the trunk or a branch.
struct Lane {
  enum class Stage { kWaiting, kRunning, kClosing, kDone };
  enum class Kind : char { kText, kMarkup, kFed };

  std::int32_t block = 0;
  std::int32_t branch = 0;
  std::int32_t layout_block = 0;  // `block` as layouts count it: those of the prompt come first
  Stage stage = Stage::kRunning;
  Sequence sequence;
  Pos next = 0;                         // position of the next token to be decoded
  std::vector<Token> pending;           // to be decoded, in order
  bool wants_token = false;             // sample when pending is done
  Layout record;                        // what this lane itself has put into the cells
  std::vector<Kind> kinds;              // of the tokens sampled or fed in an answer, rewound ones taken off
  std::vector<Likelihood> likelihoods;  // of the tokens in `kinds`, as far as they were asked for
  std::size_t n_told = 0;               // of them that have left with events
  std::vector<Token> tail;              // of a branch: tokens that belong to it but were never decoded
  std::vector<Token> script;            // tokens to take in place of the sampled ones
  std::size_t script_at = 0;

  std::unique_ptr<Sampler> sampler;
  std::unique_ptr<Parser> parser;
  std::unique_ptr<LaneText> text;
  std::size_t segment = 0;  // of RequestState::segments
  std::size_t offset = 0;   // code points of this lane's text in events so far
  Pos ban_position = -1;
  std::vector<Token> bans;  // not to be chosen at ban_position
  bool ended = false;       // of a branch: nothing more is written
  bool end_sent = false;
  bool unchecked = false;  // a draft that the trunk has not read: no event tells of it
  FinishReason reason = FinishReason::kStop;
  std::unique_ptr<ItemReader> item;  // of an item of the model's own list, from its lead's end on
  bool ended_answer = false;         // the model ended the answer with such an item
  bool outlines = false;             // it writes an outline
  std::size_t n_seed_bytes = 0;      // of such a branch: its mark, lead and closer

  // Books that the first n pending tokens are in the cells now.
  void decoded(std::size_t n);
  // The same, of cells that the sequence has booked before.
  void commit(std::size_t n);
  // Takes back the last n tokens of the answer, of which `undecoded` are not in the cells; the token before
  // them will be decoded again for its logits. False where the memory cannot.
  [[nodiscard]] bool rewind(std::size_t n, std::size_t undecoded, Token ban);
  // Its sequence goes; what it had decoded will be decoded again, from the fork on.
  void begin_again(Pos fork_position);
  // A branch's tokens, decoded or not.
  [[nodiscard]] std::vector<Token> token_ids() const;
};

// Of the tokens of an answer those that were sampled as text.
[[nodiscard]] inline std::size_t n_text(const std::vector<Lane::Kind>& kinds) {
  return static_cast<std::size_t>(std::count(kinds.begin(), kinds.end(), Lane::Kind::kText));
}

// Tells the random numbers of an answer's lanes apart. lane: number of a branch, or one above all of them.
[[nodiscard]] inline std::uint64_t stream_of(std::int32_t block, std::int32_t lane) {
  return (static_cast<std::uint64_t>(block) << 32U) | static_cast<std::uint64_t>(lane);
}

// A stretch of the answer's text in reading order.
struct Segment {
  std::int32_t block = 0;  // 0: trunk
  std::int32_t branch = 0;
  std::string text;
  std::size_t n_heading = 0;  // bytes before the body
  std::size_t n_sent = 0;     // bytes that have left as events
};

// A list of the model's own whose other leads are written beside the body of its first item.
struct Outline {
  // An item whose lead has closed: the tokens of its mark, lead and closer.
  struct Item {
    std::vector<Token> token_ids;
    std::vector<Lane::Kind> kinds;
    std::vector<Likelihood> likelihoods;  // where asked for
    std::string heading;                  // the same as bytes
  };

  Outline(ListStyle list_style, OutlineReader outline_reader)
      : style(std::move(list_style)), reader(std::move(outline_reader)) {}

  ListStyle style;
  OutlineReader reader;

  Lane lane;
  std::size_t first = 0;         // index in the trunk's record of the first token that may become a branch's
  std::size_t first_kind = 0;    // and in its kinds
  Pos begin = 0;                 // position of that token
  std::size_t n_seed_bytes = 0;  // of the item that begins with it: its mark, lead and closer
  std::vector<Item> items;       // from the second on
  std::size_t n_serial = 0;      // items that were over before the others were known: text of the trunk
  Item open;                     // the one that is being written
  Item tail;                     // what stands behind the list; without a heading
  Sequence last;                 // of the last branch, when it is over; empty: its cells were needed
  std::vector<Token> separator;  // between two leads
  std::vector<Token> between;    // what stands between two leads: the left out body, the separator
  std::vector<Token> likely;     // the next mark, to be decoded on the chance that it follows

  std::size_t n_sampled = 0;
  std::size_t n_text = 0;    // of them that have become text of the answer
  std::size_t offset = 0;    // of the block in the trunk's text, in code points
  Pos behind_separator = 0;  // position of the second item's mark in the outline's lane
  double goes_on = 0;      // natural logarithm of the probability that no list of min_items has ended so far
  int n_retried = 0;       // leads that were begun anew
  bool exhausted = false;  // the list was ended against its will: it would repeat itself, or is long
  bool order_asked = false;  // whether the items could stand in another order
  bool over = false;         // it writes no more
  bool ends_answer = false;  // the answer ends with its tail

  [[nodiscard]] std::size_t n_items() const { return items.size() + 1; }
  // Of them, those that may have a branch.
  [[nodiscard]] std::size_t n_left() const { return n_items() - n_serial; }
  // Of the item that a branch writes, from 1.
  [[nodiscard]] int number_of(std::int32_t branch) const { return static_cast<int>(n_serial) + branch; }
};

// What stands behind a list that the trunk has read but for its last token.
struct ListEnd {
  struct Way {
    std::string separator;  // what the answer goes on with; empty: it ends
    // The token before the list's last, its last, the separator; where the memory cannot step back: its last,
    // the separator.
    std::vector<Token> token_ids;
  };
  std::vector<Way> ways;  // the end first, then what the list's own items would be parted by
  ListStyle style;
  Token mark = -1;            // what must not follow; -1: anything may
  bool is_first_read = true;  // the trunk has read the ways' first token
};

// A sequence that has left the cells.
struct SwappedState {
  std::vector<std::uint8_t> state;
  std::vector<Pos> positions;  // of its cells
  [[nodiscard]] explicit operator bool() const { return !state.empty(); }
};

struct RequestState {
  enum class Phase { kQueued, kPrompt, kPromptBlock, kTrunk, kBlock, kCheck, kJoin };

  RequestId id = 0;
  Request request;
  Phase phase = Phase::kQueued;
  Lane trunk;
  std::vector<Lane> branches;          // of the block that is open
  std::vector<std::string> titles;     // of the block that is open or about to be
  std::vector<AskedPart> asked;        // the same, where they are those that the question lists
  bool forking = false;                // the plan is complete, its last token is on its way into the cells
  bool finished = false;               // its result is told; it leaves at the end of the step
  bool looped = false;                 // the answer ends because it repeats itself
  bool stopping = false;               // a branch met a stop string: end after this block
  bool from_serial_prompt = false;     // the request's serial prompt has become its prompt
  bool set_aside = false;              // it had to make room, and is in the queue again or was
  SwappedState swapped;                // of the trunk, while it is set aside amid its answer
  std::unique_ptr<ListFinder> finder;  // where the model's own lists are taken apart
  std::optional<ListFinder::Found> found;  // a list that has begun in this step
  std::unique_ptr<Outline> outline;        // of the list that the trunk, or the block, is in
  std::unique_ptr<Drafts> drafts;          // kCheck: items of a list that the trunk reads
  std::unique_ptr<Outline> checked;        // of that list
  Guesses guesses;                         // what it has left of such items
  std::optional<ListEnd> list_end;         // to be decided when the trunk has read the list
  // Lanes that nobody needs any more. Their cells stay as long as there is room: the trunk's next ones then
  // come behind those that it has, and are attended to in the order in which a serial answer has them.
  std::vector<Sequence> parked;
  std::vector<Segment> segments;
  std::vector<BlockResult> blocks;
  std::string fallback;
  std::unique_ptr<StopSearch> stop_search;  // where there are stop strings
  bool stop_settled = false;                // what follows from one that was met has been done
  std::size_t n_sampled = 0;                // rewound ones taken off
  std::size_t n_drafted = 0;                // sampled for an outline and drafts that are to be checked
  std::size_t n_branches = 0;               // of all blocks so far
  Timings timings;
  Clock::time_point submitted;

  [[nodiscard]] const Protocol* protocol() const { return request.protocol ? &*request.protocol : nullptr; }
  // Whether the open block is a list of the model's own.
  [[nodiscard]] bool in_list() const { return phase == Phase::kBlock && outline != nullptr; }
  // Whether items of lists are drafts.
  [[nodiscard]] bool checks() const { return finder != nullptr && request.draft_check != DraftCheck::kNone; }
  [[nodiscard]] bool is_exact() const { return checks() && request.draft_check == DraftCheck::kExact; }
  [[nodiscard]] bool in_block() const { return phase == Phase::kPromptBlock || phase == Phase::kBlock; }
  [[nodiscard]] bool stop_met() const { return stop_search && stop_search->met(); }
  // A stop string was met: takes what stands behind it out of the answer.
  void cut_at_stop();
  // Takes blocks that nobody was told of out of the answer.
  void drop_untold_blocks();
  // Whether the lane's next token says if there is a plan, by Request::plan_threshold.
  [[nodiscard]] bool decides_on_plan(const Lane& lane) const {
    const bool open = request.plan_threshold > 0 && !request.plan_always && protocol() != nullptr;
    return open && lane.block == 0 && n_sampled == 0;
  }
  // An event of this answer. block, branch: 0 where it is of the trunk, or of the whole.
  [[nodiscard]] Event event(EventKind kind, std::int32_t block = 0, std::int32_t branch = 0) const {
    Event event;
    event.kind = kind;
    event.request = id;
    event.block = block;
    event.branch = branch;
    return event;
  }
  // Adds the seconds of a step to the phase that it belonged to.
  void add_time(double seconds);
  // The result as of now; the lanes' held text must be out.
  [[nodiscard]] Result result(FinishReason reason, double one_lane_s) const;

 private:
  [[nodiscard]] Layout answer_layout() const;
};

}  // namespace aspd
