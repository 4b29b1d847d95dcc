// The protocol `intrinsic`: a list that the model itself begins is taken apart. Beside the body of its first
// item an outline lane writes the leads of the others; a branch per lead writes its body; what has been
// written becomes ordinary text of the trunk. conduct() decides after every step, when no lane of it is in
// use any more.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "engine_impl.h"
#include "repetition.h"
#include "utf8.h"

namespace aspd {

namespace {

// Measured on 71 blocks of docs/reports/intrinsic.
constexpr double kLongestBody = 1.3;  // of the average one
constexpr double kLeadTokens = 8;     // of a mark, lead and closer

// Speed-up of a list from which on it is taken apart. A prediction may err by as much as it says here.
constexpr double kLeastListGain = 1.2;

constexpr std::size_t kOutlineCells = 96;  // cells that an outline should find
constexpr double kSpareBudget = 1.25;      // of max_tokens: what the items are predicted to take, times this

constexpr int kMostRetries = 2;             // leads of one outline that are begun anew
constexpr std::size_t kLongestPeriod = 64;  // tokens of a loop that is noticed
constexpr std::size_t kMostRounds = 3;      // of a loop
constexpr std::size_t kLeastRound = 16;     // tokens that loop
constexpr double kLearn = 0.1;              // weight of one body in the usual length
constexpr const char* kNoGain = "no gain is predicted for it";
constexpr const char* kNoRoom = "cells or lanes for it were missing";
constexpr const char* kTooEarly = "its first items ended before the others were known";
// Random numbers of an outline, and of the trunk behind a list.
constexpr std::int32_t kOutlineStream = 0x7FFFFFFF;
constexpr std::int32_t kTrunkStream = 0x7FFFFFFE;

// Whether enough leads are known to judge the list and to fork it, or all that there are.
std::size_t n_ready(const ListRules& limits) {
  return static_cast<std::size_t>(std::max(limits.ready_items, limits.min_items));
}
bool is_ready(const Outline& outline, const ListRules& limits) {
  return outline.n_left() >= n_ready(limits) || outline.over ||
         outline.reader.state() == OutlineReader::State::kTail;
}

}  // namespace

// --- the trunk --------------------------------------------------------------------------------------------

// What the trunk, or the first branch in its place, has written: does a list begin, does its first item end?
void Engine::Impl::follow(RequestState& live, Lane& lane, std::string_view piece) {
  if (!live.finder || lane.branch > 1) return;
  std::optional<ListFinder::Found> found = live.finder->push(piece);
  if (lane.block > 0) return;
  if (lane.item) (void)lane.item->push(piece);
  if (found && !live.outline) live.found = std::move(found);
}

std::size_t Engine::Impl::tokens_left(const RequestState& live) const {
  if (live.request.max_tokens < 0) return SIZE_MAX;
  const auto most = static_cast<std::size_t>(live.request.max_tokens);
  return most - std::min(most, live.n_sampled);
}

// Tokens of an item's body, as they were in the answers so far.
double Engine::Impl::usual_body(const RequestState& live) const {
  return usual_body_ > 0 ? usual_body_ : live.protocol()->branch_tokens;
}

// Whether a list of n items is predicted to be worth a fork. n_written: tokens of the first. read_again: the
// items are to be read behind the block, since the outline does not say how the answer ends.
bool Engine::Impl::pays(const RequestState& live, std::size_t n_items, std::size_t n_written,
                        bool read_again) const {
  if (curve_.empty()) return true;
  BlockForecast block = forecast(*live.protocol(), static_cast<std::int32_t>(n_items));
  block.body_tokens = usual_body(live);
  block.longest = kLongestBody;
  block.decoded_again = read_again;
  // Each lead is decoded beside the first body, fed to its branch, and read to judge the order.
  block.seed_tokens = 3 * kLeadTokens;
  const double all = static_cast<double>(n_items) * block.body_tokens;
  const double left = std::max(0.0, 1 - static_cast<double>(n_written) / all);  // that a fork can still gain
  return left * predicted_gain(curve_, block) >= kLeastListGain;
}

// What parts the items of a list that begins with the token of the trunk's record with this index: the
// newlines that part it from the text before it, two at most; where the answer begins there, what an outline
// has.
std::string Engine::Impl::separator_of(const RequestState& live, std::size_t index) const {
  std::string text;
  while (index > live.request.prompt.size() && text.size() < 2 &&
         text.find_first_not_of('\n') == std::string::npos)
    text = model_->piece(live.trunk.record.token_ids[--index]) + text;
  const std::size_t last = text.find_last_not_of('\n');
  const std::size_t n = text.size() - (last == std::string::npos ? 0 : last + 1);
  const std::string& separator = live.protocol()->lists->separator;
  return n > 0 ? std::string(std::min(n, separator.size()), '\n') : separator;
}

// How many of the trunk's last tokens, with the one that has just been chosen, spell the last bytes of the
// answer; 0: one of them begins before these, or more than one is pending.
std::size_t Engine::Impl::n_last_tokens(const RequestState& live, std::size_t n_bytes) const {
  const Lane& trunk = live.trunk;
  if (trunk.pending.size() != 1) return 0;
  const std::size_t n_answer =
      trunk.record.size() - std::min(trunk.record.size(), live.request.prompt.size());
  std::size_t n_tokens = 0;
  std::size_t n_spelled = 0;
  while (n_spelled < n_bytes && n_tokens <= n_answer && n_tokens < trunk.kinds.size()) {
    const Token token =
        n_tokens == 0 ? trunk.pending.front() : trunk.record.token_ids[trunk.record.size() - n_tokens];
    n_spelled += model_->piece(token).size();
    ++n_tokens;
  }
  return n_spelled == n_bytes ? n_tokens : 0;
}

// The trunk is in an item whose body has just begun: the first that may become a branch. n_tokens: from its
// mark on (n_last_tokens). n_seed_bytes: its mark, lead and closer. over: what there is of its body. False:
// tokens do not part there.
bool Engine::Impl::begin_item(RequestState& live, Outline& outline, std::size_t n_tokens,
                              std::size_t n_seed_bytes, std::string_view over) {
  Lane& trunk = live.trunk;
  // The body begins with the token that has just been chosen: an outline stands before it.
  if (n_tokens == 0 || model_->piece(trunk.pending.front()).size() > over.size()) return false;
  outline.first = trunk.record.size() + 1 - n_tokens;
  outline.first_kind = trunk.kinds.size() - n_tokens;
  outline.begin = n_tokens == 1 ? trunk.next : trunk.record.positions[outline.first];
  outline.n_seed_bytes = n_seed_bytes;
  trunk.item = std::make_unique<ItemReader>(outline.style, outline.number_of(1), &*live.protocol()->lists);
  (void)trunk.item->push(over);
  return true;
}

// An item is over before the others are known: it stays text of the trunk, and the next one may become the
// first branch, if the trunk begins it as the outline has it. False: it does not.
bool Engine::Impl::pass_item(RequestState& live) {
  Outline& outline = *live.outline;
  if (outline.n_serial == outline.items.size()) return !outline.over;  // that lead is not known yet
  const std::string& heading = outline.items[outline.n_serial].heading;
  const std::string_view behind = live.trunk.item->held();
  const std::string_view said = behind.substr(std::min(behind.find_first_not_of('\n'), behind.size()));
  if (said.size() <= heading.size()) return heading.compare(0, said.size(), said) == 0;
  if (said.substr(0, heading.size()) != heading) return false;
  ++outline.n_serial;
  return begin_item(live, outline, n_last_tokens(live, said.size()), heading.size(),
                    said.substr(heading.size()));
}

void Engine::Impl::begin_outline(RequestState& live) {
  const ListFinder::Found found = std::move(*live.found);
  live.found.reset();
  Lane& trunk = live.trunk;
  trunk.item.reset();
  const Protocol& protocol = *live.protocol();
  if (trunk.pending.size() != 1) return;
  if (live.request.max_branches < 2) {
    live.fallback = "a block may not have two branches";
    return;
  }
  if (static_cast<int>(live.blocks.size()) >= protocol.max_blocks) {
    live.fallback = "the answer has as many blocks as it may have";
    return;
  }
  if (!pays(live, n_ready(*protocol.lists), 0, false)) {
    live.fallback = kNoGain;
    return;
  }
  if (!has_spare(kOutlineCells) || count_running() >= static_cast<std::size_t>(options_.n_lanes)) {
    live.fallback = kNoRoom;
    return;
  }

  const std::size_t n_tokens = n_last_tokens(live, found.n_bytes);
  if (n_tokens == 0) return;
  const std::string separator = separator_of(live, trunk.record.size() + 1 - n_tokens);
  auto begun = std::make_unique<Outline>(
      found.style,
      OutlineReader(found.style, found.lead, live.finder->scripts(), separator, &*protocol.lists));
  if (!begin_item(live, *begun, n_tokens, found.n_bytes - found.over.size(), found.over)) return;
  live.outline = std::move(begun);
  Outline& outline = *live.outline;

  Lane& lane = outline.lane;
  lane.sequence = trunk.sequence.fork();
  lane.next = trunk.next;
  const bool spaced = found.over.size() > model_->piece(trunk.pending.front()).size();
  lane.pending = model_->tokenize(outline.reader.left_out(spaced), false);
  outline.separator = model_->tokenize(protocol.lists->separator, false);
  lane.pending.insert(lane.pending.end(), outline.separator.begin(), outline.separator.end());
  outline.behind_separator = lane.next + static_cast<Pos>(lane.pending.size());

  outline.likely = model_->tokenize(outline.reader.likely_next(), false);
  live.timings.seed_tokens += static_cast<std::int64_t>(lane.pending.size());
  lane.wants_token = true;
  lane.outlines = true;
  const auto block = static_cast<std::int32_t>(live.blocks.size()) + 1;
  lane.sampler = std::make_unique<Sampler>(trunk.sampler->fork(stream_of(block, kOutlineStream), 1));
  lane.parser = std::make_unique<Parser>(nullptr, Parser::State::kTrunk, 0);
}

// Nothing of the outline is used; the trunk has not noticed it. why: for whoever asks why the list stayed
// serial.
void Engine::Impl::drop_outline(RequestState& live, std::string why) {
  live.fallback = std::move(why);
  live.timings.rewound_tokens += static_cast<std::int64_t>(live.outline->n_sampled);
  live.parked.push_back(std::move(live.outline->lane.sequence));
  live.outline.reset();
  live.trunk.item.reset();
}

// The outline's last n tokens are taken back. Their cells stay taken where an id is free.
bool Engine::Impl::take_back(RequestState& live, Lane& lane, std::size_t n, Token ban) {
  if (lane.sequence && cache_.sequences_free() > 0) live.parked.push_back(lane.sequence.fork());
  return lane.rewind(n, 1, ban);
}

// Gives back the cells of lanes that nobody needs; false: there are none.
bool Engine::Impl::clear_parked() {
  bool found = false;
  for (const auto& live : running_) {
    found = found || !live->parked.empty();
    live->parked.clear();
    if (!live->outline || !live->outline->last) continue;
    found = true;
    live->outline->last = Sequence();
  }
  return found;
}

// Whether an id and cells are free, without evicting anything that could be used again.
bool Engine::Impl::has_spare(std::size_t n_cells) {
  const auto spare = [&] { return cache_.sequences_free() > 0 && cache_.cells_free() >= n_cells; };
  return spare() || (clear_parked() && spare());
}

// Makes room where cells have run out: an outline that nothing depends on yet.
bool Engine::Impl::drop_an_outline() {
  for (auto live = running_.rbegin(); live != running_.rend(); ++live) {
    if (!(*live)->outline || (*live)->in_list()) continue;
    drop_outline(**live, kNoRoom);
    (void)clear_parked();
    return true;
  }
  return false;
}

// --- the outline ------------------------------------------------------------------------------------------

// The lead's last token is taken. What comes next is no question: the rest of the closer, the left out body,
// what parts two items. The mark behind them is likely.
void Engine::Impl::write_next_mark(Outline& outline, Token token) {
  Lane& lane = outline.lane;
  OutlineReader& reader = outline.reader;
  const std::vector<Token> rest = model_->tokenize(reader.rest_of_closer(), false);
  outline.open.token_ids.insert(outline.open.token_ids.end(), rest.begin(), rest.end());
  outline.open.kinds.insert(outline.open.kinds.end(), rest.size(), Lane::Kind::kFed);
  outline.open.likelihoods.resize(outline.open.kinds.size());
  for (const Token id : outline.open.token_ids) outline.open.heading += model_->piece(id);
  outline.items.push_back(std::move(outline.open));
  outline.open = {};
  reader.next_item();

  std::vector<Token> fed = rest;
  outline.between = model_->tokenize(reader.left_out(false), false);
  outline.between.insert(outline.between.end(), outline.separator.begin(), outline.separator.end());
  fed.insert(fed.end(), outline.between.begin(), outline.between.end());
  for (const Token id : fed) lane.sampler->accept(id);
  lane.pending = {token};
  lane.pending.insert(lane.pending.end(), fed.begin(), fed.end());
  outline.likely = model_->tokenize(reader.likely_next(), false);
}

// A lead that was there before is taken back, and begun with another word.
void Engine::Impl::write_lead_again(RequestState& live, Outline& outline) {
  Lane& lane = outline.lane;
  OutlineReader& reader = outline.reader;
  const std::string mark = outline.style.mark_alone(static_cast<int>(outline.n_items()) + 1);
  std::size_t n_kept = 0;
  for (std::size_t at = 0; n_kept < outline.open.token_ids.size(); ++n_kept) {
    at += model_->piece(outline.open.token_ids[n_kept]).size();
    if (at > mark.size()) break;
  }
  const std::size_t n = outline.open.token_ids.size() - n_kept;
  const bool can = n_kept > 0 && n > 0 && ++outline.n_retried <= kMostRetries &&
                   take_back(live, lane, n, outline.open.token_ids[n_kept]);
  if (!can) {
    write_end(live, outline);
    return;
  }
  outline.open.token_ids.resize(n_kept);
  outline.open.kinds.resize(n_kept);
  outline.open.likelihoods.resize(n_kept);
  outline.likely.clear();
  reader.begin_lead_again();
}

// The list has been going on for long enough: the item that has begun is taken back, and what stands behind
// the list is written instead.
void Engine::Impl::write_end(RequestState& live, Outline& outline) {
  outline.exhausted = true;
  outline.likely.clear();
  const std::vector<Token>& open = outline.open.token_ids;
  if (open.empty() || !take_back(live, outline.lane, open.size(), open.front())) {
    outline.reader.stop(OutlineReader::End::kGoesOn);
    outline.over = true;
    return;
  }
  outline.open = {};
  outline.reader.end_list();
}

// Natural logarithm of the probability with which the outline wrote the i-th of its leads.
double Engine::Impl::lead_logprob(const Outline& outline, std::size_t i) const {
  const Outline::Item& item = outline.items[i];
  const std::size_t begin = outline.style.mark(static_cast<int>(i) + 2).size();
  const std::size_t end = item.heading.size() - outline.style.closer.size();
  double sum = 0;
  std::size_t at = 0;
  for (std::size_t t = 0; t < item.token_ids.size(); ++t) {
    const std::size_t next = at + model_->piece(item.token_ids[t]).size();
    if (next > begin && at < end) sum += item.likelihoods[t].logprob;
    at = next;
  }
  return sum;
}

// What stands before the list whose outline is being written: the question, the answer so far.
std::string Engine::Impl::text_before(const RequestState& live) const {
  std::string text;
  const std::vector<Token>& read = live.trunk.record.token_ids;
  for (std::size_t i = 0; i < std::min(live.outline->first, read.size()); ++i) text += model_->piece(read[i]);
  return text;
}

// Whether the first items stand in an order that matters: written from the last to the first they would be
// far less likely. Steps of a derivation and of a procedure are so; parts that are independent of each other
// are not. The first item, whose body is being written, stays in its place.
bool Engine::Impl::builds_in_order(RequestState& live) {
  Outline& outline = *live.outline;
  outline.order_asked = true;
  if (says_all(text_before(live), outline.reader.leads())) return false;  // the order is that of the text
  double as_written = 0;
  std::vector<Token> ids;
  std::vector<bool> wanted;
  for (std::size_t i = 0; i < outline.items.size(); ++i) {
    as_written += lead_logprob(outline, i);
    const std::size_t reversed = outline.items.size() - 1 - i;
    const std::string mark = outline.style.mark(static_cast<int>(i) + 2);
    const std::string lead =
        outline.items[reversed].heading.substr(outline.style.mark(static_cast<int>(reversed) + 2).size());
    const std::size_t end = mark.size() + lead.size() - outline.style.closer.size();
    std::size_t at = 0;
    for (const Token id : model_->tokenize(mark + lead, false)) {
      const std::size_t next = at + model_->piece(id).size();
      ids.push_back(id);
      wanted.push_back(next > mark.size() && at < end);
      at = next;
    }
    if (reversed == 0) break;
    ids.insert(ids.end(), outline.between.begin(), outline.between.end());
    wanted.resize(ids.size(), false);
  }
  if (!has_spare(ids.size())) return true;
  double exchanged = 0;
  try {
    Sequence trial = outline.lane.sequence.fork(outline.behind_separator);
    for (const double logprob : read_logprobs(trial, outline.behind_separator, ids, wanted))
      exchanged += logprob;
  } catch (const DecodeError&) {  // broken off: the list stays as it is
    return true;
  }
  live.timings.seed_tokens += static_cast<std::int64_t>(ids.size());

  const double most = live.protocol()->lists->max_order * static_cast<double>(outline.items.size());
  return as_written - exchanged > most;
}

void Engine::Impl::take_outlined(RequestState& live, Token token, Likelihood likelihood) {
  Outline& outline = *live.outline;
  Lane& lane = outline.lane;
  OutlineReader& reader = outline.reader;
  using State = OutlineReader::State;
  if (token < 0 || model_->is_eog(token)) {
    // Amid a mark or a lead an end means nothing.
    const bool behind =
        reader.state() == State::kTail || (reader.state() == State::kMark && outline.open.token_ids.empty());
    outline.over = true;
    outline.ends_answer = token >= 0 && behind;
    return;
  }
  ++outline.n_sampled;
  outline.likely.clear();
  if (live.in_list()) ++(live.checks() ? live.n_drafted : live.n_sampled);
  lane.sampler->accept(token);
  lane.pending = {token};
  lane.wants_token = true;
  const std::string piece = model_->piece(token);
  reader.push(piece);
  const bool begins_mark = outline.open.token_ids.empty() && reader.state() != State::kTail;
  const ListRules& limits = *live.protocol()->lists;
  const bool may_end = outline.n_items() >= static_cast<std::size_t>(limits.min_items);
  if (begins_mark && may_end) outline.goes_on += likelihood.logprob;
  const double logprob = may_end ? outline.goes_on : likelihood.logprob;
  const float least = outline.n_items() > 1 ? limits.min_mark : limits.min_first_mark;
  const bool unlikely = begins_mark && logprob < std::log(least);
  if (unlikely && !may_end) {
    reader.stop(OutlineReader::End::kText);
    outline.over = true;
    return;
  }
  outline.open.token_ids.push_back(token);
  outline.open.kinds.push_back(Lane::Kind::kText);
  outline.open.likelihoods.push_back(std::move(likelihood));
  if (unlikely && reader.state() != State::kTail) {
    write_end(live, outline);
    return;
  }
  if (reader.state() == State::kClosed) {
    write_next_mark(outline, token);
  } else if (reader.state() == State::kRepeated) {
    write_lead_again(live, outline);
  } else if (reader.end() == OutlineReader::End::kGoesOn && reader.is_full() && !outline.exhausted) {
    write_end(live, outline);
  } else if (reader.state() == State::kTail) {
    outline.tail.token_ids.insert(outline.tail.token_ids.end(), outline.open.token_ids.begin(),
                                  outline.open.token_ids.end());
    outline.tail.kinds.insert(outline.tail.kinds.end(), outline.open.kinds.begin(), outline.open.kinds.end());
    std::move(outline.open.likelihoods.begin(), outline.open.likelihoods.end(),
              std::back_inserter(outline.tail.likelihoods));
    outline.open = {};
    const bool too_long = outline.tail.token_ids.size() > static_cast<std::size_t>(limits.max_tail);
    outline.over =
        reader.end() == OutlineReader::End::kGoesOn || too_long || opens_a_part(reader.tail(), limits);
  }
}

// --- the block --------------------------------------------------------------------------------------------

// After a step: what follows from what its lanes have written.
void Engine::Impl::conduct(RequestState& live) {
  if (!live.finder || live.finished) return;
  if (live.phase == RequestState::Phase::kTrunk) {
    if (live.outline) {
      std::string why = why_serial(live);
      if (why.empty() && live.trunk.item->ended() && !pass_item(live)) why = kTooEarly;
      if (!why.empty()) drop_outline(live, std::move(why));
    }
    if (live.found && !live.outline) begin_outline(live);
    live.found.reset();
    if (live.outline && may_fork(live) && why_not_yet(live).empty()) (void)fork_list(live);
  } else if (live.in_list()) {
    const bool first_goes_on = !live.branches.front().ended;
    const auto builds_on = std::find_if(live.branches.begin(), live.branches.end(),
                                        [](const Lane& lane) { return !lane.item->builds_on().empty(); });
    if (first_goes_on && builds_on != live.branches.end() && !live.stop_settled) {
      unfork(live, builds_on->item->builds_on());
      return;
    }
    if (!first_goes_on && live.branches.front().ended_answer && live.is_exact() && !live.stopping) {
      finish(live, FinishReason::kStop);
      return;
    }
    if (!live.stopping) grow_block(live);
    if (tokens_left(live) == 0 && !live.stopping) {
      finish(live, FinishReason::kLength);
      return;
    }
    close_list(live);
  }
  if (!live.finished && live.list_end && live.trunk.pending.empty()) decide_end(live);
}

// Why the list whose outline is being written is to be decoded serially; empty: nothing speaks against a fork
// so far.
std::string Engine::Impl::why_serial(RequestState& live) {
  const Outline& outline = *live.outline;
  const ItemReader& item = *live.trunk.item;
  const ListRules& limits = *live.protocol()->lists;
  if (!item.builds_on().empty()) return item.builds_on();
  const bool ready = is_ready(outline, limits);
  if (ready && outline.n_left() < static_cast<std::size_t>(limits.min_items)) {
    if (outline.n_items() >= static_cast<std::size_t>(limits.min_items)) return kTooEarly;
    return outline.reader.end() == OutlineReader::End::kGoesOn ? "its leads cannot be told beforehand"
                                                               : "a list of too few items";
  }
  if (ready && !outline.order_asked && builds_in_order(live)) return "the order of its items matters";
  return item.ended() && ready ? why_not_yet(live) : "";
}

// Whether the outline is far enough for a fork, and the trunk at a place where it can become a branch.
bool Engine::Impl::may_fork(const RequestState& live) const {
  const Lane& trunk = live.trunk;
  return is_ready(*live.outline, *live.protocol()->lists) && trunk.pending.size() == 1 &&
         !trunk.item->ended() && !trunk.item->holds() && trunk.item->size() > 0;
}

// What stands against a fork now that may change; empty: nothing.
std::string Engine::Impl::why_not_yet(const RequestState& live) const {
  const Outline& outline = *live.outline;
  const double needed = kSpareBudget * usual_body(live) * static_cast<double>(outline.n_left());
  const std::size_t left = tokens_left(live) - std::min(tokens_left(live), outline.n_sampled);
  if (live.request.max_tokens >= 0 && static_cast<double>(left) < needed)
    return "max_tokens leaves too little room for its items";
  const bool list_ended = outline.over || outline.reader.state() == OutlineReader::State::kTail;
  const std::size_t n_written = live.trunk.kinds.size() - outline.first_kind;
  return pays(live, outline.n_left(), n_written, list_ended && !outline.ends_answer) ? "" : kNoGain;
}

// What a list whose outline is being written has waited for when the answer ends.
std::string Engine::Impl::why_not_forked(const RequestState& live) const {
  const std::string why = is_ready(*live.outline, *live.protocol()->lists) ? why_not_yet(live) : "";
  return why.empty() ? kTooEarly : why;
}

bool Engine::Impl::fork_list(RequestState& live) {
  Outline& outline = *live.outline;
  Lane& trunk = live.trunk;
  // What the reader has of the list becomes the beginning of the first branch.
  std::string text;
  for (std::size_t i = outline.first; i < trunk.record.size(); ++i)
    text += model_->piece(trunk.record.token_ids[i]);
  text += model_->piece(trunk.pending.front());
  const std::size_t n_held = trunk.text->n_held();
  if (n_held > text.size() || live.segments.empty()) return false;
  Segment& before = live.segments.back();
  const std::string moved = text.substr(0, text.size() - n_held);
  if (before.block != 0 || before.n_sent != before.text.size() || before.text.size() < moved.size() ||
      before.text.compare(before.text.size() - moved.size(), moved.size(), moved) != 0)
    return false;
  std::size_t n_cells = outline.n_left();
  for (std::size_t i = outline.n_serial; i < outline.items.size(); ++i)
    n_cells += outline.items[i].token_ids.size() + kOutlineCells / 4;
  if (!has_spare(0) || !finds_room(n_cells, live)) return false;

  (live.checks() ? live.n_drafted : live.n_sampled) += outline.n_sampled;
  live.guesses = {};
  live.phase = RequestState::Phase::kBlock;
  live.blocks.emplace_back();
  live.titles = {valid_utf8(outline.reader.leads()[outline.n_serial])};
  live.blocks.back().branches.emplace_back();
  live.blocks.back().branches.back().title = live.titles.front();
  live.branches.clear();
  live.branches.emplace_back();
  Lane& first = live.branches.back();
  const std::vector<std::int32_t>& prompt_blocks = live.request.prompt.block_ids;
  first.block = static_cast<std::int32_t>(live.blocks.size());
  first.branch = 1;
  first.layout_block = *std::max_element(prompt_blocks.begin(), prompt_blocks.end()) + first.block;
  first.sequence = trunk.sequence.fork();
  (void)trunk.sequence.truncate(outline.begin);
  first.next = trunk.next;
  first.pending = std::move(trunk.pending);
  first.wants_token = true;
  for (std::size_t i = outline.first; i < trunk.record.size(); ++i)
    first.record.push(trunk.record.token_ids[i], trunk.record.positions[i], first.layout_block, 1);
  trunk.record.truncate(outline.first);
  trunk.next = outline.begin;
  trunk.pending.clear();
  const auto kind = static_cast<std::ptrdiff_t>(outline.first_kind);
  const std::size_t n_list = trunk.kinds.size() - outline.first_kind;
  first.kinds.assign(trunk.kinds.begin() + kind, trunk.kinds.end());
  trunk.kinds.resize(outline.first_kind);
  if (trunk.likelihoods.size() > outline.first_kind) {
    std::move(trunk.likelihoods.begin() + kind, trunk.likelihoods.end(),
              std::back_inserter(first.likelihoods));
    trunk.likelihoods.resize(outline.first_kind);
  }
  first.n_told = trunk.n_told - std::min(trunk.n_told, outline.first_kind);
  trunk.n_told = std::min(trunk.n_told, outline.first_kind);
  first.sampler = std::move(trunk.sampler);
  trunk.sampler =
      std::make_unique<Sampler>(first.sampler->fork(stream_of(first.block, kTrunkStream), n_list));
  first.parser = std::make_unique<Parser>(nullptr, Parser::State::kTrunk, 0);
  first.text = std::move(trunk.text);
  trunk.text = std::make_unique<LaneText>();
  first.item = std::move(trunk.item);
  first.n_seed_bytes = outline.n_seed_bytes;

  before.text.resize(before.text.size() - moved.size());
  before.n_sent = before.text.size();
  first.offset = count_code_points(moved);
  trunk.offset -= first.offset;
  outline.offset = trunk.offset;
  first.segment = live.segments.size();
  live.segments.push_back({first.block, 1, moved, outline.n_seed_bytes, moved.size()});
  ++live.n_branches;
  grow_block(live);
  return true;
}

// A branch for the i-th item of the outline.
void Engine::Impl::open_item(RequestState& live, std::size_t i) {
  Outline& outline = *live.outline;
  Outline::Item& item = outline.items[i];
  const auto branch = static_cast<std::int32_t>(live.branches.size()) + 1;
  live.titles.push_back(valid_utf8(outline.reader.leads()[i + 1]));
  live.blocks.back().branches.emplace_back();
  live.blocks.back().branches.back().title = live.titles.back();
  const std::int32_t block = live.branches.front().block;
  live.branches.emplace_back();
  Lane& lane = live.branches.back();
  lane.block = block;
  lane.branch = branch;
  lane.layout_block = live.branches.front().layout_block;
  lane.stage = Lane::Stage::kWaiting;
  lane.next = live.trunk.next;
  lane.pending = item.token_ids;
  lane.wants_token = true;
  lane.kinds = std::move(item.kinds);
  if (live.request.n_logprobs >= 0) lane.likelihoods = std::move(item.likelihoods);
  outline.n_text += n_text(lane.kinds);

  live.timings.seed_tokens += static_cast<std::int64_t>(lane.pending.size());
  lane.sampler = std::make_unique<Sampler>(live.trunk.sampler->fork(stream_of(block, branch), 0));
  for (const Token id : lane.pending) lane.sampler->accept(id);
  lane.parser = std::make_unique<Parser>(nullptr, Parser::State::kTrunk, 0);
  lane.text = std::make_unique<LaneText>();
  lane.item =
      std::make_unique<ItemReader>(outline.style, outline.number_of(branch), &*live.protocol()->lists);
  lane.n_seed_bytes = item.heading.size();
  lane.unchecked = live.checks();
  ++live.n_branches;
  lane.segment = live.segments.size();
  live.segments.push_back({block, branch, "", outline.reader.separator().size() + item.heading.size(), 0});
}

// Whether max_tokens leaves room for one item more beside those that are being written, by the usual length
// of a body.
bool Engine::Impl::covers_item(const RequestState& live) const {
  if (live.request.max_tokens < 0) return true;
  const double body = usual_body(live);
  double needed = body;
  for (const Lane& lane : live.branches) {
    if (!lane.ended) needed += std::max(0.0, body - static_cast<double>(n_text(lane.kinds)));
  }
  const std::size_t drafted = live.checks() ? live.n_drafted : 0;
  return kSpareBudget * needed + static_cast<double>(drafted) <= static_cast<double>(tokens_left(live));
}

// The items from here on stay the trunk's: it goes on with them behind the block.
void Engine::Impl::leave_items(RequestState& live, std::size_t n_opened) {
  Outline& outline = *live.outline;
  std::size_t undone = n_text(outline.open.kinds) + n_text(outline.tail.kinds);
  for (std::size_t i = n_opened; i < outline.items.size(); ++i) undone += n_text(outline.items[i].kinds);
  std::size_t& counted = live.checks() ? live.n_drafted : live.n_sampled;
  counted -= std::min(undone, counted);
  live.timings.rewound_tokens += static_cast<std::int64_t>(undone);
  outline.n_sampled -= std::min(undone, outline.n_sampled);
  outline.items.resize(n_opened);
  outline.open = {};
  outline.tail = {};
  outline.over = true;
  outline.ends_answer = false;
  outline.exhausted = false;
  outline.reader.stop(OutlineReader::End::kGoesOn);
  if (outline.lane.sequence) live.parked.push_back(std::move(outline.lane.sequence));
}

// Branches for the leads that have closed since.
void Engine::Impl::grow_block(RequestState& live) {
  Outline& outline = *live.outline;
  const std::size_t n_before = live.branches.size();
  const auto most = static_cast<std::size_t>(live.request.max_branches);
  const auto next = [&] { return outline.n_serial + live.branches.size() - 1; };  // of outline.items
  while (next() < outline.items.size() && live.branches.size() < most && covers_item(live))
    open_item(live, next());
  if (next() < outline.items.size()) leave_items(live, next());
  if (live.branches.size() == n_before) return;
  send_fork(live, outline.offset);
  for (std::size_t i = n_before; i < live.branches.size(); ++i) {
    Lane& lane = live.branches[i];
    if (lane.unchecked) continue;
    show(live, lane,
         lane.text->push(outline.reader.separator() + outline.items[outline.n_serial + i - 1].heading));
    if (lane.text->stopped()) {
      meet_stop(live, lane);
      return;
    }
  }
}

// The list's items build on each other after all: the first branch is the trunk again.
void Engine::Impl::unfork(RequestState& live, std::string why) {
  Outline& outline = *live.outline;
  live.fallback = std::move(why);
  Lane first = std::move(live.branches.front());
  Lane& trunk = live.trunk;
  std::size_t sampled = 0;
  for (std::size_t i = 1; i < live.branches.size(); ++i) {
    const Lane& lane = live.branches[i];
    sampled += n_text(lane.kinds);
  }
  const std::size_t undone =
      sampled + outline.n_sampled - std::min(outline.n_text, sampled);  // leads count once
  if (!live.checks()) live.n_sampled -= std::min(undone, live.n_sampled);
  live.n_drafted = 0;
  live.n_branches -= live.branches.size();
  live.timings.rewound_tokens += static_cast<std::int64_t>(undone);
  live.parked.push_back(std::move(outline.lane.sequence));
  for (std::size_t i = 1; i < live.branches.size(); ++i)
    live.parked.push_back(std::move(live.branches[i].sequence));
  if (first.sequence) trunk.sequence = std::move(first.sequence);
  for (std::size_t i = 0; i < first.record.size(); ++i)
    trunk.record.push(first.record.token_ids[i], first.record.positions[i], 0, 0);
  trunk.next = first.next;
  trunk.pending = std::move(first.pending);
  trunk.wants_token = true;
  trunk.kinds.insert(trunk.kinds.end(), first.kinds.begin(), first.kinds.end());
  trunk.likelihoods.resize(std::min(trunk.likelihoods.size(), outline.first_kind));
  if (!first.likelihoods.empty()) {
    trunk.likelihoods.resize(outline.first_kind);
    std::move(first.likelihoods.begin(), first.likelihoods.end(), std::back_inserter(trunk.likelihoods));
  }
  trunk.n_told += first.n_told;
  trunk.sampler = std::move(first.sampler);
  trunk.text = std::move(first.text);
  trunk.offset += first.offset;

  Segment moved = std::move(live.segments[first.segment]);
  live.segments.resize(first.segment);
  Segment& before = live.segments.back();
  before.n_sent = before.text.size() + moved.n_sent;
  before.text += moved.text;
  trunk.segment = live.segments.size() - 1;
  live.blocks.pop_back();
  live.branches.clear();
  live.titles.clear();
  live.stopping = false;  // the stop string stood in a branch that is void
  live.phase = RequestState::Phase::kTrunk;
  tell(live, live.event(EventKind::kUnfork, first.block));
  live.outline.reset();
  show(live, trunk, trunk.text->push(first.item->held()));
  if (trunk.text->stopped()) meet_stop(live, trunk);
}

// The tokens of an item as they stand in the answer: what belongs to its body, spelt anew where a token
// reaches beyond it. parted: with what parts it from the text behind it. n_kept: of them, from the first on,
// that are the lane's own.
std::vector<Token> Engine::Impl::item_ids(const RequestState& live, const Lane& lane, bool parted,
                                          std::size_t& n_kept) const {
  std::vector<Token> ids = lane.token_ids();
  const std::size_t n_bytes = lane.n_seed_bytes + lane.item->size();
  const bool last = static_cast<std::size_t>(lane.branch) == live.branches.size();
  n_kept = 0;
  std::size_t at = 0;
  std::string rest;
  for (; n_kept < ids.size(); ++n_kept) {
    const std::string piece = model_->piece(ids[n_kept]);
    if (at + piece.size() > n_bytes) {
      rest = piece.substr(0, n_bytes - at);
      break;
    }
    at += piece.size();
  }
  ids.resize(n_kept);
  if (parted) rest += last ? live.outline->reader.separator_behind() : live.outline->reader.separator();
  const std::vector<Token> more = model_->tokenize(rest, false);
  ids.insert(ids.end(), more.begin(), more.end());
  return ids;
}

// Whether a lane repeats a few tokens over and over: a small model's body that never ends.
bool Engine::Impl::goes_round(const Lane& lane) {
  const std::vector<Token>& read = lane.record.token_ids;
  const std::size_t n_most = kLongestPeriod * kMostRounds;
  std::vector<Token> ids(read.end() - static_cast<std::ptrdiff_t>(std::min(read.size(), n_most)), read.end());
  ids.insert(ids.end(), lane.pending.begin(), lane.pending.end());
  for (std::size_t period = 1; period <= kLongestPeriod; ++period) {
    const std::size_t n = std::max(kLeastRound, period * kMostRounds);
    if (ids.size() < n) break;
    if (repeats(ids, n, period)) return true;
  }
  return false;
}

// What an item has held back of its text when it is over.
void Engine::Impl::say_rest(RequestState& live, Lane& lane, FinishReason reason) {
  std::string text;
  if (live.is_exact()) {  // all that was sampled is text; what stands behind the body, of what follows
    if (!lane.item->ended()) text = lane.text->push(lane.item->take_held());
  } else if (reason == FinishReason::kStop) {
    text = lane.text->push(lane.item->finish());
  }
  if (!live.checks() && !lane.text->stopped()) text += lane.text->finish();
  show(live, lane, text);
  lane.unchecked = !lane.text->stopped() && lane.text->n_held() > 0;  // it comes with the drafts
}

// The item's body is over, or cut.
void Engine::Impl::end_item(RequestState& live, Lane& lane, FinishReason reason) {
  if (lane.ended) return;
  if (!lane.text->stopped() && !lane.unchecked) say_rest(live, lane, reason);
  lane.reason = reason;
  lane.ended = true;
  lane.wants_token = false;
  lane.stage = Lane::Stage::kDone;
  lane.tail = std::move(lane.pending);
  lane.pending.clear();
  if (lane.branch != 1) {
    const bool last = static_cast<std::size_t>(lane.branch) == live.branches.size();
    if (last) std::swap(lane.sequence, live.outline->last);
    if (lane.sequence) live.parked.push_back(std::move(lane.sequence));
  }
  BranchResult& result = live.blocks.back().branches[static_cast<std::size_t>(lane.branch) - 1];
  result.n_tokens = n_text(lane.kinds);
  result.reason = reason;
  if (reason == FinishReason::kStop && !lane.text->stopped()) {
    const double body = static_cast<double>(result.n_tokens) * static_cast<double>(lane.item->size()) /
                        static_cast<double>(std::max<std::size_t>(lane.item->size() + lane.n_seed_bytes, 1));
    usual_body_ = usual_body_ > 0 ? (1 - kLearn) * usual_body_ + kLearn * body : body;
  }
  send_in_turn(live);
}

// Whether the end that the outline wrote counts: nothing but white space, or what the last item says at its
// end already, is no end of its own.
bool Engine::Impl::tail_counts(const RequestState& live, const Outline& outline) {
  const std::string& said = live.segments.back().text;
  const std::string tail = outline.reader.tail();
  const std::size_t word = tail.find_first_not_of(" \t\r\n");
  const std::string words = word == std::string::npos ? "" : tail.substr(word);
  return said.size() < words.size() || said.compare(said.size() - words.size(), words.size(), words) != 0;
}

// Whether the end that the outline wrote is likely behind the last item as it is: the outline has seen that
// bodies were left out, and may say so. How likely the first token is does not count: there the item's branch
// expects the next mark.
bool Engine::Impl::end_fits(RequestState& live) {
  Outline& outline = *live.outline;
  const std::vector<Token>& tail = outline.tail.token_ids;
  if (tail.size() < 2) return true;
  const Lane& last = live.branches.back();
  std::size_t n_held = 0;
  std::vector<Token> ids = item_ids(live, last, true, n_held);
  n_held = std::min(n_held, last.record.size());
  // Out of the outline: what makes room must not take it.
  Sequence trial = std::move(outline.last);
  if (!trial || !trial.truncate(outline.begin + static_cast<Pos>(n_held))) {
    n_held = 0;
    if (!make_sequence()) return false;
    trial = live.trunk.sequence.fork();
  }
  ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(n_held));
  std::vector<bool> wanted(ids.size() + 1, false);
  wanted.resize(ids.size() + tail.size(), true);
  ids.insert(ids.end(), tail.begin(), tail.end());
  if (!make_room(ids.size())) return false;
  const Pos begin = outline.begin + static_cast<Pos>(n_held);
  double sum = 0;
  try {
    for (const double logprob : read_logprobs(trial, begin, ids, wanted)) sum += logprob;
  } catch (const DecodeError&) {  // broken off
    return false;
  }
  live.timings.seed_tokens += static_cast<std::int64_t>(ids.size());
  return sum >= live.protocol()->lists->least_end * static_cast<double>(tail.size() - 1);
}

// The first item becomes text of the trunk, with the cells that its branch has: n_most of these tokens at
// most. How many of them are in the trunk's cells then.
std::size_t Engine::Impl::join_first(RequestState& live, const std::vector<Token>& ids, std::size_t n_most) {
  Lane& trunk = live.trunk;
  Lane& first = live.branches.front();
  const Pos begin = live.outline->begin;
  std::size_t n_joined = first.sequence ? std::min(n_most, first.record.size()) : 0;
  if (first.sequence && first.sequence.truncate(begin + static_cast<Pos>(n_joined))) {
    trunk.sequence.join(std::move(first.sequence), begin);
  } else {
    n_joined = 0;
  }
  for (std::size_t i = 0; i < n_joined; ++i) trunk.record.push(ids[i], begin + static_cast<Pos>(i), 0, 0);
  trunk.next = begin + static_cast<Pos>(n_joined);
  return n_joined;
}

// The block is over, its items are text of the trunk.
void Engine::Impl::leave_list(RequestState& live) {
  live.branches.clear();
  live.titles.clear();
  live.phase = RequestState::Phase::kTrunk;
  send_join(live);
}

// All items are written, or the answer ends: they become text of the trunk. Cells of the first are kept; the
// others are decoded again where something depends on them.
void Engine::Impl::join_items(RequestState& live, bool ends) {
  Lane& trunk = live.trunk;
  const bool asks = !ends && !live.outline->ends_answer;
  const bool follows = !ends && !asks && tail_counts(live, *live.outline);
  std::vector<Token> texts;
  std::size_t n_joined = 0;
  for (Lane& lane : live.branches) {
    std::size_t n_kept = 0;
    const bool stopped = lane.text->stopped();
    const bool last = static_cast<std::size_t>(lane.branch) == live.branches.size();
    const bool parted = !last || (follows && !lane.ended_answer);
    std::vector<Token> ids = stopped ? model_->tokenize(live.segments[lane.segment].text, false)
                                     : item_ids(live, lane, parted, n_kept);
    live.blocks.back().branches[static_cast<std::size_t>(lane.branch) - 1].token_ids = ids;
    if (lane.branch == 1) n_joined = join_first(live, ids, n_kept);
    texts.insert(texts.end(), ids.begin(), ids.end());
    if (stopped) break;
  }
  trunk.pending.assign(texts.begin() + static_cast<std::ptrdiff_t>(n_joined), texts.end());
  trunk.kinds.insert(trunk.kinds.end(), texts.size(), Lane::Kind::kFed);
  for (const Token id : texts) trunk.sampler->accept(id);
  const bool parted = !live.branches.back().ended_answer;
  leave_list(live);
  live.parked.clear();
  const std::unique_ptr<Outline> done = std::move(live.outline);
  live.timings.plan_tokens += static_cast<std::int64_t>(done->n_sampled);
  live.timings.plan_tokens -= static_cast<std::int64_t>(std::min(done->n_text, done->n_sampled));
  if (ends) return;
  if (asks) {
    ask_end(live, *done);
    return;
  }
  if (!follows) done->tail = {};
  live.timings.plan_tokens -= static_cast<std::int64_t>(done->tail.token_ids.size());
  if (!parted && follows) feed_separator(live, *done);
  end_with_tail(live, *done);
}

void Engine::Impl::feed_separator(RequestState& live, const Outline& outline) {
  for (const Token id : model_->tokenize(outline.reader.separator_behind(), false)) {
    live.trunk.pending.push_back(id);
    live.trunk.kinds.push_back(Lane::Kind::kFed);
    live.trunk.sampler->accept(id);
  }
}

// The answer ends as the outline wrote it.
void Engine::Impl::end_with_tail(RequestState& live, Outline& outline) {
  Lane& trunk = live.trunk;
  Outline::Item& tail = outline.tail;
  const std::size_t n_tail = tail.token_ids.size();
  trunk.kinds.insert(trunk.kinds.end(), tail.kinds.begin(), tail.kinds.end());
  if (live.request.n_logprobs >= 0) {
    trunk.likelihoods.resize(trunk.kinds.size() - n_tail);
    std::move(tail.likelihoods.begin(), tail.likelihoods.end(), std::back_inserter(trunk.likelihoods));
  }
  trunk.pending.insert(trunk.pending.end(), tail.token_ids.begin(), tail.token_ids.end());
  if (n_tail > 0)
    show(live, trunk, trunk.text->push(outline.reader.separator_behind() + outline.reader.tail()));
  if (trunk.text->stopped()) {
    meet_stop(live, trunk);
  } else {
    finish(live, FinishReason::kStop);
  }
}

// A token and what parts its text from what follows, as the model would write both.
std::vector<Token> Engine::Impl::parted_ids(Token last, const std::string& separator) const {
  if (separator.empty()) return {last};
  const std::string text = model_->piece(last) + separator;
  std::vector<Token> ids = model_->tokenize(text, false);
  std::string spelled;
  for (const Token id : ids) spelled += model_->piece(id);
  if (spelled == text) return ids;
  ids = model_->tokenize(separator, false);  // the token ends amid a character
  ids.insert(ids.begin(), last);
  return ids;
}

// The list is the trunk's, and the outline does not say what stands behind it: when the trunk has read the
// list but for its last token, it says so itself. One token spells the end of a sentence and a blank line,
// another the end alone: the choice is made before it.
void Engine::Impl::ask_end(RequestState& live, const Outline& outline) {
  Lane& trunk = live.trunk;
  const Token last = trunk.pending.empty() ? trunk.record.token_ids.back() : trunk.pending.back();
  bool steps_back = true;
  if (trunk.pending.size() > 1) {
    trunk.kinds.pop_back();
    trunk.sampler->rewind(1);
    trunk.pending.pop_back();
  } else if (!trunk.rewind(1, trunk.pending.size(), -1)) {
    if (trunk.pending.empty()) throw std::logic_error("cannot step back");
    steps_back = false;
  }
  const Token known = trunk.pending.back();
  if (!steps_back) trunk.pending.pop_back();
  trunk.wants_token = false;
  live.timings.seed_tokens += static_cast<std::int64_t>(trunk.pending.size());

  live.list_end.emplace();
  ListEnd& end = *live.list_end;
  end.style = outline.style;
  end.is_first_read = steps_back;
  if (outline.exhausted) {  // the trunk would begin the next item, a repetition too
    const std::string mark = outline.style.mark_alone(static_cast<int>(outline.n_items()) + 1);
    end.mark = model_->tokenize(mark, false).front();
  }
  for (const std::string& separator :
       {std::string(), outline.reader.separator_behind(), live.protocol()->lists->separator}) {
    if (!end.ways.empty() && separator == end.ways.back().separator) continue;
    std::vector<Token> ids = steps_back ? parted_ids(last, separator) : model_->tokenize(separator, false);
    ids.insert(ids.begin(), known);
    end.ways.push_back({separator, std::move(ids)});
  }
  live.phase = RequestState::Phase::kJoin;
}

// Of the ways to go on behind the list the index of the likeliest; of the list's own separator where the
// model cannot be asked.
std::size_t Engine::Impl::likeliest_way(RequestState& live) {
  std::size_t best = 1;  // where it cannot be asked
  try {
    const std::vector<double> found = weigh_ways(live.trunk, *live.list_end);
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (found[i] > found[best]) best = i;
    }
  } catch (const DecodeError&) {  // broken off
  }
  return best;
}

// The trunk reads the list's last token, and what parts it from the text behind it.
void Engine::Impl::read_end(RequestState& live, const ListEnd::Way& way) {
  Lane& trunk = live.trunk;
  const std::ptrdiff_t n_read = live.list_end->is_first_read ? 1 : 0;
  trunk.pending.insert(trunk.pending.end(), way.token_ids.begin() + n_read, way.token_ids.end());
  trunk.kinds.insert(trunk.kinds.end(), way.token_ids.size() - 1, Lane::Kind::kFed);
  for (std::size_t i = 1; i < way.token_ids.size(); ++i) trunk.sampler->accept(way.token_ids[i]);
  trunk.wants_token = true;
}

// The trunk has read the list: the answer ends there, or goes on.
void Engine::Impl::decide_end(RequestState& live) {
  Lane& trunk = live.trunk;
  const std::size_t chosen = likeliest_way(live);
  read_end(live, live.list_end->ways[chosen]);
  const ListEnd end = std::move(*live.list_end);
  live.list_end.reset();
  const ListEnd::Way& way = end.ways[chosen];
  if (way.separator.empty()) {
    finish(live, FinishReason::kStop);
    return;
  }
  live.timings.seed_tokens += static_cast<std::int64_t>(trunk.pending.size());
  show(live, trunk, trunk.text->push(way.separator));
  if (trunk.text->stopped()) {
    meet_stop(live, trunk);
    return;
  }
  if (end.mark >= 0) {
    trunk.ban_position = trunk.next + static_cast<Pos>(trunk.pending.size());
    trunk.bans.assign(1, end.mark);
  }
  live.finder->after_list(end.style);
}

// The block is over when all items and the outline are.
void Engine::Impl::close_list(RequestState& live) {
  const bool all = std::all_of(live.branches.begin(), live.branches.end(),
                               [](const Lane& lane) { return lane.stage == Lane::Stage::kDone; });
  if (!all || !(live.outline->over || live.stopping)) return;
  if (!live.stopping) {
    if (live.checks()) {
      begin_check(live, FinishReason::kRejected);
    } else {
      if (live.outline->ends_answer && !end_fits(live)) {
        live.outline->ends_answer = false;
        live.outline->exhausted = true;
      }
      join_items(live, false);
    }
    return;
  }
  join_items(live, true);
  finish(live, FinishReason::kStop);
}

}  // namespace aspd
