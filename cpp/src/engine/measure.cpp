// Times of decode steps, measured on the engine itself: same context, same threads, same sampler.
#include <algorithm>
#include <stdexcept>
#include <string>

#include "engine_impl.h"

namespace aspd {

void Engine::Impl::require_idle() {
  if (!waiting_.empty() || !running_.empty())
    throw std::invalid_argument("the engine has requests to answer");
  if (model_->has_encoder())
    throw std::invalid_argument("an encoder reads the prompt: no branches, no widths");
  decoder_.clear_abort();
}

// Any token will do, but not always the same one: an embedding that stays in the nearest cache flatters.
Token Engine::Impl::filler(std::int32_t i) const {
  return (std::max(model_->bos(), 0) + i) % model_->n_vocab();
}

// A sequence of n cells, taken from the retained ones where a measurement before has left it.
Sequence Engine::Impl::read_prefix(std::int32_t n_tokens, Layout& record) {
  Layout prefix;
  for (std::int32_t i = 0; i < n_tokens; ++i) prefix.push(filler(i), i, 0, 0);
  if (prefix_cache_.find(prefix) == nullptr) prefix_cache_.clear();
  Sequence sequence = prefix_cache_.take(prefix, prefix.size(), record);
  if (!sequence) sequence = cache_.acquire();
  for (auto at = static_cast<Pos>(record.size()); at < n_tokens;) {
    const std::int32_t n = std::min(options_.n_batch, n_tokens - at);
    std::vector<BatchSpan> spans{
        {&sequence, prefix.token_ids.data() + at, at, static_cast<std::size_t>(n), 1}};
    runner_.run_booked(spans);
    at += n;
  }
  record = std::move(prefix);
  return sequence;
}

std::vector<double> Engine::Impl::measure_step(std::int32_t width, std::int32_t depth, std::int32_t n_steps) {
  require_idle();
  if (width < 1 || width > options_.n_lanes)
    throw std::invalid_argument("a width must be between 1 and n_lanes, " + std::to_string(options_.n_lanes));
  if (depth < 1) throw std::invalid_argument("a depth must be at least 1");
  if (n_steps < 1) throw std::invalid_argument("n_steps must be at least 1");
  if (width > 1 && !cannot_join_.empty())
    throw std::invalid_argument("this model cannot join branches: " + cannot_join_);
  // The first step builds the graph of its width and is not counted.
  const std::size_t n_new = static_cast<std::size_t>(width) * (static_cast<std::size_t>(n_steps) + 1);
  const std::size_t n_all = n_new + static_cast<std::size_t>(depth);
  if (n_all > cache_.n_cells()) throw ContextFullError(n_all, cache_.n_cells());
  Layout record;
  Sequence prefix = read_prefix(depth, record);
  while ((cache_.sequences_free() < width || cache_.cells_free() < n_new) && prefix_cache_.evict()) {
  }
  std::vector<Sequence> lanes;
  for (std::int32_t i = 0; i < width; ++i) lanes.push_back(prefix.fork());
  SamplingOptions greedy;
  greedy.temperature = 0;
  std::vector<Sampler> samplers;
  for (std::int32_t i = 0; i < width; ++i) samplers.emplace_back(model_.get(), greedy, 0);
  std::vector<double> times;
  for (std::int32_t step = 0; step <= n_steps; ++step) {
    const Clock::time_point start = Clock::now();
    std::vector<Token> ids(lanes.size());
    std::vector<BatchSpan> spans;
    for (std::int32_t i = 0; i < width; ++i) {
      const auto lane = static_cast<std::size_t>(i);
      ids[lane] = filler(step * width + i);
      spans.push_back({&lanes[lane], &ids[lane], depth + step, 1, 1});
    }
    runner_.run_booked(spans);
    std::vector<float*> rows;
    for (const BatchSpan& span : spans) rows.push_back(runner_.logits(span.row));
    runner_.parallel_for(width, [&](std::int32_t i) {
      const auto lane = static_cast<std::size_t>(i);
      (void)samplers[lane].sample(rows[lane], model_->n_vocab(), {}, nullptr);
    });
    if (step > 0) times.push_back(seconds_since(start));
  }
  prefix_cache_.keep(std::move(prefix), std::move(record));
  return times;
}

double Engine::Impl::measure_prompt(std::int32_t n_tokens) {
  require_idle();
  if (n_tokens < 1 || n_tokens > options_.n_batch)
    throw std::invalid_argument("n_tokens must be between 1 and n_batch, " +
                                std::to_string(options_.n_batch));
  prefix_cache_.clear();
  const auto needed = static_cast<std::size_t>(n_tokens);
  if (needed > cache_.cells_free()) throw ContextFullError(needed, cache_.cells_free());
  Layout record;
  const Clock::time_point start = Clock::now();
  (void)read_prefix(n_tokens, record);
  return seconds_since(start);
}

}  // namespace aspd
