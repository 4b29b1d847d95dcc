// What a token leads to: text, a fork, the end of a branch, a step back, a join.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "aspd/lists.h"
#include "engine_impl.h"
#include "utf8.h"

namespace aspd {

namespace {

// Cells that every branch should at least find for its body, or the plan is decoded serially.
constexpr std::size_t kLeastBody = 16;
// Steps back at one position before the lane is ended: the model insists on a marker.
constexpr std::size_t kMostBans = 64;
constexpr std::size_t kWholeHistory = static_cast<std::size_t>(-1);  // of a sampler, left behind

bool keeps_cells(JoinRule rule) { return rule == JoinRule::kSum || rule == JoinRule::kLongest; }

// What must stand between a text and a new paragraph.
std::string paragraph_break(const std::string& before) {
  if (before.empty()) return "";
  const std::size_t last = before.find_last_not_of('\n');
  const std::size_t newlines = last == std::string::npos ? before.size() : before.size() - last - 1;
  return newlines >= 2 ? "" : std::string(2 - newlines, '\n');
}

// Whether titles may be in a text's language, as far as writing systems tell.
bool is_written_as(const std::string& text, const std::vector<std::string>& titles) {
  std::uint32_t used = 0;
  for (const std::string& title : titles) used |= scripts_of(title);
  const std::uint32_t wanted = main_scripts_of(text);
  return wanted == 0 || used == 0 || (wanted & used) != 0;
}

}  // namespace

// --- the prompt -------------------------------------------------------------------------------------------

// Puts the next stretch of the prompt on its way: a run of the trunk, or the branches of a block.
void Engine::Impl::advance_prompt(RequestState& live) {
  const Layout& prompt = live.request.prompt;
  Lane& trunk = live.trunk;
  std::size_t at = trunk.record.size();
  trunk.next = prompt.positions[at];
  if (prompt.block_ids[at] == 0) {
    trunk.pending.clear();
    while (at < prompt.size() && prompt.block_ids[at] == 0) trunk.pending.push_back(prompt.token_ids[at++]);
    live.phase = RequestState::Phase::kPrompt;
    trunk.wants_token = at == prompt.size();
    if (trunk.wants_token && live.request.plan_always && live.protocol() != nullptr) open_plan(live);
    return;
  }
  live.phase = RequestState::Phase::kPromptBlock;
  const std::int32_t block = prompt.block_ids[at];
  for (; prompt.block_ids[at] == block; ++at) {
    if (live.branches.empty() || live.branches.back().branch != prompt.branch_ids[at]) {
      live.branches.emplace_back();
      live.branches.back().block = block;
      live.branches.back().layout_block = block;
      live.branches.back().branch = prompt.branch_ids[at];
      live.branches.back().stage = Lane::Stage::kWaiting;
      live.branches.back().next = trunk.next;
    }
    live.branches.back().pending.push_back(prompt.token_ids[at]);
  }
}

// The tokens of the marker with which a plan begins.
std::vector<Token> Engine::Impl::plan_opening(const Protocol& protocol) const {
  const Marker& marker = protocol.plan_open.text.empty() ? protocol.item_open : protocol.plan_open;
  if (marker.id >= 0) return {marker.id};
  return model_->tokenize(marker.text, false);
}

// The engine writes the plan's opening marker itself.
void Engine::Impl::open_plan(RequestState& live) {
  live.trunk.parser->ask_for_plan();
  (void)feed(live, plan_opening(*live.protocol()));
}

// The first token of the plan that the model would begin here; none (-1) where it is too unlikely to.
Token Engine::Impl::decide_on_plan(const RequestState& live, const float* logits) const {
  const Token opening = plan_opening(*live.protocol()).front();
  for (const auto& [token, bias] : live.request.sampling.logit_bias) {
    if (token == opening && std::isinf(bias)) return -1;
  }
  const double logprob = likelihood_of(opening, logits, model_->n_vocab(), 0).logprob;
  return std::exp(logprob) >= live.request.plan_threshold ? opening : -1;
}

// Tokens of the trunk that the engine writes instead of the model. What the last one leads to.
Outcome Engine::Impl::feed(RequestState& live, const std::vector<Token>& ids) {
  Outcome outcome;
  for (const Token id : ids) {
    outcome = live.trunk.parser->accept(id, model_->piece(id));
    live.trunk.sampler->accept(id);
    live.trunk.kinds.push_back(Lane::Kind::kFed);
    live.trunk.pending.push_back(id);
    ++live.timings.seed_tokens;
  }
  return outcome;
}

// A plan has just been opened, and the question lists its parts: the plan is fed. False: it is to be written.
bool Engine::Impl::plan_as_asked(RequestState& live) {
  Lane& trunk = live.trunk;
  if (live.request.asked_parts.empty() || !trunk.parser->plan_is_empty()) return false;
  std::vector<AskedPart> asked = std::move(live.request.asked_parts);
  live.request.asked_parts.clear();
  const Protocol& protocol = *live.protocol();
  const auto marker = [](const Marker& it) { return SeedPart{SeedPart::Kind::kMarker, "", it}; };
  std::vector<SeedPart> plan;
  for (const AskedPart& part : asked) {
    const bool open = plan.empty() && trunk.parser->in_item();
    if (!open && !protocol.item_open.text.empty()) plan.push_back(marker(protocol.item_open));
    plan.push_back({SeedPart::Kind::kText, part.title, {}});
    plan.push_back(marker(protocol.item_close));
  }
  plan.push_back(marker(protocol.plan_close));
  if (protocol.text_markers) plan.push_back({SeedPart::Kind::kText, "\n", {}});
  std::vector<Token> ids = seed_ids(protocol, plan, "", 0);
  if (trunk.parser->needs_newline()) {
    const std::vector<Token> newline = model_->tokenize("\n", false);
    ids.insert(ids.begin(), newline.begin(), newline.end());
  }
  Parser trial = *trunk.parser;
  Outcome last;
  for (std::size_t i = 0; i < ids.size() && last.action == Action::kNone; ++i) {
    last = trial.accept(ids[i], model_->piece(ids[i]));
    if (last.action == Action::kFork)
      ids.resize(i + 1);  // the newline is a token of its own: the seed has it
  }
  if (last.action != Action::kFork || last.titles.size() != asked.size()) return false;
  const Outcome outcome = feed(live, ids);
  live.asked = std::move(asked);
  apply(live, trunk, outcome, trunk.pending.size());
  if (!live.forking) live.asked.clear();
  return true;
}

// --- tokens -----------------------------------------------------------------------------------------------

// Chooses a token for each lane that has logits, on all threads: a lane's sampler and parser are its own.
void Engine::Impl::sample(std::vector<LaneSpan>& shares) {
  std::vector<LaneSpan*> rows;
  for (LaneSpan& share : shares) {
    if (share.row >= 0) rows.push_back(&share);
  }
  runner_.parallel_for(static_cast<std::int32_t>(rows.size()),
                       [&](std::int32_t i) { choose(*rows[static_cast<std::size_t>(i)]); });
}

void Engine::Impl::choose(LaneSpan& share) {
  float* logits = runner_.logits(share.row);
  const Lane& lane = *share.lane;
  std::vector<Token> banned = lane.parser->banned();
  if (lane.ban_position == lane.next) banned.insert(banned.end(), lane.bans.begin(), lane.bans.end());
  Allowed allowed;
  if (lane.outlines) {
    const OutlineReader& reader = share.live->outline->reader;
    allowed = [&](Token token) { return model_->is_eog(token) || reader.allows(model_->piece(token)); };
  } else if (lane.parser->restricts()) {
    allowed = [&](Token token) {
      return !model_->is_eog(token) && lane.parser->allows(token, model_->piece(token));
    };
  }
  if (choose_draft(share, logits)) return;
  const std::int32_t n_vocab = model_->n_vocab();
  const std::int32_t n_logprobs = share.live->request.n_logprobs;
  std::vector<float> before;  // the sampler changes the row
  const bool tells = n_logprobs >= 0 || (lane.outlines && share.live->outline->reader.weighs());
  if (tells) before.assign(logits, logits + n_vocab);
  if (share.live->decides_on_plan(lane)) {
    share.sampled = decide_on_plan(*share.live, logits);
  } else {
    share.sampled = lane.sampler->sample(logits, n_vocab, banned, allowed);
  }
  if (tells && share.sampled >= 0)
    share.likelihood = likelihood_of(share.sampled, before.data(), n_vocab, n_logprobs);
}

// Takes tokens as long as the model chooses what was drafted. The sequence holds the drafts' cells already;
// where it is handed on, those that are left are freed.
void Engine::Impl::take_drafted(LaneSpan& share) {
  RequestState& live = *share.live;
  Lane& lane = *share.lane;
  const bool branch = lane.block > 0;
  for (const Token draft : share.drafts) {
    if (share.sampled != draft) break;
    take_sampled(share);
    if (live.finished || (branch && live.branches.empty())) return;  // the answer, the block is over
    if (lane.pending.empty() || lane.sequence.pos_max() < lane.next)
      return;  // the lane is over, or steps back
    if (lane.pending.size() > 1 || live.found) break;
    lane.commit(1);
    if (!lane.wants_token) break;
    ++share.row;
    choose(share);
  }
  (void)lane.sequence.truncate(lane.next);
  if (!lane.pending.empty()) return;
  if (lane.wants_token) {
    take_sampled(share);
  } else {
    on_pending_decoded(live, lane);
  }
}

void Engine::Impl::take_sampled(LaneSpan& share) {
  RequestState& live = *share.live;
  Lane& lane = *share.lane;
  Token token = share.sampled;
  if (live.phase == RequestState::Phase::kPrompt || live.phase == RequestState::Phase::kJoin)
    live.phase = RequestState::Phase::kTrunk;
  if (lane.script_at < lane.script.size()) token = lane.script[lane.script_at++];
  if (live.timings.first_token_s == 0) live.timings.first_token_s = seconds_since(live.submitted);
  if (live.in_list() && tokens_left(live) == 0) {  // taken by a lane of this step
    finish(live, FinishReason::kLength);
    return;
  }
  if (lane.outlines) {
    take_outlined(live, token, std::move(share.likelihood));
  } else if (token < 0) {
    no_token(live, lane, false);
  } else {
    take_token(live, lane, token, std::move(share.likelihood));
  }
}

// The answer does not begin with a plan that can be used: the question is asked anew, without instructions.
bool Engine::Impl::answer_serial_prompt(RequestState& live, const Lane& lane) {
  if (!live.request.serial_prompt || lane.block > 0 || !live.blocks.empty()) return false;
  (void)live.trunk.sequence.truncate(live.trunk.next);  // drafts
  live.timings.rewound_tokens += static_cast<std::int64_t>(live.n_sampled);
  live.timings.first_token_s = 0;
  live.n_sampled = 0;
  live.forking = false;
  const Layout& read = live.request.prompt;
  Lane& trunk = live.trunk;
  if (live.request.retain && trunk.sequence) {  // the next question has these instructions too
    const bool whole = trunk.record.size() <= read.size();
    if (whole || trunk.sequence.truncate(read.positions.back() + 1)) {
      trunk.record.truncate(std::min(trunk.record.size(), read.size()));
      prefix_cache_.keep(std::move(trunk.sequence), std::move(trunk.record));
    }
  }
  live.request.protocol.reset();
  live.phase = RequestState::Phase::kQueued;
  begin_trunk(live);
  return true;
}

// The lane has no next token: the model ends it (eog), or nothing may be chosen.
void Engine::Impl::no_token(RequestState& live, Lane& lane, bool eog) {
  Parser& parser = *lane.parser;
  if (parser.state() == Parser::State::kPlan) {
    apply(live, lane,
          eog ? parser.give_up_plan("the answer ended inside its plan")
              : parser.no_way_on("no token is allowed in the plan"),
          0);
  } else if (lane.block > 0) {
    lane.ended_answer = eog;
    leave_branch(live, lane, FinishReason::kStop);
  } else if (!answer_serial_prompt(live, lane)) {
    finish(live, FinishReason::kStop);
  }
}

void Engine::Impl::take_token(RequestState& live, Lane& lane, Token token, Likelihood likelihood) {
  const bool trunk = lane.block == 0;
  if (trunk && plan_as_asked(live)) return;  // of a plan that was asked for, nothing is sampled yet
  if (live.phase == RequestState::Phase::kCheck && take_checked(live, token, likelihood)) return;

  if (model_->is_eog(token)) {
    no_token(live, lane, true);
    return;
  }
  ++(lane.unchecked ? live.n_drafted : live.n_sampled);
  if (trunk) live.guesses.follow(token);
  lane.sampler->accept(token);
  lane.kinds.push_back(Lane::Kind::kText);
  if (live.request.n_logprobs >= 0) {
    lane.likelihoods.resize(lane.kinds.size());
    lane.likelihoods.back() = std::move(likelihood);
  }
  lane.pending = {token};
  lane.wants_token = true;
  const std::string piece = model_->piece(token);
  if (live.in_list()) {
    Outcome outcome;
    outcome.text = lane.item->push(piece);
    const bool serial = lane.branch == 1 && live.is_exact();
    if (lane.item->ended() || (!serial && goes_round(lane))) outcome.action = Action::kBranchEnd;
    if (lane.unchecked) outcome.text.clear();
    apply(live, lane, outcome, 1);
  } else {
    apply(live, lane, lane.parser->accept(token, piece), 1);
  }
  const bool drafts = live.in_list() && lane.unchecked && !lane.ended;
  if (drafts && live.n_drafted >= tokens_left(live)) leave_branch(live, lane, FinishReason::kLength);
  if (!live.finished) follow(live, lane, piece);
  if (trunk && !live.finished && live.phase == RequestState::Phase::kTrunk) (void)plan_as_asked(live);
  if (!live.finished) end_loop(live, lane);
  if (!live.finished && tokens_left(live) == 0 && !answer_serial_prompt(live, lane))
    finish(live, FinishReason::kLength);
}

// Ends what repeats itself for ever: the answer, or a branch of a plan. Items of lists end earlier.
void Engine::Impl::end_loop(RequestState& live, Lane& lane) {
  const bool is_trunk = lane.block == 0 || (live.in_list() && lane.branch == 1 && live.is_exact());
  if (!live.request.loop_guard || lane.ended || (!is_trunk && live.in_list())) return;
  if (!lane.sampler->loops([this](Token token) { return model_->piece(token); })) return;
  if (is_trunk) {
    live.looped = true;
    finish(live, FinishReason::kLength);
  } else {
    leave_branch(live, lane, FinishReason::kLength);
  }
}

// undecoded: tokens of the outcome's n_rewind that are not in the cells.
void Engine::Impl::apply(RequestState& live, Lane& lane, const Outcome& outcome, std::size_t undecoded) {
  if (outcome.action == Action::kFork) {
    live.titles = outcome.titles;
    if (live.request.serial_prompt && !is_written_as(live.request.question, live.titles)) {
      apply(live, lane,
            lane.parser->give_up_plan("its titles are in another writing system than the question"),
            undecoded);
      return;
    }
    if (!finds_room(cells_for_branches(live), live)) {
      apply(live, lane, lane.parser->give_up_plan("cells for the branches are missing"), undecoded);
      return;
    }
    if (!live.request.plan_always && !curve_.empty() && gain_of_plan(live) < kLeastGain) {
      apply(live, lane,
            lane.parser->give_up_plan("the branches would not pay: too narrow a gain is predicted"),
            undecoded);
      return;
    }
    live.forking = true;
    lane.wants_token = false;
  }
  if (outcome.action == Action::kRewind && !outcome.fallback.empty()) live.fallback = outcome.fallback;
  const bool says_something = outcome.action != Action::kFork && !outcome.text.empty();
  if ((says_something || !outcome.fallback.empty()) && answer_serial_prompt(live, lane)) return;
  for (std::size_t i = 0; i < std::min(outcome.n_markup, lane.kinds.size()); ++i) {
    Lane::Kind& kind = lane.kinds[lane.kinds.size() - 1 - i];
    if (kind == Lane::Kind::kText) kind = Lane::Kind::kMarkup;
  }
  show(live, lane, lane.text->push(outcome.text));
  if (lane.text->stopped()) {
    meet_stop(live, lane);
    return;
  }
  if (outcome.action == Action::kRewind) rewind(live, lane, outcome, undecoded);
  if (outcome.action == Action::kBranchEnd) leave_branch(live, lane, FinishReason::kStop);
}

void Engine::Impl::rewind(RequestState& live, Lane& lane, const Outcome& outcome, std::size_t undecoded) {
  const std::size_t taken = std::min(outcome.n_rewind, lane.kinds.size());
  const auto sampled = static_cast<std::size_t>(
      std::count_if(lane.kinds.end() - static_cast<std::ptrdiff_t>(taken), lane.kinds.end(),
                    [](Lane::Kind kind) { return kind != Lane::Kind::kFed; }));
  const bool insists = outcome.fallback.empty() && lane.bans.size() >= kMostBans;
  if (insists || !lane.rewind(outcome.n_rewind, undecoded, outcome.ban)) {
    lane.pending.clear();
    no_token(live, lane, false);
    return;
  }
  live.n_sampled -= sampled;
  live.timings.rewound_tokens += static_cast<std::int64_t>(sampled);
}

// All that a lane had to decode is decoded, and it asks for no token.
void Engine::Impl::on_pending_decoded(RequestState& live, Lane& lane) {
  if (lane.block > 0) {
    close_branch(live, lane);
    close_block_when_done(live);
    return;
  }
  if (live.forking) {
    begin_block(live);
  } else if (live.phase == RequestState::Phase::kPrompt) {
    advance_prompt(live);
  }
}

// --- blocks -----------------------------------------------------------------------------------------------

std::vector<Token> Engine::Impl::seed_ids(const Protocol& protocol, const std::vector<SeedPart>& parts,
                                          const std::string& title, int number) const {
  std::vector<Token> ids;
  std::string text;
  const auto flush_text = [&] {
    const std::vector<Token> more = model_->tokenize(text, false);
    ids.insert(ids.end(), more.begin(), more.end());
    text.clear();
  };
  for (const SeedPart& part : parts) {
    switch (part.kind) {
      case SeedPart::Kind::kText: text += part.text; break;
      case SeedPart::Kind::kTitle: text += title; break;
      case SeedPart::Kind::kNumber: text += std::to_string(number); break;
      case SeedPart::Kind::kMarker:
        if (protocol.text_markers) {
          text += part.marker.text;
        } else {
          flush_text();
          ids.push_back(part.marker.id);
        }
        break;
    }
  }
  flush_text();
  return ids;
}

std::size_t Engine::Impl::cells_for_branches(const RequestState& live) const {
  std::size_t n = 1;  // the plan's last token
  int number = 0;
  for (const std::string& title : live.titles) {
    n += seed_ids(*live.protocol(), live.protocol()->branch_seed, title, ++number).size() + kLeastBody;
  }
  // `linear` decodes the branches' text once more, after their cells are free again.
  return n;
}

// A block that is forked now, as far as it is known without its titles: they make its seeds.
BlockForecast Engine::Impl::forecast(const Protocol& protocol, std::int32_t n_branches) const {
  BlockForecast block;
  block.n_branches = n_branches;
  block.body_tokens = protocol.branch_tokens;
  block.decoded_again = protocol.decodes_again();
  block.most = options_.n_lanes;
  block.depth = cache_.cells_in_use();
  return block;
}

// Predicted speed-up of the block that is about to be forked.
double Engine::Impl::gain_of_plan(const RequestState& live) const {
  const Protocol& protocol = *live.protocol();
  BlockForecast block = forecast(protocol, static_cast<std::int32_t>(live.titles.size()));
  int number = 0;
  for (const std::string& title : live.titles) {
    block.seed_tokens +=
        static_cast<double>(seed_ids(protocol, protocol.branch_seed, title, ++number).size()) /
        block.n_branches;
  }
  return predicted_gain(curve_, block);
}

void Engine::Impl::begin_block(RequestState& live) {
  const Protocol& protocol = *live.protocol();
  live.forking = false;
  live.phase = RequestState::Phase::kBlock;
  flush(live, live.trunk);
  live.blocks.emplace_back();
  const auto block = static_cast<std::int32_t>(live.blocks.size());

  send_fork(live, live.trunk.offset);

  const std::vector<std::int32_t>& prompt_blocks = live.request.prompt.block_ids;
  const std::int32_t n_before = *std::max_element(prompt_blocks.begin(), prompt_blocks.end());
  const std::string before = live.segments.empty() ? "" : live.segments.back().text;
  std::vector<SeedPart> seed = protocol.branch_seed;
  if (live.trunk.parser->plan_ends_line() && seed.front().text.substr(0, 1) == "\n")
    seed.front().text.erase(0, 1);  // the plan's closing marker brought it
  live.branches.clear();
  for (std::size_t i = 0; i < live.titles.size(); ++i) {
    const int number = static_cast<int>(i) + 1;
    live.branches.emplace_back();
    Lane& lane = live.branches.back();
    lane.block = block;
    lane.branch = number;
    lane.layout_block = n_before + block;
    lane.stage = Lane::Stage::kWaiting;
    lane.next = live.trunk.next;
    lane.pending = seed_ids(protocol, seed, live.titles[i], number);
    live.timings.seed_tokens += static_cast<std::int64_t>(lane.pending.size());
    lane.wants_token = true;
    lane.sampler =
        std::make_unique<Sampler>(live.trunk.sampler->fork(stream_of(block, number), kWholeHistory));
    lane.parser = std::make_unique<Parser>(&protocol, Parser::State::kBranch, live.request.max_branches);
    lane.text = std::make_unique<LaneText>();
    if (++live.n_branches < live.request.script.size()) lane.script = live.request.script[live.n_branches];
    live.blocks.back().branches.emplace_back();
    live.blocks.back().branches.back().title = live.titles[i];

    lane.segment = live.segments.size();
    live.segments.push_back({block, number, "", 0, 0});
    const bool asked = !live.asked.empty();
    std::string heading = asked ? live.asked[i].heading : fill(protocol.text_before, live.titles[i], number);
    if (protocol.strip_body) {
      heading = (i == 0 ? paragraph_break(before) : asked ? "" : "\n\n") + heading;
      lane.text->begin_paragraph("", true);
    }
    live.segments.back().n_heading = heading.size();
    show(live, lane, heading);
  }
  live.asked.clear();
}

// Forks as many waiting branches as there are lanes, ids and cells for, the earliest first.
void Engine::Impl::start_waiting(RequestState& live, std::size_t& lanes) {
  for (Lane& lane : live.branches) {
    if (lane.stage != Lane::Stage::kWaiting) continue;
    if (lanes >= static_cast<std::size_t>(options_.n_lanes)) return;
    if (!make_sequence()) return;
    // Branches that have ended may be joined already: only what lies before the fork is shared.
    lane.sequence = live.trunk.sequence.fork(lane.next);
    lane.stage = Lane::Stage::kRunning;
    ++lanes;
  }
}

// The lanes of a request that have something to decode.
std::vector<Lane*> Engine::Impl::running_lanes(RequestState& live) const {
  Lane* outline = live.outline && !live.outline->over ? &live.outline->lane : nullptr;
  if (!live.in_block()) {
    if (outline != nullptr) return {&live.trunk, outline};
    return {&live.trunk};
  }
  std::vector<Lane*> lanes;
  for (Lane& lane : live.branches) {
    if (lane.stage == Lane::Stage::kRunning || lane.stage == Lane::Stage::kClosing) lanes.push_back(&lane);
  }
  if (outline != nullptr) lanes.insert(lanes.begin() + (lanes.empty() ? 0 : 1), outline);
  return lanes;
}

std::size_t Engine::Impl::count_running() const {
  std::size_t n = 0;
  for (const auto& live : running_) n += running_lanes(*live).size();
  return n;
}

void Engine::Impl::end_branch(RequestState& live, Lane& lane, FinishReason reason) {
  const Protocol& protocol = *live.protocol();
  const bool marker = lane.parser->state() == Parser::State::kBranch && !lane.pending.empty() &&
                      reason == FinishReason::kStop;  // it wrote its own closing marker
  if (!lane.text->stopped()) flush(live, lane);
  // A branch that was cut has not written what parts it from the next one.
  const bool last = static_cast<std::size_t>(lane.branch) == live.branches.size();
  if (reason != FinishReason::kStop && !last && !protocol.strip_body)
    show(live, lane, paragraph_break(live.segments[lane.segment].text));
  lane.reason = reason;
  lane.wants_token = false;
  lane.stage = Lane::Stage::kClosing;

  BranchResult& result = live.blocks.back().branches[static_cast<std::size_t>(lane.branch) - 1];
  result.n_tokens = n_text(lane.kinds);
  live.timings.plan_tokens += std::count(lane.kinds.begin(), lane.kinds.end(), Lane::Kind::kMarkup);
  result.reason = reason;

  if (!marker) {
    const std::vector<Token> closing = protocol.text_markers
                                           ? model_->tokenize(protocol.branch_close.text, false)
                                           : std::vector<Token>{protocol.branch_close.id};
    lane.pending.insert(lane.pending.end(), closing.begin(), closing.end());
    live.timings.seed_tokens += static_cast<std::int64_t>(closing.size());
  }
  lane.ended = true;
  send_in_turn(live);
}

// As end_branch(); cells that the join will not keep need not be filled, so such a branch is over at once.
void Engine::Impl::leave_branch(RequestState& live, Lane& lane, FinishReason reason) {
  if (live.in_list()) {  // the block goes on until conduct() ends it
    end_item(live, lane, reason);
    return;
  }
  end_branch(live, lane, reason);
  if (keeps_cells(live.protocol()->join_rule)) return;
  close_branch(live, lane);
  close_block_when_done(live);
}

// A branch that shall write no more, whether it runs or still waits for a lane.
void Engine::Impl::stop_branch(RequestState& live, Lane& lane) {
  const bool waits = lane.stage == Lane::Stage::kWaiting;
  if (!keeps_cells(live.protocol()->join_rule)) {
    leave_branch(live, lane, FinishReason::kCancelled);
    return;
  }
  end_branch(live, lane, FinishReason::kCancelled);
  if (waits) lane.stage = Lane::Stage::kWaiting;  // its seed and its end are still to be decoded
}

// The branch's last token is in its place. Joins it at once: other branches fork below its cells.
void Engine::Impl::close_branch(RequestState& live, Lane& lane) {
  const Pos fork_position = live.trunk.next;
  (void)lane.sequence.truncate(lane.next);  // drafts
  lane.stage = Lane::Stage::kDone;
  lane.tail = std::move(lane.pending);
  lane.pending.clear();
  if (live.phase == RequestState::Phase::kPromptBlock) {
    live.trunk.sequence.join(std::move(lane.sequence), fork_position);
  } else {
    const Protocol& protocol = *live.protocol();
    live.blocks.back().branches[static_cast<std::size_t>(lane.branch) - 1].token_ids = lane.token_ids();
    // Under `linear` the cells of the first branch are those that reading its text again would fill.
    const bool keeps = keeps_cells(protocol.join_rule)
                           ? lane.tail.empty()
                           : protocol.join_rule == JoinRule::kLinear && lane.branch == 1;
    if (keeps && lane.sequence) {
      live.trunk.sequence.join(std::move(lane.sequence), fork_position);
    } else {
      lane.sequence = Sequence();
    }
  }
}

void Engine::Impl::close_block_when_done(RequestState& live) {
  const bool all = std::all_of(live.branches.begin(), live.branches.end(),
                               [](const Lane& other) { return other.stage == Lane::Stage::kDone; });
  if (all) finish_block(live);
}

void Engine::Impl::finish_block(RequestState& live) {
  Lane& trunk = live.trunk;
  if (live.phase == RequestState::Phase::kPromptBlock) {
    for (const Lane& lane : live.branches) trunk.record.append(lane.record);
    live.branches.clear();
    advance_prompt(live);
    return;
  }
  const Protocol& protocol = *live.protocol();
  const Pos p = trunk.next;
  Pos sum = 0;
  Pos longest = 0;
  std::vector<Token> texts;
  for (const Lane& lane : live.branches) {
    const std::vector<Token> ids =
        lane.token_ids();  // of one that a stop string dropped too: the answer ends here
    sum += static_cast<Pos>(ids.size());
    longest = std::max(longest, static_cast<Pos>(ids.size()));
    texts.insert(texts.end(), ids.begin(), ids.end());
  }
  std::vector<Token> pending;
  std::size_t n_joined = 0;  // tokens of `texts` that are in the trunk's cells
  switch (protocol.join_rule) {
    case JoinRule::kSum: trunk.next = p + sum; break;
    case JoinRule::kLongest: trunk.next = p + longest; break;
    case JoinRule::kLinear:
      n_joined = live.branches.front().record.size();
      trunk.next = p + static_cast<Pos>(n_joined);
      pending.assign(texts.begin() + static_cast<std::ptrdiff_t>(n_joined), texts.end());
      break;
    case JoinRule::kDrop: break;
  }
  if (!live.stopping) {
    for (const Lane& lane : live.branches) {
      if (keeps_cells(protocol.join_rule)) trunk.record.append(lane.record);
    }
    for (std::size_t i = 0; i < n_joined; ++i) trunk.record.push(texts[i], p + static_cast<Pos>(i), 0, 0);
  }
  live.branches.clear();
  send_join(live);
  if (live.stopping) {  // back to the fork: the cells of the branches are not kept
    trunk.next = p;
    (void)trunk.sequence.truncate(p);
    live.phase = RequestState::Phase::kTrunk;
    finish(live, FinishReason::kStop);
    return;
  }
  trunk.parser->after_join(static_cast<int>(live.blocks.size()));
  if (protocol.ends_with_block) {  // what is pending is read where the chat goes on
    trunk.pending = std::move(pending);
    live.phase = RequestState::Phase::kTrunk;
    finish(live, FinishReason::kStop);
    return;
  }

  const std::vector<Token> seed = seed_ids(protocol, protocol.join_seed, "", 0);
  pending.insert(pending.end(), seed.begin(), seed.end());
  live.timings.seed_tokens += static_cast<std::int64_t>(pending.size());
  trunk.kinds.insert(trunk.kinds.end(), n_joined + pending.size(), Lane::Kind::kFed);
  if (pending.empty()) {  // `drop` without a seed: the plan's last token predicts what follows
    const std::size_t last = trunk.record.size() - 1;
    if (!trunk.sequence.truncate(trunk.record.positions[last])) throw std::logic_error("cannot step back");
    pending = {trunk.record.token_ids[last]};
    trunk.next = trunk.record.positions[last];
    trunk.record.truncate(last);
  }
  trunk.pending = std::move(pending);
  trunk.wants_token = true;
  if (protocol.strip_body) trunk.text->begin_paragraph("\n\n", false);
  live.phase = RequestState::Phase::kJoin;
}

// --- text -------------------------------------------------------------------------------------------------

// The lane's own text holds a stop string. What comes before it in reading order is still written: there may
// be another one.
void Engine::Impl::meet_stop(RequestState& live, Lane& lane) {
  if (live.stop_met()) {
    settle_stop(live);
    return;
  }
  stop_behind(live, lane);
  leave_branch(live, lane, FinishReason::kStop);
}

// A stop string was met in the text as it is read: the answer ends there.
void Engine::Impl::settle_stop(RequestState& live) {
  if (live.finished || !live.stop_met() || live.stop_settled) return;
  live.stop_settled = true;
  live.cut_at_stop();
  const auto cut = std::find_if(live.branches.begin(), live.branches.end(),
                                [](const Lane& lane) { return lane.text && lane.text->stopped(); });
  if (live.phase != RequestState::Phase::kBlock || cut == live.branches.end()) {
    finish(live, FinishReason::kStop);
    return;
  }
  stop_behind(live, *cut);
  if (!cut->ended && cut->stage != Lane::Stage::kWaiting) {
    leave_branch(live, *cut, FinishReason::kStop);
    return;
  }
  if (!cut->ended) end_at_once(*cut, FinishReason::kStop);
  send_in_turn(live);
  if (!live.in_list()) close_block_when_done(live);
}

// The lane writes no more; none of it is kept in the cells.
void Engine::Impl::end_at_once(Lane& lane, FinishReason reason) {
  lane.stage = Lane::Stage::kDone;
  lane.sequence = Sequence();
  lane.ended = true;
  lane.wants_token = false;
  lane.reason = reason;
}

// The answer ends in this lane's text: what the later ones have written is behind the end. None of it has
// been sent.
void Engine::Impl::stop_behind(RequestState& live, const Lane& lane) {
  live.stopping = true;
  if (live.outline) live.outline->over = true;
  for (Lane& later : live.branches) {
    if (later.branch <= lane.branch) continue;
    if (later.stage != Lane::Stage::kDone || later.unchecked) end_at_once(later, FinishReason::kCancelled);
    later.unchecked = false;
    live.segments[later.segment] = {later.block, later.branch, "", 0, 0};
    BranchResult& result = live.blocks.back().branches[static_cast<std::size_t>(later.branch) - 1];
    result.n_tokens = 0;
    result.reason = FinishReason::kCancelled;
  }
}

void Engine::Impl::flush(RequestState& live, Lane& lane) {
  std::string text;
  if (lane.parser && lane.parser->state() != Parser::State::kPlan)
    text = lane.text->push(lane.parser->flush());
  text += lane.text->finish();
  show(live, lane, text);
}

// Adds text of a lane to the answer and lets it out as events: at once, or in reading order where a stop
// string could still take it back.
void Engine::Impl::show(RequestState& live, Lane& lane, const std::string& text) {
  if (text.empty() || live.stop_met()) return;
  if (lane.block == 0 && (live.segments.empty() || live.segments.back().block != 0)) {
    lane.segment = live.segments.size();
    live.segments.push_back({0, 0, "", 0, 0});
  }
  std::string& said = live.segments[lane.segment].text;
  const std::size_t n_before = said.size();
  said += text;
  if (lane.block > 0 && live.stop_search && find_stop(said, live.request.stop, n_before).found())
    lane.text->stop();
  if (lane.block == 0 || !live.stop_search) {
    send(live, lane);
  } else {
    send_in_turn(live);
  }
  if (live.stop_met()) lane.text->stop();
}

// An event in reading order, where there are stop strings.
void Engine::Impl::tell(const RequestState& live, Event event) {
  if (live.stop_search) {
    live.stop_search->push(std::move(event), events_);
  } else {
    events_.push_back(std::move(event));
  }
}

void Engine::Impl::send_in_turn(RequestState& live) {
  for (Lane& lane : live.branches) {
    if (!lane.text) return;  // a block of the prompt
    if (lane.unchecked) return;
    send(live, lane);
    if (lane.ended && !lane.end_sent) {
      lane.end_sent = true;
      Event event = live.event(EventKind::kEnd, lane.block, lane.branch);
      event.reason = lane.reason;
      tell(live, std::move(event));
    }
    if (live.stop_search && !lane.ended) return;
  }
}

// The last block has these branches; offset: where in the trunk's text it begins.
void Engine::Impl::send_fork(const RequestState& live, std::size_t offset) {
  Event event = live.event(EventKind::kFork, static_cast<std::int32_t>(live.blocks.size()));
  event.offset = offset;
  event.titles = live.titles;
  tell(live, std::move(event));
}

void Engine::Impl::send_join(const RequestState& live) {
  tell(live, live.event(EventKind::kJoin, static_cast<std::int32_t>(live.blocks.size())));
}

// Tokens of the answer, from a lane's first on, that are its text by now.
std::size_t Engine::Impl::n_settled(const Lane& lane) const {
  if (lane.block == 0 || !lane.item)
    return lane.kinds.size() - std::min(lane.parser->n_held(), lane.kinds.size());
  // What an item reads on to find its end is not.
  std::vector<Token> ids = lane.token_ids();
  ids.insert(ids.end(), lane.pending.begin(), lane.pending.end());
  const std::size_t n_bytes = lane.n_seed_bytes + lane.item->size();
  std::size_t n = 0;
  for (std::size_t at = 0; n < std::min(ids.size(), lane.kinds.size()) && at < n_bytes; ++n)
    at += model_->piece(ids[n]).size();
  return n;
}

void Engine::Impl::send(RequestState& live, Lane& lane) {
  if (lane.segment >= live.segments.size()) return;
  Segment& segment = live.segments[lane.segment];
  if (segment.block != lane.block || segment.n_sent >= segment.text.size()) return;
  Event event = live.event(EventKind::kText, lane.block, lane.branch);
  event.offset = lane.offset;
  event.text = segment.text.substr(segment.n_sent);
  const std::size_t settled = lane.likelihoods.empty() ? 0 : n_settled(lane);
  for (; lane.n_told < std::min(settled, lane.likelihoods.size()); ++lane.n_told) {
    Likelihood& likelihood = lane.likelihoods[lane.n_told];
    if (lane.kinds[lane.n_told] == Lane::Kind::kText && likelihood.token >= 0)
      event.likelihoods.push_back(std::move(likelihood));
  }
  segment.n_sent = segment.text.size();
  lane.offset += count_code_points(event.text);
  tell(live, std::move(event));
}

}  // namespace aspd
