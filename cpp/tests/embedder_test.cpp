// Vectors of texts, side by side and alone, whole and in pieces; what they are is checked against NumPy in
// Python's tests.
#include "aspd/embedder.h"

#include <cmath>

#include "aspd/errors.h"
#include "check.h"
#include "driver.h"

using namespace aspd;
using namespace aspd_test;

namespace {

using Texts = std::vector<std::vector<Token>>;

std::vector<Token> text(Token seed, Token n) {
  std::vector<Token> ids;
  for (Token i = 0; i < n; ++i) ids.push_back(20 + (seed * 7 + i * i) % 40);
  return ids;
}

EmbedderOptions one_thread() {
  EmbedderOptions options;
  options.n_threads = 1;
  return options;
}

float distance(const std::vector<float>& a, const std::vector<float>& b) {
  float most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

}  // namespace

TEST(vectors_have_unit_length_and_do_not_depend_on_each_other) {
  for (const char* name : {"bert", "pooled"}) {
    Embedder embedder(tiny_model(name), one_thread());
    Texts texts;
    for (Token i = 0; i < 130; ++i) texts.push_back(text(i, 1 + i % 40));
    const auto together = embedder.embed(texts);
    REQUIRE(together.size() == texts.size());
    for (const std::size_t i : {0U, 1U, 63U, 64U, 65U, 129U}) {
      const auto alone = embedder.embed({texts[i]});
      CHECK(distance(together[i], alone[0]) < 1e-3F);
      double square = 0;
      for (const float value : together[i]) square += static_cast<double>(value) * value;
      CHECK(std::abs(square - 1) < 1e-4);
    }
    CHECK(embedder.embed({}).empty());
  }
}

TEST(text_that_is_read_in_pieces_ends_as_it_does_whole) {
  Embedder embedder(tiny_model("pooled"), one_thread());
  const std::vector<Token> whole = text(3, 1200);
  const auto found = embedder.embed({text(1, 5), whole, text(2, 5)});
  CHECK(distance(found[1], embedder.embed({whole})[0]) < 1e-3F);
  CHECK(distance(found[1], embedder.embed({std::vector<Token>(whole.begin(), whole.end() - 1)})[0]) > 1e-3F);
}

TEST(bad_texts_are_refused_before_anything_is_computed) {
  Embedder embedder(tiny_model("bert"), one_thread());
  CHECK_EQ(embedder.n_ctx(), 256);
  const Texts bad[] = {{{30}, {}}, {{-1}}, {{1 << 30}}};
  for (const Texts& texts : bad) CHECK_THROWS(embedder.embed(texts), std::invalid_argument);
  const Texts too_long = {{30}, text(0, 257)};
  CHECK_THROWS(embedder.embed(too_long), ContextFullError);
  CHECK_EQ(embedder.embed({text(0, 256)}).size(), std::size_t{1});
}

TEST(only_models_that_were_made_for_it_embed) {
  CHECK_THROWS(Embedder(tiny_model("llama"), one_thread()), ModelError);
  CHECK(!Embedder::why_not(*tiny_model("t5")).empty());
  CHECK(!Embedder(tiny_model("bert"), one_thread()).can_write());
  CHECK(Embedder(tiny_model("pooled"), one_thread()).can_write());
}
