// The engine: requests in, decode steps, events out. The only caller of llama_decode.
// Pull, not push: submit(), step(), cancel(). Knows nothing of chats, templates, Python or files.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "aspd/engine_options.h"
#include "aspd/errors.h"
#include "aspd/layout.h"
#include "aspd/model.h"
#include "aspd/protocol.h"
#include "aspd/sampler.h"
#include "aspd/width_curve.h"

namespace aspd {

using RequestId = std::uint64_t;

// A part of the answer that the question itself names.
struct AskedPart {
  std::string title;    // of its branch
  std::string heading;  // before its body in the answer's text, what parts it from the one before included
};

// What of a list's second and later items stands in the answer. They are written without those before them
// (protocol `intrinsic`); with a check the trunk reads them where they stand, no text of them leaves before,
// and it goes on by itself behind what it keeps.
enum class DraftCheck {
  kNone,  // all of it, as it was written; nothing is read
  kLead,  // up to the first item whose lead is implausible (ListRules::least_lead)
  kCut,   // up to the first token at which the text becomes implausible (ListRules::least_window)
  kExact  // up to the first token that the trunk does not choose itself: the answer is the serial one
};

struct Request {
  Layout prompt;                     // ends with a token of the trunk
  std::optional<Protocol> protocol;  // none: serial
  // The question without the protocol's instructions. Where the answer does not begin with a plan, or its
  // plan cannot be used, this is answered serially instead: with the text of a request without a protocol. So
  // is at once a question that lists no parts and takes longer to read twice than a block would save, and one
  // of more than a thousand new tokens.
  std::optional<Layout> serial_prompt;
  // With a serial prompt: the answer begins with a plan where the model gives a plan's first token at least
  // this probability, whatever the sampling options are. 0: that token is sampled as any other.
  float plan_threshold = 0;
  // With a serial prompt: the question as it was typed. A plan is not used whose titles have no letter of the
  // writing systems in which this is mostly written: it is in another language. Empty: any plan is.
  std::string question;
  // The parts that the question lists. Where the model opens a plan, these are its titles: it does not write
  // them, they are fed. Not used where they make no sound plan.
  std::vector<AskedPart> asked_parts;
  SamplingOptions sampling;
  std::int32_t max_tokens = -1;    // of the answer, all branches and plans included; -1: until the cells end
  std::vector<std::string> stop;   // strings that end the answer; not part of its text
  bool plan_always = false;        // open the plan at once
  std::int32_t max_branches = 16;  // of one block; a plan with more is decoded serially
  DraftCheck draft_check = DraftCheck::kNone;  // of items of the model's own lists
  std::int32_t n_logprobs =
      -1;              // likeliest tokens told beside each one of the text, 0 to 20; -1: none is told
  bool retain = true;  // keep the answer in the cache when it is done
  // An answer, or a branch of a plan, that repeats itself for ever ends with kLength: where its last 1,024
  // tokens repeat a period of at most 128, or its last 4,096 do if no letter is among them.
  bool loop_guard = true;
  // To replay an answer for its times: tokens that are taken in place of the sampled ones, which are sampled
  // all the same. [0]: the trunk's, [i]: those of the i-th branch of the answer. A lane whose tokens are used
  // up goes on by itself.
  std::vector<std::vector<Token>> script;
};

// kRejected: of a branch only; Request::draft_check has kept its beginning, or nothing.
enum class FinishReason { kStop, kLength, kCancelled, kRejected };

struct BranchResult {
  std::string title;
  std::vector<Token> token_ids;  // seed, body, closing marker
  std::size_t span_begin = 0;    // in Result::text, in code points, without title and separators
  std::size_t span_end = 0;
  std::size_t n_tokens = 0;  // sampled tokens of the body
  FinishReason reason = FinishReason::kStop;
};

struct BlockResult {
  std::vector<BranchResult> branches;
};

// Seconds are wall-clock; steps and lanes count decode steps after the prompt.
struct Timings {
  std::int64_t prompt_tokens = 0;  // of the prompt that was answered
  std::int64_t cached_tokens = 0;  // of the prompt, found in the cache
  std::int64_t trunk_tokens = 0;   // sampled in the trunk, plans excluded
  std::int64_t plan_tokens = 0;    // sampled for plans and for the closing markers of branches
  std::int64_t branch_tokens = 0;
  std::int64_t rewound_tokens = 0;  // sampled and taken back
  std::int64_t seed_tokens = 0;     // fed, not sampled: seeds, closing markers, text of `linear`
  std::int64_t steps = 0;
  std::int64_t lanes = 0;    // sum over the steps of this request's lanes
  std::int64_t padding = 0;  // sum over the steps of lanes that only filled them up to a cheaper width
  double queue_s = 0;
  double prompt_s = 0;
  double trunk_s = 0;
  double plan_s = 0;
  double branch_s = 0;
  double join_s = 0;
  double first_token_s = 0;  // from submit to the first sampled token
  double total_s = 0;        // from submit to the end
  double one_lane_s = 0;     // median time of a one-lane step of this engine, t(1)
  double speedup = 0;        // estimate: steps of a serial run of the same tokens x t(1) / measured time
};

struct Result {
  std::string text;
  std::vector<BlockResult> blocks;
  FinishReason finish_reason = FinishReason::kStop;
  // Why a plan, or the last list that was not taken apart, was decoded serially, or no protocol was used;
  // empty: none of these.
  std::string fallback;
  std::string stop_match;           // the stop string that was met
  bool looped = false;              // Request::loop_guard has ended the answer
  bool from_serial_prompt = false;  // Request::serial_prompt was answered
  Layout layout;  // the answer's tokens as the cache had them, after the prompt; blocks count on from it
  Timings timings;
};

enum class EventKind { kText, kFork, kUnfork, kEnd, kJoin, kDone };

// block, branch: 0, 0 for the trunk. offset: of text within its trunk or branch, in code points; of kFork:
// where in the trunk's text the block begins. What has left as the trunk's text behind it is the beginning of
// branch 1. A kFork of a block that is open adds branches to it: `titles` has all of them. kUnfork takes an
// open block back: the text of branch 1 is the trunk's, that of the others is void.
struct Event {
  EventKind kind = EventKind::kText;
  RequestId request = 0;
  std::int32_t block = 0;
  std::int32_t branch = 0;
  std::size_t offset = 0;
  std::string text;
  std::vector<Likelihood> likelihoods;  // kText, where asked for: of sampled tokens that are text by now
  std::vector<std::string> titles;      // kFork
  FinishReason reason = FinishReason::kStop;  // kEnd
  std::shared_ptr<const Result> result;       // kDone
};

// Texts that go on from each other.
struct TextTree {
  std::vector<std::vector<Token>> nodes;  // [n_nodes][n_tokens], none empty
  std::vector<std::vector<std::int32_t>>
      parents;               // [n_nodes], earlier nodes; none: it stands alone; several,
                             // all children of one node: it goes on from their join
  std::vector<bool> scored;  // [n_nodes]; the scores of the others are 0, which saves their logits

  [[nodiscard]] std::size_t size() const { return nodes.size(); }
};

class Engine {
 public:
  // Throws ModelError when the model cannot decode or no context can be made, DecodeError when its first
  // steps fail, std::invalid_argument for options.
  Engine(std::shared_ptr<const Model> model, EngineOptions options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Checks everything, decodes nothing. Throws std::invalid_argument, ContextFullError, ProtocolError,
  // EngineBusyError.
  RequestId submit(Request request);
  // One decode step over all live lanes; returns what happened, in order. Empty when nothing is left. Where
  // cells run out, the youngest request waits until others have ended; one that is alone ends with kLength.
  // Throws EngineBusyError; DecodeError: all requests of the step are over, as their events in the next
  // step() say, and the engine serves the others.
  std::vector<Event> step();
  // From any thread, also while step() runs: the next step() ends with this request's kDone.
  void cancel(RequestId id);
  // From any thread, also while step() runs: a branch writes no more, and ends with the reason kCancelled in
  // one of the next steps; the answer goes on without the rest of it. Nothing happens where it has ended
  // already.
  void cancel_branch(RequestId id, std::int32_t block, std::int32_t branch);
  // From any thread: breaks off a running step(), which then changes nothing; all requests stay.
  void interrupt();
  // poll: called now and then on the thread that computes, while a long step is computed; false breaks the
  // step off as interrupt() does. Must not throw. Not while a step runs.
  void set_poll(std::function<bool()> poll);

  // Natural logarithm of the probability of each token given what it may see; [n_tokens]. The first token of
  // a branch is predicted from the trunk's last. 0 for the first token and for the trunk's first after a
  // join: nothing predicts them.
  std::vector<float> score(const Layout& layout);
  // As score(), for a tree of texts: [n_nodes][n_tokens of the node]. A node sees those above it and itself.
  // Its first token is predicted from the last of its parent; 0 where it has none or several. Whatever nodes
  // share is decoded once. rule: of its joins, sum or longest.
  std::vector<std::vector<float>> score_tree(const TextTree& texts, JoinRule rule = JoinRule::kLongest);
  // Rows of logits after each token: [n_tokens * n_vocab], for oracles on tiny models.
  std::vector<float> logits(const Layout& layout);

  // How many leading tokens of a layout are the whole of a retained sequence, the longest; 0 if none is.
  std::size_t n_retained(const Layout& layout);
  // Leading tokens of the layout that a prompt which begins so would find in the cache.
  std::size_t n_cached(const Layout& layout);
  // The cells of a layout as bytes, if a retained sequence is that layout or begins with it; else empty.
  std::vector<std::uint8_t> save_state(const Layout& layout);
  // Puts bytes of save_state() back as a retained sequence.
  void load_state(const Layout& layout, const std::vector<std::uint8_t>& state);
  // Forgets all retained sequences.
  void clear_retained();

  // What the following steps and forks are scheduled by; an empty curve: every lane runs in every step, every
  // sound plan is forked.
  void set_width_curve(WidthCurve curve);
  // Measures n_steps decode steps of `width` lanes that share a prefix of `depth` cells, greedy sampling
  // included; seconds of each, [n_steps]. On an idle engine. The prefix is retained for the next measurement,
  // other retained sequences may be given up. Throws
  // std::invalid_argument, ContextFullError, DecodeError, EngineBusyError.
  std::vector<double> measure_step(std::int32_t width, std::int32_t depth, std::int32_t n_steps);
  // Seconds of one step that reads n_tokens of a prompt. As measure_step().
  double measure_prompt(std::int32_t n_tokens);

  [[nodiscard]] bool has_work() const;
  [[nodiscard]] bool can_join() const;
  [[nodiscard]] const std::string& cannot_join_reason() const;  // empty when it can
  [[nodiscard]] std::size_t cells_in_use() const;               // retained sequences included
  [[nodiscard]] std::size_t n_cells() const;
  [[nodiscard]] std::int32_t sequences_free() const;
  [[nodiscard]] std::int32_t n_sequences() const;
  [[nodiscard]] const EngineOptions& options() const;  // with the defaults filled in
  [[nodiscard]] const std::shared_ptr<const Model>& model() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace aspd
