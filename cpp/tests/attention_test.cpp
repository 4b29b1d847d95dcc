// Our attention against sums in double precision and against llama.cpp's own, through ggml.
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>

#include "aspd/backend.h"
#include "check.h"
#include "narrow.h"

using namespace aspd::kernels;

namespace {

constexpr float kHidden = -std::numeric_limits<float>::infinity();

std::vector<float> noise(std::mt19937& random, std::int64_t n, float size = 1) {
  std::normal_distribution<float> normal(0, size);
  std::vector<float> values(static_cast<std::size_t>(n));
  // Eighths are the same numbers as halves.
  for (float& value : values) value = std::round(normal(random) * 8) / 8;
  return values;
}

struct Input {
  AttentionShape shape;
  std::vector<float> q;
  std::vector<float> k;
  std::vector<float> v;
  std::vector<float> mask;
};

Input make(std::mt19937& random, const AttentionShape& shape) {
  Input input{shape, {}, {}, {}, {}};
  input.q = noise(random, shape.n_heads * shape.n_lanes * shape.dk);
  input.k = noise(random, shape.n_cached * shape.n_cells * shape.dk);
  input.v = noise(random, shape.n_cached * shape.n_cells * shape.dv);
  input.mask.assign(static_cast<std::size_t>(shape.n_lanes * shape.n_cells), 0);
  return input;
}

// The lanes share the first cells and have the last each for itself, as branches do.
void fork(Input& input, std::int64_t n_shared) {
  const AttentionShape& shape = input.shape;
  for (std::int64_t lane = 0; lane < shape.n_lanes; ++lane) {
    for (std::int64_t c = n_shared; c < shape.n_cells; ++c) {
      if ((c - n_shared) / 7 % shape.n_lanes != lane)
        input.mask[static_cast<std::size_t>(lane * shape.n_cells + c)] = kHidden;
    }
  }
}

std::vector<double> reference(const Input& input) {
  const AttentionShape& shape = input.shape;
  std::vector<double> out;
  const auto at = [](const std::vector<float>& from, std::int64_t i) {
    return static_cast<double>(from[static_cast<std::size_t>(i)]);
  };
  for (std::int64_t lane = 0; lane < shape.n_lanes; ++lane) {
    for (std::int64_t h = 0; h < shape.n_heads; ++h) {
      const std::int64_t cached = h / (shape.n_heads / shape.n_cached);
      std::vector<double> scores;
      double most = -std::numeric_limits<double>::infinity();
      for (std::int64_t c = 0; c < shape.n_cells; ++c) {
        double score = 0;
        for (std::int64_t d = 0; d < shape.dk; ++d)
          score += at(input.q, (h * shape.n_lanes + lane) * shape.dk + d) *
                   at(input.k, (cached * shape.n_cells + c) * shape.dk + d);
        score = score / std::sqrt(static_cast<double>(shape.dk)) + at(input.mask, lane * shape.n_cells + c);
        scores.push_back(score);
        most = std::max(most, score);
      }
      std::vector<double> row(static_cast<std::size_t>(shape.dv), 0);
      double weight = 0;
      for (std::int64_t c = 0; c < shape.n_cells && std::isfinite(most); ++c) {
        const double part = std::exp(scores[static_cast<std::size_t>(c)] - most);
        weight += part;
        for (std::int64_t d = 0; d < shape.dv; ++d)
          row[static_cast<std::size_t>(d)] += part * at(input.v, (cached * shape.n_cells + c) * shape.dv + d);
      }
      for (double& value : row) out.push_back(weight > 0 ? value / weight : 0);
    }
  }
  return out;
}

std::vector<float> computed(const Input& input, std::int32_t n_threads) {
  return attention(input.shape, input.q, input.k, input.v, input.mask, n_threads);
}

double worst(const std::vector<float>& found, const std::vector<double>& wanted) {
  double error = found.size() == wanted.size() ? 0 : std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < std::min(found.size(), wanted.size()); ++i) {
    const double difference = std::fabs(static_cast<double>(found[i]) - wanted[i]);
    error = difference <= error ? error : difference;  // what is no number too
  }
  return error;
}

}  // namespace

TEST(attention_of_forked_lanes_is_exact_to_six_digits) {
  aspd::start_backend();
  if (!has_attention(64)) SKIP("no attention for this processor, or llama.cpp has no place for it");
  std::mt19937 random(5);
  for (const char* type : {"f16", "f32"}) {
    for (const AttentionShape& shape :
         {AttentionShape{type, 8, 12, 2, 128, 128, 1000}, AttentionShape{type, 3, 9, 3, 64, 64, 77},
          AttentionShape{type, 16, 4, 4, 80, 96, 333}, AttentionShape{type, 2, 71, 1, 64, 64, 300},
          AttentionShape{type, 70, 6, 2, 32, 16, 129}, AttentionShape{type, 2, 1, 1, 576, 512, 1}}) {
      Input input = make(random, shape);
      fork(input, shape.n_cells / 2);
      const std::vector<double> wanted = reference(input);
      for (const std::int32_t n_threads : {1, 2, 3}) {
        const std::int64_t before = n_attentions();
        CHECK(worst(computed(input, n_threads), wanted) < 2e-6);
        CHECK_EQ(n_attentions(), before + 1);
      }
    }
  }
}

TEST(attention_to_quantised_cells_is_llama_cpps_to_three_digits) {
  aspd::start_backend();
  if (!has_attention(64)) SKIP("no attention for this processor, or llama.cpp has no place for it");
  std::mt19937 random(6);
  Input input = make(random, {"q8_0", 5, 6, 2, 64, 64, 200});
  fork(input, 90);
  const std::vector<float> found = computed(input, 2);
  enable(false);
  const std::int64_t before = n_attentions();
  const std::vector<float> theirs = computed(input, 2);
  CHECK_EQ(n_attentions(), before);
  enable(true);
  // llama.cpp rounds the query to 8 bits there.
  CHECK(worst(found, {theirs.begin(), theirs.end()}) < 0.02);
  CHECK(worst(found, reference(input)) < 0.02);
}

TEST(attention_has_no_trouble_with_large_scores_and_blind_lanes) {
  aspd::start_backend();
  if (!has_attention(64)) SKIP("no attention for this processor, or llama.cpp has no place for it");
  std::mt19937 random(7);
  Input input = make(random, {"f16", 4, 6, 3, 64, 64, 500});
  for (float& value : input.q) value *= 64;
  // One lane sees nothing, one the last cell alone, one has small scores added.
  for (std::size_t c = 0; c < 500; ++c) {
    input.mask[c] = kHidden;
    input.mask[500 + c] = c == 499 ? 0 : kHidden;
    input.mask[1000 + c] = -static_cast<float>(c % 16) / 4;
  }
  const std::vector<double> wanted = reference(input);
  for (const std::int32_t n_threads : {1, 3}) {
    const std::vector<float> found = computed(input, n_threads);
    CHECK(worst(found, wanted) < 2e-5);
    for (std::size_t i = 0; i < std::size_t{6} * 64; ++i) CHECK_EQ(found[i], 0.0F);
  }
}

TEST(attention_is_the_same_for_every_number_of_lanes) {
  aspd::start_backend();
  if (!has_attention(64)) SKIP("no attention for this processor, or llama.cpp has no place for it");
  std::mt19937 random(8);
  for (std::int64_t n_lanes = 1; n_lanes <= 17; ++n_lanes) {
    Input input = make(random, {"f16", n_lanes, 6, 2, 64, 128, 160});
    fork(input, 100);
    CHECK(worst(computed(input, 2), reference(input)) < 2e-6);
  }
}

TEST(a_lanes_attention_has_the_same_bits_alone_and_among_others) {
  aspd::start_backend();
  if (!has_attention(64)) SKIP("no attention for this processor, or llama.cpp has no place for it");
  std::mt19937 random(9);
  for (const char* type : {"f16", "f32", "q8_0"}) {
    for (const AttentionShape& shape :
         {AttentionShape{type, 9, 12, 2, 128, 128, 900}, AttentionShape{type, 3, 4, 4, 64, 96, 77},
          AttentionShape{type, 70, 6, 2, 32, 64, 333}, AttentionShape{type, 5, 6, 1, 64, 64, 5000}}) {
      Input input = make(random, shape);
      fork(input, shape.n_cells / 3);
      // A prompt that is being read: each lane sees all cells up to its own.
      if (shape.n_lanes > 64) {
        for (std::int64_t c = 0; c < shape.n_lanes * shape.n_cells; ++c)
          input.mask[static_cast<std::size_t>(c)] =
              c % shape.n_cells > c / shape.n_cells + 100 ? kHidden : 0.0F;
      }
      const std::vector<float> together = computed(input, 2);
      const std::int64_t n_head = shape.n_heads * shape.dv;
      for (const std::int64_t lane : {std::int64_t{0}, shape.n_lanes / 2, shape.n_lanes - 1}) {
        // The cells that it sees and no others, side by side.
        AttentionShape alone = shape;
        alone.n_lanes = 1;
        alone.n_cells = 0;
        Input own{alone, {}, {}, {}, {}};
        for (std::int64_t h = 0; h < shape.n_heads; ++h) {
          const auto from =
              input.q.begin() + static_cast<std::ptrdiff_t>((h * shape.n_lanes + lane) * shape.dk);
          own.q.insert(own.q.end(), from, from + static_cast<std::ptrdiff_t>(shape.dk));
        }
        const auto sees = [&](std::int64_t c) {
          return input.mask[static_cast<std::size_t>(lane * shape.n_cells + c)] == 0;
        };
        const auto copy = [&](const std::vector<float>& all, std::int64_t n, std::vector<float>& to) {
          for (std::int64_t h = 0; h < shape.n_cached; ++h) {
            for (std::int64_t c = 0; c < shape.n_cells; ++c) {
              const auto from = all.begin() + static_cast<std::ptrdiff_t>((h * shape.n_cells + c) * n);
              if (sees(c)) to.insert(to.end(), from, from + static_cast<std::ptrdiff_t>(n));
            }
          }
        };
        copy(input.k, shape.dk, own.k);
        copy(input.v, shape.dv, own.v);
        for (std::int64_t c = 0; c < shape.n_cells; ++c) own.shape.n_cells += sees(c) ? 1 : 0;
        own.mask.assign(static_cast<std::size_t>(own.shape.n_cells), 0);
        const auto row = together.begin() + static_cast<std::ptrdiff_t>(lane * n_head);
        for (const std::int32_t n_threads : {1, 3}) {
          const std::vector<float> found = computed(own, n_threads);
          CHECK_EQ(found.size(), static_cast<std::size_t>(n_head));
          CHECK(std::equal(found.begin(), found.end(), row));
        }
      }
    }
  }
}

TEST(attention_refuses_shapes_that_are_none) {
  aspd::start_backend();
  if (!has_attention(64)) SKIP("no attention for this processor, or llama.cpp has no place for it");
  CHECK_THROWS(time_attention({"f16", 2, 5, 2, 64, 64, 10}, 1, 1, 1), std::invalid_argument);
  CHECK_THROWS(time_attention({"q8_0", 2, 4, 2, 40, 64, 10}, 1, 1, 1), std::invalid_argument);
  CHECK_THROWS(time_attention({"f16", 0, 4, 2, 64, 64, 10}, 1, 1, 1), std::invalid_argument);
  CHECK_THROWS(attention({"f16", 1, 1, 1, 16, 16, 1}, {1}, {1}, {1}, {0}, 1), std::invalid_argument);
}
