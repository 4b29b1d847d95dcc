// What an engine finds out before its first request: how long a one-lane step takes, and whether this model's
// memory really joins branches.
#include <algorithm>
#include <cmath>

#include "engine_impl.h"

namespace aspd {

namespace {

constexpr int kWarmUpSteps = 3;
// Relative to the largest logit. A join that loses a branch differs by about its scale.
constexpr float kTolerance = 0.05F;

}  // namespace

void Engine::Impl::warm_up() {
  Sequence sequence = cache_.acquire();
  const Token token = std::max(model_->has_encoder() ? model_->decoder_start() : model_->bos(), 0);
  if (model_->has_encoder() && runner_.encode({&sequence, &token, 0, 1}) != Decoder::Status::kDone)
    throw ModelError(model_->path(), "the encoder computes nothing");
  std::vector<BatchSpan> spans{{&sequence, &token, 0, 1, 1}};
  for (int i = 0; i <= kWarmUpSteps; ++i) {
    const Clock::time_point start = Clock::now();
    spans.front().begin = i;
    if (runner_.run(spans) != Decoder::Status::kDone)
      throw ModelError(model_->path(), "the first step found no cells");
    sequence.record(i, 1);
    if (i > 0) one_lane_times_.push_back(seconds_since(start));  // the first one also loads the weights
  }
  const float* logits = runner_.logits(spans.front().row);
  if (std::all_of(logits, logits + model_->n_vocab(), [](float logit) { return logit == 0; })) {
    throw ModelError(model_->path(),
                     "the model has no head that predicts tokens: it makes embeddings, not text");
  }
}

// Two checks: the trunk's last position after a join of two branches, and the logits after a fork and a join
// of one branch against a serial run.
std::string Engine::Impl::self_test() {
  const auto n_vocab = static_cast<std::size_t>(model_->n_vocab());
  const auto token = [&](int i) { return (std::max(model_->bos(), 0) + i) % model_->n_vocab(); };
  const auto run = [&](Sequence& sequence, int first, std::size_t count) {
    std::vector<Token> ids;
    for (std::size_t i = 0; i < count; ++i) ids.push_back(token(first + static_cast<int>(i)));
    std::vector<BatchSpan> spans{{&sequence, ids.data(), first, count, 1}};
    runner_.run_booked(spans);
    return spans.front().row;
  };
  try {
    std::vector<float> serial(n_vocab);
    {
      Sequence sequence = cache_.acquire();
      run(sequence, 0, 2);
      run(sequence, 2, 1);
      const float* row = runner_.logits(run(sequence, 3, 1));
      std::copy(row, row + n_vocab, serial.begin());
    }
    Sequence trunk = cache_.acquire();
    run(trunk, 0, 2);
    {
      Sequence first = trunk.fork();
      Sequence second = trunk.fork();
      run(first, 2, 1);
      run(second, 2, 1);
      trunk.join(std::move(first), 2);
      trunk.join(std::move(second), 2);
      if (cache_.pos_max(trunk) != 2) return "its memory does not hold two branches at one position";
      if (!trunk.truncate(2)) return "its memory cannot be cut";
    }
    Sequence branch = trunk.fork();
    run(branch, 2, 1);
    trunk.join(std::move(branch), 2);
    const float* row = runner_.logits(run(trunk, 3, 1));
    float scale = 0;
    float difference = 0;
    for (std::size_t t = 0; t < n_vocab; ++t) {
      scale = std::max(scale, std::fabs(serial[t]));
      difference = std::max(difference, std::fabs(serial[t] - row[t]));
    }
    if (!(difference <= kTolerance * scale)) return "a fork and a join change what it predicts";
    return "";
  } catch (const DecodeError& e) {
    return std::string("it failed the join test: ") + e.what();
  }
}

}  // namespace aspd
