// Quantising: what is written, how it is stopped, what is left where it fails.
#include "aspd/quantize.h"

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include "aspd/errors.h"
#include "aspd/gguf_check.h"
#include "check.h"
#include "driver.h"

using namespace aspd;
using namespace aspd_test;

namespace {

// A path that holds nothing now.
std::string fresh(const std::string& name) {
  const std::filesystem::path path = std::filesystem::temp_directory_path() / ("aspd_quantize_" + name);
  std::filesystem::remove(path);
  return path.string();
}

QuantizeOptions types(const std::string& weights, const std::string& head) {
  QuantizeOptions options;
  options.weights = weights;
  options.head = head;
  options.n_threads = 1;
  return options;
}

}  // namespace

TEST(quantize_writes_a_model_of_the_types_asked_for) {
  const std::string from = tiny_model("llama")->path();
  const std::string to = fresh("written.gguf");
  QuantizeProgress progress;
  quantize(from, to, types("Q4_0", "Q8_0"), &progress);
  CHECK_EQ(progress.done.load(), 1.0);
  const WeightSummary summary = summarize_weights(to);
  CHECK_EQ(summary.weights, std::string("Q4_0"));
  CHECK_EQ(summary.head, std::string("Q8_0"));
  CHECK(summary.quantised);
  CHECK(Model::load(to, {})->cannot_decode().empty());
  std::filesystem::remove(to);
}

TEST(quantize_that_is_cancelled_leaves_nothing_and_does_not_stop_the_next) {
  const std::string from = tiny_model("llama")->path();
  const std::string to = fresh("cancelled.gguf");
  QuantizeProgress progress;
  progress.cancel = true;
  CHECK(thrown<CancelledError>([&] { quantize(from, to, types("Q4_0", "Q4_0"), &progress); }).has_value());
  CHECK(!std::filesystem::exists(to));
  quantize(from, to, types("Q4_0", "Q4_0"));
  CHECK(std::filesystem::exists(to));
  std::filesystem::remove(to);
}

TEST(quantize_tells_why_a_file_cannot_be_written) {
  const std::string from = tiny_model("llama")->path();
  const std::string to = fresh("no_folder") + "/out.gguf";
  const auto error = thrown<std::system_error>([&] { quantize(from, to, types("Q4_0", "Q4_0")); });
  REQUIRE(error.has_value());
  CHECK(error->code() == std::errc::no_such_file_or_directory);
}

TEST(quantize_refuses_wrong_options_before_it_touches_a_file) {
  const std::string from = tiny_model("llama")->path();
  const std::string to = fresh("kept.gguf");
  std::ofstream(to) << "before";
  QuantizeOptions negative = types("Q4_0", "Q4_0");
  negative.n_threads = -1;
  for (const QuantizeOptions& wrong :
       {types("Q4_9", "Q4_0"), types("Q4_0", ""), types("Q4_0", "Q6_K"), negative}) {
    CHECK(thrown<std::invalid_argument>([&] { quantize(from, to, wrong); }).has_value());
  }
  CHECK(thrown<std::invalid_argument>([&] { quantize(from, from, types("Q4_0", "Q4_0")); }).has_value());
  CHECK(thrown<ModelError>([&] { quantize(to, from, types("Q4_0", "Q4_0")); }).has_value());
  std::string kept;
  std::ifstream(to) >> kept;
  CHECK_EQ(kept, std::string("before"));
  CHECK_EQ(check_gguf(from).architecture, std::string("llama"));
  std::filesystem::remove(to);
}
