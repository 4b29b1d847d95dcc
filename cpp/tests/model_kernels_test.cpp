// Whole models with our kernels and without: the same logits, for every type of weights, repacked or not.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <memory>

#include "aspd/quantize.h"
#include "check.h"
#include "driver.h"
#include "llama.h"
#include "narrow.h"

using namespace aspd;
using namespace aspd_test;

namespace {

struct FreeContext {
  void operator()(llama_context* context) const { llama_free(context); }
};
using Context = std::unique_ptr<llama_context, FreeContext>;

Context context_of(const Model& model) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = 256;
  params.n_threads = params.n_threads_batch = 2;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  return Context(llama_init_from_model(model.handle(), params));
}

// Behind the last of the tokens, all read in one step.
std::vector<float> logits(llama_context* context, std::vector<Token> tokens) {
  llama_memory_clear(llama_get_memory(context), true);
  const llama_batch batch = llama_batch_get_one(tokens.data(), static_cast<std::int32_t>(tokens.size()));
  REQUIRE(llama_decode(context, batch) == 0);
  const float* found = llama_get_logits_ith(context, -1);
  return {found, found + llama_vocab_n_tokens(llama_model_get_vocab(llama_get_model(context)))};
}

// Last bits of sums decide how the numbers of the next layer are rounded to 8 bits.
bool about_the_same(const std::vector<float>& found, const std::vector<float>& wanted) {
  float largest = 0;
  float apart = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    largest = std::max(largest, std::fabs(wanted[i]));
    apart = std::max(apart, std::fabs(wanted[i] - found[i]));
  }
  return largest > 0 && apart <= 0.01F * largest;
}

}  // namespace

TEST(models_give_the_same_logits_with_the_kernels_and_without) {
  const std::string from = tiny_model("wide")->path();
  if (kernels::in_use().empty()) SKIP("no kernels for this processor, or llama.cpp has no place for them");
  // A name of its own: tests of another build may run.
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  const std::string path =
      (std::filesystem::temp_directory_path() / ("aspd_kernels_" + std::to_string(now) + ".gguf")).string();
  for (const std::string type : {"4_0", "4_1", "4_K", "6_K", "8_0"}) {
    QuantizeOptions types;
    types.weights = types.head = "Q" + type;
    quantize(from, path, types);
    for (const bool repack : {true, false}) {
      ModelOptions options;
      options.use_extra_bufts = repack;
      const auto model = Model::load(path, options);
      const Context context = context_of(*model);
      REQUIRE(context != nullptr);
      const std::vector<Token> text = model->tokenize("Tell me: 1", true);
      for (const std::size_t n : {std::size_t{2}, std::size_t{3}, text.size()}) {
        const std::vector<Token> tokens(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(n));
        const std::int64_t before = kernels::n_products();
        const std::vector<float> ours = logits(context.get(), tokens);
        const std::int64_t after = kernels::n_products();
        CHECK(after > before || !(repack || kernels::has_kernel("q" + type, false)));
        kernels::enable(false);
        const std::vector<float> wanted = logits(context.get(), tokens);
        kernels::enable(true);
        CHECK_EQ(kernels::n_products(), after);
        CHECK(about_the_same(ours, wanted));
      }
    }
  }
  std::filesystem::remove(path);
}
