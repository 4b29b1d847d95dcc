// Requests and steps: who is admitted, what goes into a batch, what happens to a step that fails.
#include "aspd/engine.h"

#include <algorithm>
#include <stdexcept>

#include "aspd/backend.h"
#include "engine_impl.h"

namespace aspd {

namespace {

constexpr std::int32_t kMostSequences = 256;  // LLAMA_MAX_SEQ
constexpr std::int32_t kLeastCells = 256;     // llama.cpp rounds up to it, but cuts n_batch down before
constexpr std::size_t kReserve = 64;          // cells an admitted request should at least find for its answer
constexpr std::size_t kOneLaneTimes = 64;
constexpr std::size_t kMostReadTwice = 1024;  // tokens of a question that is read again if it does not fork
constexpr std::int32_t kUsualBranches = 4;    // of a block, before there is a plan
constexpr std::size_t kMostDrafts = 7;        // tokens decoded on the chance that they follow
constexpr std::size_t kWorthWaiting = 16;     // tokens of a prompt that another request is about to have read

void require(bool ok, const std::string& what) {
  if (!ok) throw std::invalid_argument(what);
}

bool one_of(const std::string& value, std::initializer_list<const char*> allowed) {
  return std::any_of(allowed.begin(), allowed.end(), [&](const char* other) { return value == other; });
}

// Trunks, lanes, finished answers, and one for scratch.
std::int32_t count_sequences(const EngineOptions& options) {
  return std::min(options.n_requests + options.n_lanes + options.n_retained + 1, kMostSequences);
}

EngineOptions filled(EngineOptions options, const Model& model) {
  require(!model.vocab_only(), "a model loaded with vocab_only cannot decode");
  if (!model.cannot_decode().empty()) throw ModelError(model.path(), model.cannot_decode());
  require(options.n_ctx >= 0, "n_ctx must not be negative");
  require(options.n_lanes >= 1 && options.n_lanes <= 128, "n_lanes must be between 1 and 128");
  require(options.n_requests >= 1 && options.n_requests <= options.n_lanes,
          "n_requests must be between 1 and n_lanes");
  require(options.n_retained >= 0 && options.n_retained <= 64, "n_retained must be between 0 and 64");
  require(options.n_batch >= 1 && options.n_batch <= 65536, "n_batch must be between 1 and 65536");
  require(options.n_threads >= 0 && options.n_threads <= 512, "n_threads must be between 0 and 512");
  require(options.n_threads_batch >= 0 && options.n_threads_batch <= 512,
          "n_threads_batch must be between 0 and 512");
  require(options.n_outputs_max >= 0 && options.n_outputs_max <= 65536,
          "n_outputs_max must be between 0 and 65536");
  require(one_of(options.flash_attn, {"auto", "on", "off"}), "flash_attn must be 'auto', 'on' or 'off'");
  require(one_of(options.cache_type, {"f32", "f16", "q8_0"}), "cache_type must be 'f32', 'f16' or 'q8_0'");
  require(options.cache_type != "q8_0" || options.flash_attn != "off", "a q8_0 cache needs flash attention");
  if (options.n_ctx == 0) options.n_ctx = std::min(model.n_ctx_train(), kDefaultCells);
  options.n_ctx = std::max(options.n_ctx, kLeastCells);
  options.n_batch = std::min(std::max(options.n_batch, options.n_lanes), options.n_ctx);
  if (model.has_encoder()) {
    require(options.cache_type != "q8_0", "a q8_0 cache needs flash attention, which this model cannot use");
    // What the encoder has read belongs to the context: one request at a time, nothing to go on from.
    options.n_requests = 1;
    options.n_lanes = 1;
    options.n_retained = 0;
    options.n_batch = std::max(options.n_batch, count_sequences(options));  // llama.cpp asserts it
    options.n_outputs_max = options.n_batch;  // llama.cpp reserves as many in any case
  }
  if (options.n_threads == 0) options.n_threads = physical_cores();
  if (options.n_threads_batch == 0) options.n_threads_batch = std::max(options.n_threads, physical_cores());
  return options;
}

}  // namespace

Engine::Impl::Impl(std::shared_ptr<const Model> model, EngineOptions options)
    : model_(std::move(model)),
      options_(filled(std::move(options), *model_)),
      decoder_(*model_, options_, count_sequences(options_),
               std::max(count_sequences(options_), options_.n_outputs_max)),
      cache_(decoder_.context(), decoder_.n_cells(), count_sequences(options_)),
      prefix_cache_(static_cast<std::size_t>(options_.n_retained), !model_->is_recurrent()),
      n_outputs_(std::max(count_sequences(options_), options_.n_outputs_max)),
      runner_(&decoder_, static_cast<std::size_t>(std::min(n_outputs_, options_.n_batch))),
      cannot_join_(model_->cannot_join()) {
  options_.n_ctx = static_cast<std::int32_t>(decoder_.n_cells());
  warm_up();
  if (cannot_join_.empty() && options_.self_test) cannot_join_ = self_test();
}

void Engine::Impl::check_prompt(const Layout& prompt) const {
  require(prompt.size() > 0, "the prompt is empty");
  prompt.validate();
  require(prompt.block_ids.back() == 0, "the prompt must end with a token of the trunk");
  for (const Token token : prompt.token_ids) {
    require(token >= 0 && token < model_->n_vocab(), "the prompt has a token id outside the vocabulary");
  }
  if (prompt.size() + 1 > cache_.n_cells()) throw ContextFullError(prompt.size() + 1, cache_.n_cells());
}

void Engine::Impl::check(const Request& request) const {
  const Layout& prompt = request.prompt;
  check_prompt(prompt);
  if (request.serial_prompt) check_prompt(*request.serial_prompt);
  require(!request.serial_prompt || request.script.empty(),
          "a script and a serial prompt exclude each other");
  require(request.plan_threshold >= 0 && request.plan_threshold <= 1,
          "plan_threshold must be between 0 and 1");
  require(request.plan_threshold == 0 || request.serial_prompt, "plan_threshold needs a serial prompt");
  require(request.asked_parts.empty() || request.script.empty(),
          "a script and asked parts exclude each other");
  require(request.max_tokens == -1 || request.max_tokens >= 1, "max_tokens must be at least 1, or -1");
  require(request.max_branches >= 1 && request.max_branches <= 64, "max_branches must be between 1 and 64");
  require(request.stop.size() <= 64, "at most 64 stop strings");
  for (const std::string& stop : request.stop) require(!stop.empty(), "a stop string is empty");
  for (const std::vector<Token>& lane : request.script) {
    for (const Token token : lane) {
      require(token >= 0 && token < model_->n_vocab(), "the script has a token id outside the vocabulary");
    }
  }
  require(request.script.empty() || request.sampling.grammar.empty(),
          "a script and a grammar exclude each other");
  require(request.n_logprobs >= -1 && request.n_logprobs <= 20, "n_logprobs must be between 0 and 20, or -1");
  require(request.n_logprobs == -1 || request.script.empty(), "a script and n_logprobs exclude each other");
  request.sampling.validate(model_->n_vocab());
  const auto n_batch = static_cast<std::size_t>(options_.n_batch);
  require(!model_->has_encoder() || prompt.size() <= n_batch,
          "the encoder reads a prompt in one step: n_batch is " + std::to_string(n_batch) +
              ", the prompt has " + std::to_string(prompt.size()) + " tokens");
  const bool blocks =
      std::any_of(prompt.block_ids.begin(), prompt.block_ids.end(), [](std::int32_t id) { return id != 0; });
  require(!blocks || cannot_join_.empty(),
          "the prompt has branches, but this model cannot join them: " + cannot_join_);
  if (!request.protocol) return;
  const Protocol& protocol = *request.protocol;
  const auto fail = [&](const std::string& what) { throw ProtocolError(protocol.name, what); };
  if (protocol.lists) {
    if (protocol.join_rule != JoinRule::kLinear) fail("lists need the join rule 'linear'");
    if (request.plan_always || request.serial_prompt) fail("lists have no plan");
    const ListRules& lists = *protocol.lists;
    if (lists.elision.empty()) fail("lists need an elision");
    if (lists.separator != "\n" && lists.separator != "\n\n")
      fail("lists need a separator of one or two newlines");
    if (lists.min_items < 2 || lists.ready_items < 3)
      fail("lists need min_items of 2 and ready_items of 3 at least");
    return;
  }
  if (protocol.branch_seed.empty()) fail("a branch needs a seed");
  const bool keeps_cells = protocol.join_rule == JoinRule::kSum || protocol.join_rule == JoinRule::kLongest;
  if (keeps_cells && protocol.join_seed.empty()) fail("a join that keeps the branches needs a seed");
  if (protocol.join_rule == JoinRule::kSum && !has_position_gaps()) {
    fail("the join rule 'sum' needs a llama.cpp that allows position gaps; this build's does not");
  }
  if (protocol.text_markers) {
    if (protocol.plan_open.text.empty() || protocol.plan_close.text.empty() ||
        protocol.branch_close.text.empty()) {
      fail("text markers need plan_open, plan_close and branch_close");
    }
    return;
  }
  std::vector<Marker> markers = {protocol.item_open, protocol.item_close, protocol.plan_close,
                                 protocol.branch_close};
  if (!protocol.plan_open.text.empty()) markers.push_back(protocol.plan_open);
  for (const std::vector<SeedPart>* parts : {&protocol.branch_seed, &protocol.join_seed}) {
    for (const SeedPart& part : *parts) {
      if (part.kind == SeedPart::Kind::kMarker) markers.push_back(part.marker);
    }
  }
  for (const Marker& marker : markers) {
    if (!model_->is_control(marker.id)) fail("the marker '" + marker.text + "' is not a CONTROL token");
  }
}

RequestId Engine::Impl::submit(Request request) {
  check(request);
  auto live = std::make_unique<RequestState>();
  live->submitted = Clock::now();
  live->request = std::move(request);
  Request& own = live->request;
  if (own.protocol && !cannot_join_.empty()) {
    live->fallback = cannot_join_;
    own.protocol.reset();
  }
  if (own.protocol && !own.sampling.grammar.empty()) {
    live->fallback = "a grammar governs the answer";
    own.protocol.reset();
  }
  live->id = next_id_++;
  begin_trunk(*live);
  waiting_.push_back(std::move(live));
  return waiting_.back()->id;
}

// A trunk that has nothing yet. Without a protocol its instructions are of no use.
void Engine::Impl::begin_trunk(RequestState& live) const {
  Request& own = live.request;
  if (!own.protocol && own.serial_prompt) {
    own.prompt = std::move(*own.serial_prompt);
    own.serial_prompt.reset();
    live.from_serial_prompt = true;
  }
  live.trunk = Lane();
  Lane& trunk = live.trunk;
  trunk.sampler = std::make_unique<Sampler>(model_.get(), own.sampling, 0);
  const Protocol* markers =
      own.protocol && own.protocol->lists ? nullptr : live.protocol();  // lists have none
  trunk.parser = std::make_unique<Parser>(markers, Parser::State::kTrunk, own.max_branches);
  trunk.text = std::make_unique<LaneText>();
  if (!own.stop.empty() && !live.stop_search) {
    live.stop_search = std::make_unique<StopSearch>(
        own.stop, [model = model_](Token token) { return model->piece(token).size(); });
  }
  live.outline.reset();
  live.found.reset();
  live.drafts.reset();
  live.checked.reset();
  live.guesses = {};
  live.n_drafted = 0;
  live.finder.reset();
  if (own.protocol && own.protocol->lists && own.script.empty())
    live.finder = std::make_unique<ListFinder>(&*own.protocol->lists);
  if (!own.script.empty()) trunk.script = own.script.front();
  live.timings.prompt_tokens = static_cast<std::int64_t>(own.prompt.size());
}

// Requests that begin anew come first.
void Engine::Impl::requeue() {
  for (auto live = running_.rbegin(); live != running_.rend(); ++live) {
    if ((*live)->phase == RequestState::Phase::kQueued) waiting_.push_front(std::move(*live));
  }
  running_.erase(std::remove(running_.begin(), running_.end(), nullptr), running_.end());
}

void Engine::Impl::cancel(RequestId id) {
  {
    const std::lock_guard<std::mutex> lock(cancel_mutex_);
    cancelled_.insert(id);
  }
  decoder_.abort();
}

void Engine::Impl::cancel_branch(RequestId id, std::int32_t block, std::int32_t branch) {
  const std::lock_guard<std::mutex> lock(cancel_mutex_);
  cancelled_branches_.emplace(id, block, branch);
}

void Engine::Impl::settle_cancelled_branches() {
  std::set<std::tuple<RequestId, std::int32_t, std::int32_t>> wanted;
  {
    const std::lock_guard<std::mutex> lock(cancel_mutex_);
    wanted.swap(cancelled_branches_);
  }
  for (const auto& [id, block, branch] : wanted) {
    for (const auto& live : running_) {
      if (live->id != id || live->phase != RequestState::Phase::kBlock) continue;
      for (Lane& lane : live->branches) {
        if (lane.block != block || lane.branch != branch || lane.ended) continue;
        stop_branch(*live, lane);
        settle_stop(*live);
        conduct(*live);
        break;  // the block may be over, and its lanes gone
      }
    }
    for (const auto& live : waiting_) {
      if (live->id == id && live->swapped) cancel_branch(id, block, branch);  // settled when it goes on
    }
  }
  sweep();
}

void Engine::Impl::settle_cancelled() {
  std::set<RequestId> ids;
  {
    const std::lock_guard<std::mutex> lock(cancel_mutex_);
    ids.swap(cancelled_);
    decoder_.clear_abort();
  }
  if (ids.empty()) return;
  for (const auto& live : waiting_) {
    if (ids.count(live->id) > 0) finish(*live, FinishReason::kCancelled);
  }
  for (const auto& live : running_) {
    if (ids.count(live->id) > 0) finish(*live, FinishReason::kCancelled);
  }
  sweep();
}

// Finished requests leave here.
void Engine::Impl::sweep() {
  const auto over = [](const std::unique_ptr<RequestState>& live) { return live->finished; };
  waiting_.erase(std::remove_if(waiting_.begin(), waiting_.end(), over), waiting_.end());
  running_.erase(std::remove_if(running_.begin(), running_.end(), over), running_.end());
}

bool Engine::Impl::make_room(std::size_t n_cells) {
  while (cache_.cells_free() < n_cells) {
    if (!clear_parked() && !prefix_cache_.evict()) return false;
  }
  return true;
}

// Whether a sequence is free, if need be one that was retained.
bool Engine::Impl::make_sequence() {
  while (cache_.sequences_free() < 1) {
    if (!clear_parked() && !prefix_cache_.evict()) return false;
  }
  return true;
}

// Whether the youngest answer can make room for others. What an encoder has read is in no cell.
bool Engine::Impl::may_wait() const { return running_.size() > 1 && !model_->has_encoder(); }

// As make_room(); beside others it may also wait until it is there: until they have ended, or are set aside.
bool Engine::Impl::finds_room(std::size_t n_cells, const RequestState& live) {
  if (make_room(n_cells)) return true;
  return may_wait() && live.trunk.sequence.n_cells() + n_cells <= cache_.n_cells();
}

Engine::Impl::Shared Engine::Impl::find_shared(const Layout& prompt, std::size_t n_most) const {
  Shared found;
  if (model_->is_recurrent()) return found;  // its memory cannot be forked at an earlier token
  Layout limit = prompt;
  limit.truncate(n_most);
  for (const auto& other : running_) {
    const std::size_t held = common_prefix(other->trunk.record, limit);
    if (held > found.n_held) {
      found.live = other.get();
      found.n_held = held;
    }
    const bool reads =
        other->phase == RequestState::Phase::kPrompt || other->phase == RequestState::Phase::kPromptBlock;
    const std::size_t coming = reads ? common_prefix(other->request.prompt, limit) : held;
    found.n_coming = std::max(found.n_coming, coming);
  }
  return found;
}

// Tokens that are read in the time that a usual block saves; kMostReadTwice at most.
std::size_t Engine::Impl::most_read_twice(const Protocol& protocol) const {
  if (curve_.empty() || curve_.prompt_token_s() <= 0) return kMostReadTwice;
  const BlockForecast block = forecast(protocol, kUsualBranches);
  const double serial_s = block.n_branches * block.body_tokens * curve_.seconds(1, block.depth);
  const double saved_s = serial_s * (1 - 1 / predicted_gain(curve_, block));
  const double n = std::clamp(saved_s / curve_.prompt_token_s(), 0.0, static_cast<double>(kMostReadTwice));
  return static_cast<std::size_t>(n);
}

// Whether reading a question twice, should it not fork, costs more than forking it may gain. One that lists
// its parts mostly forks.
bool Engine::Impl::is_long_to_read(const RequestState& live) const {
  const Request& request = live.request;
  if (!request.protocol || !request.serial_prompt || !request.asked_parts.empty()) return false;
  const Layout& prompt = *request.serial_prompt;
  const std::size_t n_new = prompt.size() - prefix_cache_.n_shared(prompt, prompt.size() - 1);
  return n_new > most_read_twice(*request.protocol);
}

void Engine::Impl::admit() {
  while (!waiting_.empty() && static_cast<std::int32_t>(running_.size()) < options_.n_requests) {
    RequestState& live = *waiting_.front();
    if (live.swapped) {
      if (!resume()) return;
      continue;
    }
    if (is_long_to_read(live)) {
      live.fallback = "the question is too long to be read twice";
      live.request.protocol.reset();
      begin_trunk(live);
    }
    const Layout& prompt = live.request.prompt;
    Lane& trunk = live.trunk;
    if (!make_sequence()) return;  // lanes of others hold them all
    const std::size_t n_most = prompt.size() - 1;
    const std::size_t n_retained = prefix_cache_.n_shared(prompt, n_most);
    const Shared shared = find_shared(prompt, n_most);
    // What another request is reading now need not be read twice.
    if (shared.n_coming >= std::max(shared.n_held, n_retained) + kWorthWaiting) return;
    const bool shares = shared.n_held > n_retained;
    if (shares) {
      const Lane& other = shared.live->trunk;
      const bool all = shared.n_held == other.record.size();
      trunk.sequence = other.sequence.fork(all ? other.next : other.record.positions[shared.n_held]);
      trunk.record = other.record;
      trunk.record.truncate(shared.n_held);
    } else {
      trunk.sequence = prefix_cache_.take(prompt, n_most, trunk.record);
    }
    if (!trunk.sequence) trunk.sequence = cache_.acquire();
    // Prompts that were admitted before have cells coming to them.
    std::size_t promised = 0;
    for (const auto& other : running_) {
      const std::size_t done = other->trunk.record.size();
      if (other->request.prompt.size() > done) promised += other->request.prompt.size() - done;
    }
    // Cells of a living answer are not counted as found: as many stay free for what both will write.
    const std::size_t found = shares ? 0 : trunk.record.size();
    const std::size_t needed = promised + prompt.size() - found + 1;
    const bool roomy = make_room(needed + reserve(live));
    if (!roomy && (live.set_aside || cache_.cells_free() < needed) && !running_.empty()) {
      // Others are decoding: wait for their cells. What was found goes back.
      if (!shares) prefix_cache_.keep(std::move(trunk.sequence), std::move(trunk.record));
      trunk.sequence = Sequence();
      trunk.record = Layout();
      return;
    }
    live.timings.cached_tokens = static_cast<std::int64_t>(trunk.record.size());
    if (live.timings.prompt_s == 0) live.timings.queue_s = seconds_since(live.submitted);
    if (model_->has_encoder() && !encode(live)) return;
    live.phase = RequestState::Phase::kPrompt;
    enter();
    advance_prompt(live);
  }
}

// The first of the queue becomes one of the living.
void Engine::Impl::enter() {
  std::unique_ptr<RequestState> live = std::move(waiting_.front());
  waiting_.pop_front();
  const auto later =
      std::find_if(running_.begin(), running_.end(),
                   [&](const std::unique_ptr<RequestState>& other) { return other->id > live->id; });
  running_.insert(later, std::move(live));
}

// Cells that an answer should at least find behind its prompt, or behind what it has written already: one
// that had to make room comes back where it need not do so again soon.
std::size_t Engine::Impl::reserve(const RequestState& live) const {
  return live.set_aside ? kReserve * (running_.size() + 1) : kReserve;
}

// The cells are used up: the youngest answer waits until others have ended. One that has them to itself ends.
void Engine::Impl::preempt() {
  if (!may_wait() || !preempt_youngest()) finish(*running_.back(), FinishReason::kLength);
  sweep();
}

// The trunk's cells are kept outside the cache. Branches are short: theirs are decoded again, and so is a
// prompt that is still being read.
bool Engine::Impl::preempt_youngest() {
  RequestState& live = *running_.back();
  Lane& trunk = live.trunk;
  if (live.phase == RequestState::Phase::kPrompt || live.phase == RequestState::Phase::kPromptBlock) {
    live.branches.clear();
    live.phase = RequestState::Phase::kQueued;
    begin_trunk(live);
  } else {
    try {
      live.swapped = {cache_.save(trunk.sequence), trunk.sequence.positions()};
    } catch (const Error&) {
      return false;
    }
    for (Lane& lane : live.branches) {
      if (lane.stage == Lane::Stage::kDone || lane.stage == Lane::Stage::kWaiting) continue;
      lane.begin_again(trunk.next);
      lane.stage = Lane::Stage::kWaiting;
    }
    trunk.sequence = Sequence();
    if (live.in_list()) {
      live.outline->over = true;
      live.outline->lane.sequence = Sequence();
      live.outline->last = Sequence();
    } else if (live.outline) {
      drop_outline(live, "the answer had to make room for another");
    }
    live.parked.clear();
  }
  live.set_aside = true;
  waiting_.push_front(std::move(running_.back()));
  running_.pop_back();
  return true;
}

// Of the first in the queue, which was set aside. False: there is no room for it yet.
bool Engine::Impl::resume() {
  RequestState& live = *waiting_.front();
  Lane& trunk = live.trunk;
  std::size_t needed = live.swapped.positions.size() + trunk.pending.size();
  for (const Lane& lane : live.branches) needed += lane.pending.size();
  if (!make_sequence()) return false;
  if (!make_room(needed + reserve(live)) && !running_.empty()) return false;
  trunk.sequence = cache_.acquire();
  try {
    cache_.load(trunk.sequence, live.swapped.state, live.swapped.positions);
  } catch (const Error&) {  // nothing of the text is lost, it goes no further
    trunk.sequence = Sequence();
    finish(live, FinishReason::kLength);
    sweep();
    return true;
  }
  live.swapped = {};
  enter();
  return true;
}

// The encoder reads the prompt; what is left of it for the decoder is the token that it starts from, in the
// place of the prompt's last. False: broken off, nothing has changed.
bool Engine::Impl::encode(RequestState& live) {
  const Clock::time_point start = Clock::now();
  Layout& prompt = live.request.prompt;
  const BatchSpan span{&live.trunk.sequence, prompt.token_ids.data(), prompt.positions.front(),
                       prompt.size()};
  try {
    if (runner_.encode(span) != Decoder::Status::kDone) return false;
  } catch (const DecodeError&) {
    drop_all({{&live, &live.trunk, 0, -1, -1, {}}});
    throw;
  }
  const Pos last = prompt.positions.back();
  prompt = Layout();
  prompt.push(model_->decoder_start(), last, 0, 0);
  live.timings.prompt_s += seconds_since(start);
  return true;
}

// The curve decides among lanes that have one token each: which of them run, and how many tokens of a scratch
// sequence make the step a cheaper one. The earliest lane of each request always runs, the others take turns.
void Engine::Impl::fit_width(StepPlan& plan) const {
  std::vector<LaneSpan>& shares = plan.shares;
  const auto more = [](const LaneSpan& share) { return share.lane->pending.size() > 1; };
  if (curve_.empty() || std::any_of(shares.begin(), shares.end(), more)) return;
  std::vector<bool> runs(shares.size());
  std::vector<std::size_t> others;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    runs[i] = i == 0 || shares[i].live != shares[i - 1].live;
    if (!runs[i]) others.push_back(i);
  }
  const auto live = static_cast<std::int32_t>(shares.size());
  const auto least = live - static_cast<std::int32_t>(others.size());
  const StepWidth step = choose_width(curve_, live, least, options_.n_lanes, cache_.cells_in_use());
  std::stable_sort(others.begin(), others.end(), [&](std::size_t a, std::size_t b) {
    return shares[a].lane->record.size() < shares[b].lane->record.size();
  });
  for (std::int32_t i = 0; i < step.lanes - least; ++i) runs[others[static_cast<std::size_t>(i)]] = true;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    if (runs[i]) shares[kept++] = shares[i];
  }
  shares.erase(shares.begin() + static_cast<std::ptrdiff_t>(kept), shares.end());
  const auto width = static_cast<std::size_t>(step.width);
  if (cache_.sequences_free() > 0 && cache_.cells_free() >= width) plan.n_padding = step.width - step.lanes;
}

// Every lane that has something to decode gives its next token; what room is left goes to prompts and seeds.
Engine::Impl::StepPlan Engine::Impl::plan_step() {
  while (true) {
    std::size_t n_running = count_running();
    for (const auto& live : running_) start_waiting(*live, n_running);
    StepPlan plan;
    std::vector<LaneSpan>& shares = plan.shares;
    for (const auto& live : running_) {
      for (Lane* lane : running_lanes(*live)) {
        if (shares.size() < static_cast<std::size_t>(options_.n_lanes))
          shares.push_back({live.get(), lane, 1, -1, -1, {}});
      }
    }
    if (shares.empty()) return plan;
    fit_width(plan);

    std::size_t room = static_cast<std::size_t>(options_.n_batch) - shares.size();
    std::size_t total = shares.size();
    for (LaneSpan& share : shares) {
      const std::size_t more = std::min(room, share.lane->pending.size() - 1);
      share.n_tokens += more;
      room -= more;
      total += more;
    }
    if (make_room(total)) {
      draft(plan);
      return plan;
    }
    if (drop_an_outline()) continue;
    plan.n_padding = 0;
    // The cells are used up. Prompts and seeds wait; if single tokens do not fit either, the youngest ends.
    if (cache_.cells_free() >= shares.size()) {
      std::size_t spare = cache_.cells_free() - shares.size();
      for (LaneSpan& share : shares) {
        const std::size_t more = std::min(spare, share.n_tokens - 1);
        share.n_tokens = 1 + more;
        spare -= more;
      }
      return plan;
    }
    preempt();
  }
}

// A lane that is decoded alone pays little for a few tokens more. Where its protocol can tell what comes
// next, that is decoded with it, and taken if the model chooses it: the text is the same, in fewer steps.
void Engine::Impl::draft(StepPlan& plan) const {
  auto rows = static_cast<std::size_t>(std::min(options_.n_batch, n_outputs_));
  std::size_t n_tokens = 0;
  for (const LaneSpan& share : plan.shares) n_tokens += share.n_tokens;
  std::size_t cells = cache_.cells_free() - std::min(cache_.cells_free(), n_tokens);
  rows -= std::min(rows, std::max(plan.shares.size(), n_tokens));
  for (LaneSpan& share : plan.shares) {
    if (share.n_tokens < share.lane->pending.size()) continue;
    if (share.lane->outlines) {
      share.drafts = share.live->outline->likely;
      share.drafts.resize(std::min(share.drafts.size(), kMostDrafts));
    } else if (share.lane == &share.live->trunk && share.lane->wants_token) {
      share.drafts = likely_drafts(*share.live, kMostDrafts);
    }
    share.drafts.resize(std::min({share.drafts.size(), rows, cells}));
    rows -= share.drafts.size();
    cells -= share.drafts.size();
    if (!share.drafts.empty()) plan.n_padding = 0;
  }
  if (plan.shares.size() != 1 || plan.shares.front().lane->outlines || !plan.shares.front().drafts.empty())
    return;
  LaneSpan& share = plan.shares.front();
  const Lane& lane = *share.lane;
  if (lane.pending.size() != 1 || !lane.wants_token || !lane.script.empty()) return;
  const std::vector<SeedPart> next = lane.parser->likely_next();
  if (next.empty()) return;
  share.drafts = seed_ids(*share.live->protocol(), next, "", 0);
  const std::size_t most = std::min({kMostDrafts, rows, cells});
  share.drafts.resize(std::min(share.drafts.size(), most));
  if (!share.drafts.empty()) plan.n_padding = 0;
}

std::vector<Event> Engine::Impl::step() {
  settle_cancelled();
  admit();
  settle_cancelled_branches();  // of an answer that had been set aside too
  StepPlan plan = plan_step();
  if (!plan.shares.empty()) {
    const Clock::time_point start = Clock::now();
    const Decoder::Status status = run(plan);
    if (status == Decoder::Status::kDone) {
      take_results(plan, seconds_since(start));
    } else if (status == Decoder::Status::kFull && !clear_parked() && !prefix_cache_.evict()) {
      preempt();
    }
    // kAborted: nothing has changed; the next step() settles who was cancelled.
  }
  sweep();
  requeue();
  return std::move(events_);
}

// Decodes what each lane has pending, its drafts behind it, and what pads the step. Throws DecodeError: the
// answers in it are over.
Decoder::Status Engine::Impl::run(StepPlan& plan) {
  std::vector<BatchSpan> spans;
  std::vector<std::vector<Token>> ids;
  ids.reserve(plan.shares.size());
  for (const LaneSpan& share : plan.shares) {
    Lane& lane = *share.lane;
    const auto pending = lane.pending.begin();
    ids.emplace_back(pending, pending + static_cast<std::ptrdiff_t>(share.n_tokens));
    ids.back().insert(ids.back().end(), share.drafts.begin(), share.drafts.end());
    const bool chooses = share.n_tokens == lane.pending.size() && lane.wants_token;
    spans.push_back({&lane.sequence, ids.back().data(), lane.next, ids.back().size(),
                     chooses ? 1 + share.drafts.size() : 0});
  }
  Sequence scratch;
  const std::vector<Token> padding(static_cast<std::size_t>(plan.n_padding), filler(0));
  if (plan.n_padding > 0) {
    scratch = cache_.acquire();
    spans.push_back({&scratch, padding.data(), 0, padding.size(), padding.size()});
  }
  try {
    const Decoder::Status status = runner_.run(spans);
    for (std::size_t i = 0; i < plan.shares.size(); ++i) plan.shares[i].row = spans[i].row;
    return status;
  } catch (const DecodeError&) {
    drop_all(plan.shares);
    throw;
  }
}

void Engine::Impl::take_results(StepPlan& plan, double seconds) {
  const Clock::time_point start = Clock::now();
  std::vector<LaneSpan>& shares = plan.shares;
  for (LaneSpan& share : shares) {
    share.lane->decoded(share.n_tokens);
    share.lane->sequence.record(share.lane->next, share.drafts.size());
  }
  const bool one_lane =
      shares.size() == 1 && shares[0].n_tokens == 1 && shares[0].drafts.empty() && plan.n_padding == 0;

  // A step counts once for each request in it, under the phase in which it began.
  std::vector<std::pair<RequestState*, RequestState::Phase>> phases;
  for (const LaneSpan& share : shares) {
    if (phases.empty() || phases.back().first != share.live)
      phases.emplace_back(share.live, share.live->phase);
    if (share.live->phase != RequestState::Phase::kPrompt &&
        share.live->phase != RequestState::Phase::kPromptBlock) {
      ++share.live->timings.lanes;
    }
  }
  for (const auto& [live, phase] : phases) {
    live->add_time(seconds);
    if (phase != RequestState::Phase::kPrompt && phase != RequestState::Phase::kPromptBlock)
      ++live->timings.steps;
    live->timings.padding += plan.n_padding;
  }

  sample(shares);
  for (LaneSpan& share : shares) {
    if (share.live->finished || share.lane->stage == Lane::Stage::kDone)
      continue;  // ended by a lane before it
    if (!share.drafts.empty()) {
      take_drafted(share);
    } else if (share.row >= 0) {
      take_sampled(share);
    } else if (share.lane->pending.empty()) {
      on_pending_decoded(*share.live, *share.lane);
    }
  }
  const double after = seconds_since(start);
  for (const auto& [live, phase] : phases) {
    if (live->finished) continue;
    live->add_time(after);
    settle_stop(*live);
    conduct(*live);
  }
  if (one_lane) {
    one_lane_times_.push_back(seconds + after);
    if (one_lane_times_.size() > kOneLaneTimes) one_lane_times_.pop_front();
  }
}

double Engine::Impl::one_lane_s() const {
  std::vector<double> times(one_lane_times_.begin(), one_lane_times_.end());
  if (times.empty()) return 0;
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

void Engine::Impl::drop_all(const std::vector<LaneSpan>& shares) {
  for (const LaneSpan& share : shares) {
    if (share.live->finished) continue;
    share.live->request.retain = false;
    finish(*share.live, FinishReason::kCancelled);
  }
  sweep();
}

void Engine::Impl::finish(RequestState& live, FinishReason reason) {
  if (live.in_list()) {
    for (Lane& lane : live.branches) end_item(live, lane, reason);
    if (live.checks()) settle_stop(live);
    if (live.stop_met()) live.cut_at_stop();
    const FinishReason of_drafts = reason == FinishReason::kStop ? FinishReason::kRejected : reason;
    if (live.checks() && !live.stopping) {
      begin_check(live, of_drafts);
    } else {
      join_items(live, true);
    }
    if (live.finished) return;  // a stop string was met
  }
  if (live.phase == RequestState::Phase::kCheck)
    end_check(live, reason == FinishReason::kStop ? FinishReason::kRejected : reason);
  if (live.outline) drop_outline(live, why_not_forked(live));
  if (live.list_end) read_end(live, live.list_end->ways.front());
  live.list_end.reset();
  live.parked.clear();
  for (Lane& lane : live.branches) {
    if (live.phase != RequestState::Phase::kBlock || lane.stage == Lane::Stage::kDone) continue;
    if (lane.stage != Lane::Stage::kClosing) end_branch(live, lane, reason);
    close_branch(live, lane);
  }
  Lane& trunk = live.trunk;
  if (!live.in_block()) (void)trunk.sequence.truncate(trunk.next);  // drafts
  if (!live.in_block() && trunk.text && !trunk.text->stopped()) {
    flush(live, trunk);
  }
  if (live.phase == RequestState::Phase::kTrunk && trunk.parser->state() == Parser::State::kPlan &&
      !live.forking) {
    live.fallback = "the answer ended inside its plan";
  }
  send_in_turn(live);
  if (live.stop_search) live.stop_search->finish(events_);
  if (live.stop_met()) {
    live.cut_at_stop();
    live.drop_untold_blocks();
    reason = FinishReason::kStop;
  }

  Event event = live.event(EventKind::kDone);
  event.reason = reason;
  event.result = std::make_shared<const Result>(live.result(reason, one_lane_s()));
  events_.push_back(std::move(event));

  if (live.request.retain && trunk.sequence && trunk.record.size() > 0) {
    // Inside a block the trunk may hold cells of branches that have ended: back to the fork.
    if (!live.in_block() || trunk.sequence.truncate(trunk.next)) {
      prefix_cache_.keep(std::move(trunk.sequence), std::move(trunk.record));
    }
  }
  live.branches.clear();
  trunk.sequence = Sequence();
  live.finished = true;
}

std::size_t Engine::Impl::n_retained(const Layout& layout) const {
  return prefix_cache_.longest_prefix(layout);
}

std::size_t Engine::Impl::n_cached(const Layout& layout) const {
  return prefix_cache_.n_shared(layout, layout.size());
}

std::vector<std::uint8_t> Engine::Impl::save_state(const Layout& layout) {
  if (const Sequence* whole = prefix_cache_.find(layout)) return cache_.save(*whole);
  const Sequence part = cache_.sequences_free() > 0 ? prefix_cache_.fork(layout) : Sequence();
  return part ? cache_.save(part) : std::vector<std::uint8_t>();
}

void Engine::Impl::load_state(const Layout& layout, const std::vector<std::uint8_t>& state) {
  layout.validate();
  require(layout.size() > 0, "the layout is empty");
  if (layout.size() > cache_.n_cells()) throw ContextFullError(layout.size(), cache_.n_cells());
  if (!make_sequence() || !make_room(layout.size()))
    throw ContextFullError(layout.size(), cache_.cells_free());
  Sequence sequence = cache_.acquire();
  cache_.load(sequence, state, layout.positions);
  prefix_cache_.keep(std::move(sequence), layout);
}

void Engine::Impl::clear_retained() { prefix_cache_.clear(); }

// --- the public face ------------------------------------------------------------------------------------

Engine::Engine(std::shared_ptr<const Model> model, EngineOptions options)
    : impl_(std::make_unique<Impl>(std::move(model), std::move(options))) {}
Engine::~Engine() = default;

RequestId Engine::submit(Request request) {
  const Impl::Guard guard(impl_->busy_);
  return impl_->submit(std::move(request));
}
std::vector<Event> Engine::step() {
  const Impl::Guard guard(impl_->busy_);
  return impl_->step();
}
void Engine::cancel(RequestId id) { impl_->cancel(id); }
void Engine::cancel_branch(RequestId id, std::int32_t block, std::int32_t branch) {
  impl_->cancel_branch(id, block, branch);
}
void Engine::interrupt() { impl_->decoder_.abort(); }
void Engine::set_poll(std::function<bool()> poll) { impl_->decoder_.set_poll(std::move(poll)); }
std::vector<float> Engine::score(const Layout& layout) {
  const Impl::Guard guard(impl_->busy_);
  return impl_->score(layout);
}
std::vector<std::vector<float>> Engine::score_tree(const TextTree& texts, JoinRule rule) {
  const Impl::Guard guard(impl_->busy_);
  return impl_->score_tree(texts, rule);
}
std::vector<float> Engine::logits(const Layout& layout) {
  const Impl::Guard guard(impl_->busy_);
  return impl_->logits(layout);
}
std::size_t Engine::n_retained(const Layout& layout) {
  const Impl::Guard guard(impl_->busy_);
  return impl_->n_retained(layout);
}
std::size_t Engine::n_cached(const Layout& layout) {
  const Impl::Guard guard(impl_->busy_);
  return impl_->n_cached(layout);
}
std::vector<std::uint8_t> Engine::save_state(const Layout& layout) {
  const Impl::Guard guard(impl_->busy_);
  return impl_->save_state(layout);
}
void Engine::load_state(const Layout& layout, const std::vector<std::uint8_t>& state) {
  const Impl::Guard guard(impl_->busy_);
  impl_->load_state(layout, state);
}
void Engine::clear_retained() {
  const Impl::Guard guard(impl_->busy_);
  impl_->clear_retained();
}

void Engine::set_width_curve(WidthCurve curve) {
  const Impl::Guard guard(impl_->busy_);
  impl_->curve_ = std::move(curve);
}
std::vector<double> Engine::measure_step(std::int32_t width, std::int32_t depth, std::int32_t n_steps) {
  const Impl::Guard guard(impl_->busy_);
  return impl_->measure_step(width, depth, n_steps);
}
double Engine::measure_prompt(std::int32_t n_tokens) {
  const Impl::Guard guard(impl_->busy_);
  return impl_->measure_prompt(n_tokens);
}

bool Engine::has_work() const {
  return !impl_->waiting_.empty() || !impl_->running_.empty() || !impl_->events_.empty();
}
bool Engine::can_join() const { return impl_->cannot_join_.empty(); }
const std::string& Engine::cannot_join_reason() const { return impl_->cannot_join_; }
std::size_t Engine::cells_in_use() const { return impl_->cache_.cells_in_use(); }
std::size_t Engine::n_cells() const { return impl_->cache_.n_cells(); }
std::int32_t Engine::sequences_free() const { return impl_->cache_.sequences_free(); }
std::int32_t Engine::n_sequences() const { return impl_->cache_.n_sequences(); }
const EngineOptions& Engine::options() const { return impl_->options_; }
const std::shared_ptr<const Model>& Engine::model() const { return impl_->model_; }

}  // namespace aspd
