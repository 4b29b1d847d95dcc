#include "request_state.h"

#include <algorithm>

#include "utf8.h"

namespace aspd {

void Lane::decoded(std::size_t n) {
  sequence.record(next, n);
  commit(n);
}

void Lane::commit(std::size_t n) {
  for (std::size_t i = 0; i < n; ++i)
    record.push(pending[i], next + static_cast<Pos>(i), layout_block, branch);
  next += static_cast<Pos>(n);
  pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(n));
}

bool Lane::rewind(std::size_t n, std::size_t undecoded, Token ban) {
  const std::size_t cut = record.size() - (n - undecoded);  // first token that goes
  const Token before = record.token_ids[cut - 1];
  const Pos position = record.positions[cut - 1];
  if (!sequence.truncate(position)) return false;
  record.truncate(cut - 1);
  pending = {before};
  next = position;
  wants_token = true;
  kinds.resize(kinds.size() - std::min(n, kinds.size()));
  likelihoods.resize(std::min(likelihoods.size(), kinds.size()));
  sampler->rewind(n);
  if (ban_position != position + 1) bans.clear();
  ban_position = position + 1;
  if (ban >= 0) bans.push_back(ban);
  return true;
}

void Lane::begin_again(Pos fork_position) {
  pending.insert(pending.begin(), record.token_ids.begin(), record.token_ids.end());
  record = Layout();
  next = fork_position;
  sequence = Sequence();
}

std::vector<Token> Lane::token_ids() const {
  std::vector<Token> ids = record.token_ids;
  ids.insert(ids.end(), tail.begin(), tail.end());
  return ids;
}

void RequestState::add_time(double seconds) {
  switch (phase) {
    case Phase::kQueued: break;
    case Phase::kPrompt:
    case Phase::kPromptBlock: timings.prompt_s += seconds; break;
    case Phase::kBlock: timings.branch_s += seconds; break;
    case Phase::kCheck:
    case Phase::kJoin: timings.join_s += seconds; break;
    case Phase::kTrunk:
      (trunk.parser->state() == Parser::State::kPlan ? timings.plan_s : timings.trunk_s) += seconds;
      break;
  }
}

Layout RequestState::answer_layout() const {
  Layout layout;
  for (std::size_t i = request.prompt.size(); i < trunk.record.size(); ++i) {
    layout.push(trunk.record.token_ids[i], trunk.record.positions[i], trunk.record.block_ids[i],
                trunk.record.branch_ids[i]);
  }
  if (phase == Phase::kPrompt || phase == Phase::kPromptBlock) return layout;
  for (std::size_t i = 0; i < trunk.pending.size(); ++i) {
    layout.push(trunk.pending[i], trunk.next + static_cast<Pos>(i), 0, 0);
  }
  for (const Lane& lane : branches) {
    Pos position = trunk.next;
    for (const Token token : lane.token_ids()) layout.push(token, position++, lane.layout_block, lane.branch);
  }
  return layout;
}

void RequestState::cut_at_stop() {
  std::size_t left = stop_search->n_bytes();
  bool behind = false;
  for (Segment& segment : segments) {
    const bool cut = !behind && segment.text.size() > left;
    if (behind || cut) {
      segment.text.resize(behind ? 0 : left);
      segment.n_sent = segment.text.size();
    }
    left -= std::min(left, segment.text.size());
    for (Lane& lane : branches) {
      if (lane.block == segment.block && lane.branch == segment.branch && lane.text && (behind || cut))
        lane.text->stop();
    }
    if (behind && segment.block > 0) {
      BranchResult& result = blocks[static_cast<std::size_t>(segment.block) - 1]
                                 .branches[static_cast<std::size_t>(segment.branch) - 1];
      result.n_tokens = 0;
      if (result.reason != FinishReason::kRejected) result.reason = FinishReason::kCancelled;
    }
    behind = behind || cut;
  }
}

void RequestState::drop_untold_blocks() {
  if (blocks.size() <= stop_search->n_blocks()) return;
  blocks.resize(stop_search->n_blocks());
  for (Segment& segment : segments) {
    if (static_cast<std::size_t>(segment.block) > blocks.size()) segment.block = segment.branch = 0;
  }
}

Result RequestState::result(FinishReason reason, double one_lane_s) const {
  Result result;
  result.finish_reason = reason;
  result.fallback = fallback;
  result.looped = looped;
  if (stop_met()) result.stop_match = stop_search->match();
  result.from_serial_prompt = from_serial_prompt;
  result.layout = answer_layout();
  result.blocks = blocks;
  std::size_t at = 0;
  for (const Segment& segment : segments) {
    const std::size_t n = count_code_points(segment.text);
    if (segment.block > 0) {
      BranchResult& branch = result.blocks[static_cast<std::size_t>(segment.block) - 1]
                                 .branches[static_cast<std::size_t>(segment.branch) - 1];
      branch.span_begin = at + count_code_points(std::string_view(segment.text).substr(0, segment.n_heading));
      branch.span_end = at + n;
    }
    result.text += segment.text;
    at += n;
  }

  Timings& t = result.timings;
  t = timings;
  t.trunk_tokens = static_cast<std::int64_t>(n_text(trunk.kinds));
  t.plan_tokens += std::count(trunk.kinds.begin(), trunk.kinds.end(), Lane::Kind::kMarkup);
  for (const BlockResult& block : result.blocks) {
    for (const BranchResult& branch : block.branches)
      t.branch_tokens += static_cast<std::int64_t>(branch.n_tokens);
  }
  t.total_s = seconds_since(submitted);
  t.one_lane_s = one_lane_s;
  // A serial run writes the trunk and the branches, but no plan.
  const double decode_s = t.trunk_s + t.plan_s + t.branch_s + t.join_s;
  if (decode_s > 0) t.speedup = static_cast<double>(t.trunk_tokens + t.branch_tokens) * one_lane_s / decode_s;
  return result;
}

}  // namespace aspd
