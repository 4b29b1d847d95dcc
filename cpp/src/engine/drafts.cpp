// The check of drafts: a list's second and later items were written without those before them. Here the trunk
// reads them where they stand in the answer, keeps what it finds plausible, and goes on by itself where that
// ends.
#include "drafts.h"

#include <algorithm>
#include <numeric>

#include "engine_impl.h"

namespace aspd {

// --- data -------------------------------------------------------------------------------------------------

void Drafts::take(const std::string& piece) {
  const std::size_t before = owner;
  while (owner + 1 < ends.size() && n_read >= ends[owner]) ++owner;
  if (owner != before) {
    owner_at = at;
    owner_begin = n_read;
    window.clear();
  }
  const auto known = static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, -n_read));
  held += piece.substr(std::min(known, piece.size()));
  n_read += static_cast<std::ptrdiff_t>(piece.size());
  ++at;
}

void Drafts::weigh(double logprob, std::size_t n_bytes, std::size_t n_window) {
  window.push_back(logprob);
  if (window.size() >= n_window) window.pop_front();
  if (n_judged == ends.size()) return;
  const std::ptrdiff_t begin = n_read - static_cast<std::ptrdiff_t>(n_bytes);
  if (n_read <= lead_begins[n_judged] || begin >= lead_ends[n_judged]) return;
  lead_sum += logprob;
  ++n_lead;
}

bool Drafts::plausible(double logprob, float least, std::size_t n_window) const {
  if (respells()) return true;
  const bool begins = owner + 1 < ends.size() && n_read >= ends[owner];
  const double sum = begins ? 0 : std::accumulate(window.begin(), window.end(), 0.0);
  return sum + logprob >= static_cast<double>(least) * static_cast<double>(n_window);
}

void Guesses::follow(Token token) {
  const Token before = last;
  last = token;
  if (next < token_ids.size() && token_ids[next] == token) {
    ++next;
    ++n_run;
    seen = next;
    return;
  }
  n_run = 0;
  next = token_ids.size();
  const auto find = [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = std::max<std::size_t>(begin, 1); i < end; ++i) {
      if (token_ids[i - 1] != before || token_ids[i] != token) continue;
      next = seen = i + 1;
      n_run = 2;
      return true;
    }
    return false;
  };
  if (!find(seen, token_ids.size())) (void)find(0, std::min(seen, token_ids.size()));
}

// --- the check --------------------------------------------------------------------------------------------

namespace {

std::size_t n_bytes_of(const Lane& lane) { return lane.n_seed_bytes + lane.item->size(); }

std::string text_of(const Model& model, const std::vector<Token>& ids, std::size_t begin = 0) {
  std::string text;
  for (std::size_t i = begin; i < ids.size(); ++i) text += model.piece(ids[i]);
  return text;
}

}  // namespace

// The drafts as they would stand behind the first body, and `first`: what the trunk has of it already. An
// item that was cut for its length is the last.
std::unique_ptr<Drafts> Engine::Impl::collect_drafts(const RequestState& live,
                                                     std::vector<Token>& first) const {
  auto drafts = std::make_unique<Drafts>();
  const Outline& outline = *live.outline;
  std::vector<Token>& ids = drafts->token_ids;
  for (const Lane& lane : live.branches) {
    const bool last = static_cast<std::size_t>(lane.branch) == live.branches.size();
    std::size_t n_kept = 0;
    std::vector<Token> own = item_ids(live, lane, !last, n_kept);
    const auto kept = own.begin() + static_cast<std::ptrdiff_t>(n_kept);
    std::size_t n_bytes = 0;
    for (auto id = own.begin(); id != kept; ++id) n_bytes += model_->piece(*id).size();
    const std::size_t n_rest = n_bytes_of(lane) - n_bytes;  // of the body, in a token that is spelt anew
    if (lane.branch == 1) {
      first.assign(own.begin(), kept);
      drafts->rest = text_of(*model_, own, n_kept).substr(0, n_rest);
      drafts->n_read = -static_cast<std::ptrdiff_t>(n_rest);
      ids.assign(kept, own.end());
      drafts->lead_begins.push_back(0);
      drafts->lead_ends.push_back(0);
      drafts->ends.push_back(0);
      for (std::size_t i = 0; i < ids.size(); ++i) drafts->fed.push_back(i > 0 || n_rest == 0);
    } else {
      const std::size_t mark = outline.style.mark(outline.number_of(lane.branch)).size();
      const std::size_t lead_end = lane.n_seed_bytes - outline.style.closer.size();
      const std::ptrdiff_t begin =
          drafts->ends.back() + static_cast<std::ptrdiff_t>(outline.reader.separator().size());
      drafts->lead_begins.push_back(begin + static_cast<std::ptrdiff_t>(mark));
      drafts->lead_ends.push_back(begin + static_cast<std::ptrdiff_t>(lead_end));
      drafts->ends.push_back(begin + static_cast<std::ptrdiff_t>(n_bytes_of(lane)));
      for (std::size_t i = 0; i < own.size(); ++i) {
        const bool sampled = i < n_kept ? lane.kinds[i] == Lane::Kind::kText : i == n_kept && n_rest > 0;
        drafts->fed.push_back(!sampled);
      }
      ids.insert(ids.end(), own.begin(), own.end());
    }
    drafts->whole = lane.reason != FinishReason::kLength;
    if (!drafts->whole) break;
  }
  std::ptrdiff_t at = drafts->n_read;  // no separator behind the last
  std::size_t n = 0;
  for (; n < ids.size() && at < drafts->ends.back(); ++n)
    at += static_cast<std::ptrdiff_t>(model_->piece(ids[n]).size());
  ids.resize(n);
  drafts->fed.resize(n);
  return drafts;
}

// Puts what the first branch has sampled behind its body in front of the drafts, where they go on from it.
// False: they do not.
bool Engine::Impl::align_drafts(Drafts& drafts, const std::vector<Token>& over,
                                const std::string& text) const {
  const auto n_text = static_cast<std::ptrdiff_t>(text.size());
  std::ptrdiff_t at = drafts.n_read;
  std::size_t n = 0;
  std::string spelled;
  for (; n < drafts.token_ids.size() && at < n_text; ++n) {
    spelled += model_->piece(drafts.token_ids[n]);
    at = drafts.n_read + static_cast<std::ptrdiff_t>(spelled.size());
  }
  const auto known = static_cast<std::size_t>(-drafts.n_read);
  const bool fits =
      at == n_text && spelled.compare(std::min(known, spelled.size()), std::string::npos, text) == 0;
  if (!fits) n = drafts.token_ids.size();
  const auto end = static_cast<std::ptrdiff_t>(n);
  drafts.token_ids.erase(drafts.token_ids.begin(), drafts.token_ids.begin() + end);
  drafts.fed.erase(drafts.fed.begin(), drafts.fed.begin() + end);
  if (fits) {
    drafts.token_ids.insert(drafts.token_ids.begin(), over.begin(), over.end());
    drafts.fed.insert(drafts.fed.begin(), over.size(), false);
  }
  drafts.n_read = n_text - static_cast<std::ptrdiff_t>(text_of(*model_, over).size());
  drafts.held = text.substr(0, static_cast<std::size_t>(drafts.n_read));
  return fits;
}

// All items are written, or the answer ends: the trunk takes over the first, and begins to read the others
// behind it. reason: of those that it does not come to.
void Engine::Impl::begin_check(RequestState& live, FinishReason reason) {
  std::vector<Token> ids;
  live.drafts = collect_drafts(live, ids);
  if (live.request.draft_check != DraftCheck::kExact) {
    live.finder->after_list(live.outline->style);
    for (const Token id : ids) live.trunk.sampler->accept(id);
    (void)take_first_item(live, ids, ids.size(), ids.size() - 1);
    return;
  }
  // Exact: all that the first branch has sampled counts, also what stands behind its body.
  const Lane& first = live.branches.front();
  live.guesses = {};
  live.guesses.token_ids = live.drafts->token_ids;
  std::vector<Token>& guesses = live.guesses.token_ids;
  const std::vector<Token> parted = model_->tokenize(live.outline->reader.separator_behind(), false);
  const std::vector<Token>& tail = live.outline->tail.token_ids;
  guesses.insert(guesses.end(), parted.begin(), parted.end());
  guesses.insert(guesses.end(), tail.begin(), tail.end());
  live.guesses.next = guesses.size();
  const bool ended = first.item->ended();  // else its text has been shown to the last byte
  const std::size_t n_own = ids.size() + (live.drafts->n_read < 0 ? 1 : 0);
  const std::size_t n_bytes = n_bytes_of(first);
  ids = first.token_ids();
  const std::vector<Token> over(ids.begin() + static_cast<std::ptrdiff_t>(ended ? n_own : ids.size()),
                                ids.end());
  const std::string text = ended ? text_of(*model_, ids).substr(n_bytes) : "";
  live.trunk.sampler = std::move(live.branches.front().sampler);
  std::vector<Likelihood> likelihoods = take_first_item(live, ids, ids.size() - over.size(), ids.size());
  if (ended && align_drafts(*live.drafts, over, text)) {
    for (std::size_t i = 0; i < over.size(); ++i) keep_draft(live, over[i], std::move(likelihoods[i]), false);
    show_kept(live);
    return;
  }
  live.drafts->held.clear();
  live.drafts->n_read = 0;
  end_check(live, reason);
  say_over(live, text, std::move(likelihoods));
}

// The first n_own of these tokens are the first item's, n_most may keep their cells. The likelihoods of the
// rest.
std::vector<Likelihood> Engine::Impl::take_first_item(RequestState& live, const std::vector<Token>& ids,
                                                      std::size_t n_own, std::size_t n_most) {
  Lane& trunk = live.trunk;
  Lane& first = live.branches.front();
  Drafts& drafts = *live.drafts;
  const auto joined = static_cast<std::ptrdiff_t>(join_first(live, ids, n_most));
  trunk.pending.assign(ids.begin() + joined, ids.end());
  trunk.wants_token = true;
  trunk.kinds.insert(trunk.kinds.end(), n_own, Lane::Kind::kFed);
  live.timings.seed_tokens += static_cast<std::int64_t>(trunk.pending.size());
  live.blocks.back().branches.front().token_ids.assign(ids.begin(),
                                                       ids.begin() + static_cast<std::ptrdiff_t>(n_own));
  std::vector<Likelihood> over;
  for (std::size_t i = n_own; i < first.likelihoods.size(); ++i)
    over.push_back(std::move(first.likelihoods[i]));
  over.resize(ids.size() - n_own);
  if (live.request.draft_check != DraftCheck::kExact) {  // it does not stand
    const std::size_t n_over = first.kinds.size() - std::min(first.kinds.size(), n_own);
    live.n_sampled -= std::min(n_over, live.n_sampled);
    live.timings.rewound_tokens += static_cast<std::int64_t>(n_over);
  }
  first.kinds.resize(std::min(first.kinds.size(), n_own));
  first.likelihoods.resize(std::min(first.likelihoods.size(), n_own));
  for (Lane& lane : live.branches) {
    lane.item.reset();  // what is read from here on is settled
    if (lane.branch == 1) continue;
    lane.kinds.clear();
    lane.likelihoods.clear();
  }
  drafts.text = std::move(first.text);
  first.text = std::make_unique<LaneText>();
  drafts.n_shown = -static_cast<std::ptrdiff_t>(drafts.text->n_held());
  live.checked = std::move(live.outline);
  live.parked.push_back(std::move(live.checked->lane.sequence));
  live.phase = RequestState::Phase::kCheck;
  return over;
}

// The trunk has sampled these tokens, but they are no drafts: they are its own text.
void Engine::Impl::say_over(RequestState& live, const std::string& text,
                            std::vector<Likelihood> likelihoods) {
  Lane& trunk = live.trunk;
  if (live.request.n_logprobs >= 0) {
    trunk.likelihoods.resize(trunk.kinds.size());
    std::move(likelihoods.begin(), likelihoods.end(), std::back_inserter(trunk.likelihoods));
  }
  trunk.kinds.insert(trunk.kinds.end(), likelihoods.size(), Lane::Kind::kText);
  show(live, trunk, trunk.text->push(text));
  if (trunk.text->stopped()) meet_stop(live, trunk);
}

// What the trunk may be about to write: the next drafts; what it left of them.
std::vector<Token> Engine::Impl::likely_drafts(const RequestState& live, std::size_t n_most) const {
  const std::vector<Token>* ids = &live.guesses.token_ids;
  std::size_t begin = live.guesses.next;
  std::size_t n = std::min(n_most, live.guesses.n_run);
  if (live.phase == RequestState::Phase::kCheck) {
    ids = &live.drafts->token_ids;
    begin = live.drafts->at;
    n = live.is_exact() ? std::max(n_most, begin) : ids->size();  // more where more has come true
  } else if (live.phase != RequestState::Phase::kTrunk) {
    return {};
  }
  begin = std::min(begin, ids->size());
  n = std::min(n, ids->size() - begin);
  const auto first = ids->begin() + static_cast<std::ptrdiff_t>(begin);
  return {first, first + static_cast<std::ptrdiff_t>(n)};
}

// Where a draft need not be what the trunk would choose: chooses it if it is plausible.
bool Engine::Impl::choose_draft(LaneSpan& share, const float* logits) const {
  const RequestState& live = *share.live;
  if (live.phase != RequestState::Phase::kCheck || live.is_exact() || live.drafts->all_kept()) return false;
  const Drafts& drafts = *live.drafts;
  const ListRules& rules = *live.protocol()->lists;
  const Token draft = drafts.token_ids[drafts.at];
  Likelihood likelihood = likelihood_of(draft, logits, model_->n_vocab(), live.request.n_logprobs);
  const bool keeps = live.request.draft_check == DraftCheck::kLead ||
                     drafts.plausible(static_cast<double>(likelihood.logprob), rules.least_window,
                                      static_cast<std::size_t>(rules.window));
  if (!keeps) return false;
  share.sampled = draft;
  share.likelihood = std::move(likelihood);
  return true;
}

// The next draft becomes a token of the answer.
void Engine::Impl::keep_draft(RequestState& live, Token token, Likelihood likelihood, bool fed) {
  Drafts& drafts = *live.drafts;
  const std::string piece = model_->piece(token);
  const double logprob = static_cast<double>(likelihood.logprob);
  drafts.take(piece);
  drafts.weigh(logprob, piece.size(), static_cast<std::size_t>(live.protocol()->lists->window));
  if (!fed) ++drafts.n_sampled;
  Lane& lane = live.branches[drafts.owner];
  lane.kinds.push_back(fed ? Lane::Kind::kFed : Lane::Kind::kText);
  if (live.request.n_logprobs >= 0) {
    lane.likelihoods.resize(lane.kinds.size());
    lane.likelihoods.back() = std::move(likelihood);
  }
  live.blocks.back().branches[drafts.owner].token_ids.push_back(token);
  live.trunk.kinds.push_back(Lane::Kind::kFed);
}

// The trunk's next token while drafts are checked: the draft, or its own. True: that is all.
bool Engine::Impl::take_checked(RequestState& live, Token token, Likelihood& likelihood) {
  Drafts& drafts = *live.drafts;
  Lane& trunk = live.trunk;
  if (drafts.all_kept() || token != drafts.token_ids[drafts.at]) {
    end_check(live, FinishReason::kRejected);
    if (trunk.text->stopped()) meet_stop(live, trunk);
    return live.finished;
  }
  const bool fed = live.request.draft_check != DraftCheck::kExact && drafts.fed[drafts.at];
  if (!fed) ++live.n_sampled;
  ++live.timings.seed_tokens;
  trunk.sampler->accept(token);
  trunk.pending = {token};
  trunk.wants_token = true;
  (void)live.finder->push(model_->piece(token));
  keep_draft(live, token, std::move(likelihood), fed);
  if (live.request.draft_check == DraftCheck::kLead && drafts.lead_is_read()) {
    const double least = static_cast<double>(live.protocol()->lists->least_lead);
    if (drafts.lead_sum < least * static_cast<double>(drafts.n_lead)) {
      end_check(live, FinishReason::kRejected);
      if (trunk.text->stopped()) meet_stop(live, trunk);
      return true;
    }
    ++drafts.n_judged;
    drafts.lead_sum = 0;
    drafts.n_lead = 0;
  }
  show_kept(live);
  if (live.phase == RequestState::Phase::kCheck && !live.finished && drafts.all_kept()) close_check(live);
  if (!live.finished && tokens_left(live) == 0) finish(live, FinishReason::kLength);
  return true;
}

// Lets out the text of drafts that have been taken over.
void Engine::Impl::show_kept(RequestState& live) {
  Drafts& drafts = *live.drafts;
  if (live.request.draft_check == DraftCheck::kLead && drafts.awaits_lead()) return;
  (void)show_parts(live, std::move(drafts.held), drafts.ends.size());
  drafts.held.clear();
  if (live.stop_met()) finish(live, FinishReason::kStop);
}

// Lets out text under the names of the first n branches that it belongs to. The rest of it.
std::string Engine::Impl::show_parts(RequestState& live, const std::string& held, std::size_t n_branches) {
  Drafts& drafts = *live.drafts;
  std::string text = drafts.text->push(held);
  while (!text.empty() && !live.stop_met()) {
    end_shown(live);
    if (drafts.shown >= n_branches) break;  // nothing of those that follow is known to stand
    Lane& lane = live.branches[drafts.shown];
    lane.unchecked = false;
    lane.ended = false;
    std::size_t n = text.size();
    if (drafts.shown + 1 < drafts.ends.size())
      n = std::min(n, static_cast<std::size_t>(drafts.ends[drafts.shown] - drafts.n_shown));
    while (n < text.size() && (static_cast<unsigned char>(text[n]) & 0xC0U) == 0x80) ++n;
    drafts.n_shown += static_cast<std::ptrdiff_t>(n);
    show(live, lane, text.substr(0, n));
    text.erase(0, n);
  }
  return text;
}

// Branches whose text has left to its end are over.
void Engine::Impl::end_shown(RequestState& live) {
  Drafts& drafts = *live.drafts;
  for (; drafts.shown < drafts.ends.size() && drafts.n_shown >= drafts.ends[drafts.shown]; ++drafts.shown) {
    Lane& lane = live.branches[drafts.shown];
    end_checked(live, lane, lane.reason);
  }
}

void Engine::Impl::end_checked(RequestState& live, Lane& lane, FinishReason reason) {
  lane.reason = reason;
  lane.ended = true;
  lane.unchecked = false;
  BranchResult& result = live.blocks.back().branches[static_cast<std::size_t>(lane.branch) - 1];
  result.n_tokens = n_text(lane.kinds);
  result.reason = reason;
  send_in_turn(live);
}

// A stop string was met in the text as it is read: of what the trunk has read behind it nothing stands.
void Engine::Impl::drop_behind_stop(RequestState& live) {
  live.cut_at_stop();
  live.drafts->text->stop();
  bool behind = false;
  for (Lane& lane : live.branches) {
    if (!lane.text->stopped()) continue;
    lane.reason = behind ? FinishReason::kCancelled : FinishReason::kStop;
    if (behind) {
      lane.kinds.clear();
      lane.likelihoods.clear();
      live.blocks.back().branches[static_cast<std::size_t>(lane.branch) - 1].token_ids.clear();
    }
    behind = true;
  }
}

// Takes back what has been read of an item whose lead is not judged, or not plausible.
void Engine::Impl::take_item_back(RequestState& live) {
  Drafts& drafts = *live.drafts;
  Lane& lane = live.branches[drafts.owner];
  const std::size_t n = drafts.n_of_item();
  if (drafts.owner != drafts.n_judged || n == 0) return;
  if (!live.trunk.rewind(n, std::min(n, live.trunk.pending.size()), -1)) return;
  const std::size_t n_taken = n_text(lane.kinds);
  live.n_sampled -= n_taken;
  drafts.n_sampled -= n_taken;
  lane.kinds.clear();
  lane.likelihoods.clear();
  live.blocks.back().branches[drafts.owner].token_ids.clear();
  const auto n_bytes = static_cast<std::size_t>(drafts.n_read - drafts.owner_begin);
  drafts.held.resize(drafts.held.size() - std::min(n_bytes, drafts.held.size()));
  drafts.n_read = drafts.owner_begin;
  drafts.at = drafts.owner_at;
}

// The trunk goes on by itself from here. reason: of the branches that have not been read to their ends.
void Engine::Impl::end_check(RequestState& live, FinishReason reason) {
  Drafts& drafts = *live.drafts;
  Lane& trunk = live.trunk;
  const bool waits = live.request.draft_check == DraftCheck::kLead && drafts.awaits_lead();
  if (waits) take_item_back(live);
  const std::string rest =
      show_parts(live, std::move(drafts.held), waits ? drafts.n_judged : drafts.ends.size());
  if (live.stop_met()) drop_behind_stop(live);
  end_shown(live);
  move_untold(live);
  for (std::size_t i = drafts.shown; i < live.branches.size(); ++i) {
    Lane& lane = live.branches[i];
    end_checked(live, lane, lane.text->stopped() ? lane.reason : reason);
  }
  if (drafts.respells()) {  // the answer ends before the drafts were read
    const std::vector<Token> ids = model_->tokenize(drafts.rest, false);
    trunk.pending.insert(trunk.pending.end(), ids.begin(), ids.end());
    trunk.kinds.insert(trunk.kinds.end(), ids.size(), Lane::Kind::kFed);
  }
  live.timings.rewound_tokens +=
      static_cast<std::int64_t>(live.n_drafted - std::min(live.n_drafted, drafts.n_sampled));
  live.n_drafted = 0;
  trunk.text = std::move(drafts.text);
  live.drafts.reset();
  live.checked.reset();
  live.guesses.last = trunk.pending.empty() ? trunk.record.token_ids.back() : trunk.pending.back();
  leave_list(live);
  show(live, trunk, rest);
}

// Tokens whose text is still held back when their branches end are the trunk's, as that text is.
void Engine::Impl::move_untold(RequestState& live) {
  Lane& trunk = live.trunk;
  if (live.request.n_logprobs < 0 || live.stop_met()) return;
  trunk.likelihoods.resize(trunk.kinds.size());
  std::size_t end = trunk.kinds.size();
  for (std::size_t i = live.branches.size(); i > live.drafts->shown; --i) {
    Lane& lane = live.branches[i - 1];
    const std::size_t begin = end - lane.kinds.size();
    for (std::size_t n = lane.n_told; n < lane.kinds.size(); ++n) {
      trunk.kinds[begin + n] = lane.kinds[n];
      if (n < lane.likelihoods.size()) trunk.likelihoods[begin + n] = std::move(lane.likelihoods[n]);
    }
    lane.kinds.resize(std::min(lane.kinds.size(), lane.n_told));
    lane.likelihoods.resize(std::min(lane.likelihoods.size(), lane.kinds.size()));
    end = begin;
  }
}

// Every draft stands. What follows the list is the trunk's own; it is what the outline wrote where that is no
// draft too.
void Engine::Impl::close_check(RequestState& live) {
  const bool whole = live.drafts->whole;
  const std::unique_ptr<Outline> outline = std::move(live.checked);
  const bool counts = tail_counts(live, *outline);
  end_check(live, whole ? live.branches.back().reason : FinishReason::kRejected);
  if (live.request.draft_check == DraftCheck::kExact || !whole) return;
  const std::size_t n_tail = counts ? outline->tail.token_ids.size() : 0;
  if (!outline->ends_answer || n_tail > tokens_left(live)) {
    ask_end(live, *outline);
    return;
  }
  if (!counts) outline->tail = {};
  if (counts) feed_separator(live, *outline);
  live.n_sampled += n_tail;
  live.timings.rewound_tokens -= static_cast<std::int64_t>(n_tail);
  end_with_tail(live, *outline);
}

}  // namespace aspd
