// The engine's insides, shared by engine.cpp (requests and steps), lanes.cpp (what a token leads to),
// intrinsic.cpp (a model's own lists), drafts.cpp (the check of their items), score.cpp (likelihoods),
// measure.cpp (the width curve) and self_test.cpp.
#pragma once

#include <deque>
#include <mutex>
#include <set>
#include <tuple>

#include "aspd/engine.h"
#include "aspd/width_policy.h"
#include "decoder.h"
#include "prefix_cache.h"
#include "request_state.h"
#include "runner.h"

namespace aspd {

class Engine::Impl {
 public:
  Impl(std::shared_ptr<const Model> model, EngineOptions options);

  RequestId submit(Request request);
  std::vector<Event> step();
  void cancel(RequestId id);
  void cancel_branch(RequestId id, std::int32_t block, std::int32_t branch);
  std::vector<float> score(const Layout& layout);
  std::vector<std::vector<float>> score_tree(const TextTree& texts, JoinRule rule);
  std::vector<float> logits(const Layout& layout);
  std::size_t n_retained(const Layout& layout) const;
  std::size_t n_cached(const Layout& layout) const;
  std::vector<std::uint8_t> save_state(const Layout& layout);
  void load_state(const Layout& layout, const std::vector<std::uint8_t>& state);
  void clear_retained();
  std::vector<double> measure_step(std::int32_t width, std::int32_t depth, std::int32_t n_steps);
  double measure_prompt(std::int32_t n_tokens);

  // One thread at a time: the second gets EngineBusyError.
  class Guard {
   public:
    explicit Guard(std::atomic<bool>& busy) : busy_(busy) {
      if (busy_.exchange(true)) throw EngineBusyError();
    }
    ~Guard() { busy_ = false; }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    std::atomic<bool>& busy_;
  };

  std::shared_ptr<const Model> model_;
  EngineOptions options_;
  Decoder decoder_;
  KvCache cache_;
  PrefixCache prefix_cache_;
  WidthCurve curve_;
  std::int32_t n_outputs_;
  Runner runner_;
  std::string cannot_join_;
  std::atomic<bool> busy_{false};
  std::deque<std::unique_ptr<RequestState>> waiting_;
  std::vector<std::unique_ptr<RequestState>> running_;  // in order of submission
  std::vector<Event> events_;                           // of the running step, or of one that failed

 private:
  // A lane's share of the batch.
  struct LaneSpan {
    RequestState* live;
    Lane* lane;
    std::size_t n_tokens;
    std::int32_t row;                // of the last token, if it has logits; else -1
    Token sampled = -1;              // from that row
    Likelihood likelihood;           // of it, where asked for
    std::vector<Token> drafts = {};  // decoded behind the last token, in case that they follow
  };

  // engine.cpp
  void check_prompt(const Layout& prompt) const;
  void check(const Request& request) const;
  void begin_trunk(RequestState& live) const;
  void requeue();
  void settle_cancelled();
  void settle_cancelled_branches();
  [[nodiscard]] std::size_t most_read_twice(const Protocol& protocol) const;
  [[nodiscard]] bool is_long_to_read(const RequestState& live) const;
  void admit();
  void enter();
  [[nodiscard]] std::size_t reserve(const RequestState& live) const;
  void preempt();
  [[nodiscard]] bool may_wait() const;
  [[nodiscard]] bool preempt_youngest();
  [[nodiscard]] bool resume();
  // What other answers under way have of a prompt.
  struct Shared {
    const RequestState* live = nullptr;  // the one that has the most of it
    std::size_t n_held = 0;              // leading tokens, in its cells
    std::size_t n_coming = 0;            // leading tokens that one of them is reading, or has
  };
  [[nodiscard]] Shared find_shared(const Layout& prompt, std::size_t n_most) const;
  [[nodiscard]] bool encode(RequestState& live);
  [[nodiscard]] bool make_room(std::size_t n_cells);
  bool make_sequence();
  [[nodiscard]] bool finds_room(std::size_t n_cells, const RequestState& live);
  // The lanes of a step and how many more tokens fill it up.
  struct StepPlan {
    std::vector<LaneSpan> shares;
    std::int32_t n_padding = 0;
  };
  [[nodiscard]] StepPlan plan_step();
  void fit_width(StepPlan& plan) const;
  void draft(StepPlan& plan) const;
  void take_results(StepPlan& plan, double seconds);
  Decoder::Status run(StepPlan& plan);
  void drop_all(const std::vector<LaneSpan>& shares);
  void finish(RequestState& live, FinishReason reason);
  void sweep();
  [[nodiscard]] double one_lane_s() const;

  // lanes.cpp
  void advance_prompt(RequestState& live);
  void on_pending_decoded(RequestState& live, Lane& lane);
  void sample(std::vector<LaneSpan>& shares);
  void choose(LaneSpan& share);
  void take_sampled(LaneSpan& share);
  void take_drafted(LaneSpan& share);
  void take_token(RequestState& live, Lane& lane, Token token, Likelihood likelihood);
  void apply(RequestState& live, Lane& lane, const Outcome& outcome, std::size_t undecoded);
  void rewind(RequestState& live, Lane& lane, const Outcome& outcome, std::size_t undecoded);
  void no_token(RequestState& live, Lane& lane, bool eog);
  [[nodiscard]] bool answer_serial_prompt(RequestState& live, const Lane& lane);
  [[nodiscard]] std::vector<Token> plan_opening(const Protocol& protocol) const;
  void open_plan(RequestState& live);
  [[nodiscard]] Token decide_on_plan(const RequestState& live, const float* logits) const;
  [[nodiscard]] Outcome feed(RequestState& live, const std::vector<Token>& ids);
  [[nodiscard]] bool plan_as_asked(RequestState& live);
  void begin_block(RequestState& live);
  void start_waiting(RequestState& live, std::size_t& lanes);
  [[nodiscard]] std::vector<Lane*> running_lanes(RequestState& live) const;
  [[nodiscard]] std::size_t count_running() const;
  void end_branch(RequestState& live, Lane& lane, FinishReason reason);
  void leave_branch(RequestState& live, Lane& lane, FinishReason reason);
  void stop_branch(RequestState& live, Lane& lane);
  void close_branch(RequestState& live, Lane& lane);
  void close_block_when_done(RequestState& live);
  void finish_block(RequestState& live);
  void meet_stop(RequestState& live, Lane& lane);
  void settle_stop(RequestState& live);
  void stop_behind(RequestState& live, const Lane& lane);
  static void end_at_once(Lane& lane, FinishReason reason);
  void tell(const RequestState& live, Event event);
  void show(RequestState& live, Lane& lane, const std::string& text);
  void send_in_turn(RequestState& live);
  [[nodiscard]] std::size_t n_settled(const Lane& lane) const;
  void send(RequestState& live, Lane& lane);
  void send_fork(const RequestState& live, std::size_t offset);
  void send_join(const RequestState& live);
  void flush(RequestState& live, Lane& lane);
  [[nodiscard]] std::vector<Token> seed_ids(const Protocol& protocol, const std::vector<SeedPart>& parts,
                                            const std::string& title, int number) const;
  [[nodiscard]] std::size_t cells_for_branches(const RequestState& live) const;
  [[nodiscard]] BlockForecast forecast(const Protocol& protocol, std::int32_t n_branches) const;
  [[nodiscard]] double gain_of_plan(const RequestState& live) const;

  // intrinsic.cpp
  void follow(RequestState& live, Lane& lane, std::string_view piece);
  void take_outlined(RequestState& live, Token token, Likelihood likelihood);
  void write_next_mark(Outline& outline, Token token);
  void write_lead_again(RequestState& live, Outline& outline);
  void write_end(RequestState& live, Outline& outline);
  [[nodiscard]] std::string text_before(const RequestState& live) const;
  [[nodiscard]] bool builds_in_order(RequestState& live);
  [[nodiscard]] static bool goes_round(const Lane& lane);
  void end_loop(RequestState& live, Lane& lane);
  [[nodiscard]] double lead_logprob(const Outline& outline, std::size_t i) const;
  void conduct(RequestState& live);
  [[nodiscard]] std::size_t n_last_tokens(const RequestState& live, std::size_t n_bytes) const;
  [[nodiscard]] bool begin_item(RequestState& live, Outline& outline, std::size_t n_tokens,
                                std::size_t n_seed_bytes, std::string_view over);
  [[nodiscard]] bool pass_item(RequestState& live);
  void begin_outline(RequestState& live);
  [[nodiscard]] std::string separator_of(const RequestState& live, std::size_t index) const;
  void drop_outline(RequestState& live, std::string why);
  [[nodiscard]] bool take_back(RequestState& live, Lane& lane, std::size_t n, Token ban);
  [[nodiscard]] bool clear_parked();
  [[nodiscard]] bool has_spare(std::size_t n_cells);
  [[nodiscard]] bool drop_an_outline();
  [[nodiscard]] std::string why_serial(RequestState& live);
  [[nodiscard]] bool may_fork(const RequestState& live) const;
  [[nodiscard]] std::string why_not_yet(const RequestState& live) const;
  [[nodiscard]] std::string why_not_forked(const RequestState& live) const;
  [[nodiscard]] double usual_body(const RequestState& live) const;
  [[nodiscard]] bool pays(const RequestState& live, std::size_t n_items, std::size_t n_written,
                          bool read_again) const;
  [[nodiscard]] std::size_t tokens_left(const RequestState& live) const;
  bool fork_list(RequestState& live);
  void open_item(RequestState& live, std::size_t i);
  [[nodiscard]] bool covers_item(const RequestState& live) const;
  void leave_items(RequestState& live, std::size_t n_opened);
  void grow_block(RequestState& live);
  void unfork(RequestState& live, std::string why);
  void say_rest(RequestState& live, Lane& lane, FinishReason reason);
  void end_item(RequestState& live, Lane& lane, FinishReason reason);
  [[nodiscard]] std::vector<Token> item_ids(const RequestState& live, const Lane& lane, bool parted,
                                            std::size_t& n_kept) const;
  [[nodiscard]] std::vector<Token> parted_ids(Token last, const std::string& separator) const;
  [[nodiscard]] static bool tail_counts(const RequestState& live, const Outline& outline);
  [[nodiscard]] bool end_fits(RequestState& live);
  [[nodiscard]] std::size_t join_first(RequestState& live, const std::vector<Token>& ids, std::size_t n_most);
  void leave_list(RequestState& live);
  void join_items(RequestState& live, bool ends);
  void feed_separator(RequestState& live, const Outline& outline);
  void end_with_tail(RequestState& live, Outline& outline);
  void ask_end(RequestState& live, const Outline& outline);
  [[nodiscard]] std::size_t likeliest_way(RequestState& live);
  void read_end(RequestState& live, const ListEnd::Way& way);
  void decide_end(RequestState& live);
  void close_list(RequestState& live);

  // drafts.cpp
  [[nodiscard]] std::unique_ptr<Drafts> collect_drafts(const RequestState& live,
                                                       std::vector<Token>& first) const;
  [[nodiscard]] bool align_drafts(Drafts& drafts, const std::vector<Token>& over,
                                  const std::string& text) const;
  void begin_check(RequestState& live, FinishReason reason);
  [[nodiscard]] std::vector<Likelihood> take_first_item(RequestState& live, const std::vector<Token>& ids,
                                                        std::size_t n_own, std::size_t n_most);
  void say_over(RequestState& live, const std::string& text, std::vector<Likelihood> likelihoods);
  [[nodiscard]] bool choose_draft(LaneSpan& share, const float* logits) const;
  [[nodiscard]] std::vector<Token> likely_drafts(const RequestState& live, std::size_t n_most) const;
  void keep_draft(RequestState& live, Token token, Likelihood likelihood, bool fed);
  [[nodiscard]] bool take_checked(RequestState& live, Token token, Likelihood& likelihood);
  void show_kept(RequestState& live);
  std::string show_parts(RequestState& live, const std::string& held, std::size_t n_branches);
  void end_shown(RequestState& live);
  void end_checked(RequestState& live, Lane& lane, FinishReason reason);
  static void drop_behind_stop(RequestState& live);
  void take_item_back(RequestState& live);
  void move_untold(RequestState& live);
  void end_check(RequestState& live, FinishReason reason);
  void close_check(RequestState& live);

  // score.cpp
  template <typename Take>
  void walk(const Layout& layout, const Take& take);

  [[nodiscard]] std::vector<double> read_logprobs(Sequence& sequence, Pos begin,
                                                  const std::vector<Token>& token_ids,
                                                  const std::vector<bool>& wanted);
  [[nodiscard]] std::vector<double> weigh_ways(const Lane& trunk, const ListEnd& end);
  void check_scorable(const std::vector<Token>& token_ids) const;

  // measure.cpp
  void require_idle();
  [[nodiscard]] Sequence read_prefix(std::int32_t n_tokens, Layout& record);
  [[nodiscard]] Token filler(std::int32_t i) const;

  // self_test.cpp
  void warm_up();
  [[nodiscard]] std::string self_test();

  RequestId next_id_ = 1;
  double usual_body_ = 0;  // tokens of an item's body, learnt from the answers so far; 0: nothing is known
  std::deque<double> one_lane_times_;  // seconds of the last one-lane steps
  std::mutex cancel_mutex_;
  std::set<RequestId> cancelled_;
  std::set<std::tuple<RequestId, std::int32_t, std::int32_t>> cancelled_branches_;  // request, block, branch
};

}  // namespace aspd
