// The rules for sizes, experts, windows, rotation scaling and recurrence: the assertions and divisions of
// src/llama-model.cpp, which every architecture meets, and those of src/models/*.cpp that follow from one
// key.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "gguf_metadata.h"
#include "gguf_reader.h"
#include "gguf_rules.h"

namespace aspd {

namespace {

constexpr double kMostLayers = 512.0;    // LLAMA_MAX_LAYERS
constexpr double kMostExperts = 1024.0;  // LLAMA_MAX_EXPERTS
constexpr double kMostTokens = 4194304.0;
constexpr double kLargestSize = 1048576.0;  // of a vector
constexpr double kLongestContext = 2147483647.0;
constexpr double kLongestWindow = 4194304.0;
constexpr double kNone = 4294967295.0;  // -1 as u32

// A key that must have at least this value in files of this architecture.
struct Least {
  std::string_view architecture;
  const char* name;
  double value;
};
constexpr std::array<Least, 31> kLeast = {{
    {"mamba", "ssm.time_step_rank", 1.0},
    {"mamba2", "ssm.time_step_rank", 1.0},
    {"jamba", "ssm.time_step_rank", 1.0},
    {"plamo2", "ssm.time_step_rank", 1.0},
    {"falcon-h1", "ssm.time_step_rank", 1.0},
    {"granitehybrid", "ssm.time_step_rank", 1.0},
    {"nemotron_h", "ssm.time_step_rank", 1.0},
    {"nemotron_h_moe", "ssm.time_step_rank", 1.0},
    {"qwen3next", "full_attention_interval", 1.0},
    {"qwen35", "full_attention_interval", 1.0},
    {"qwen35moe", "full_attention_interval", 1.0},
    {"rwkv6", "wkv.head_size", 1.0},
    {"rwkv6qwen2", "wkv.head_size", 1.0},
    {"rwkv7", "wkv.head_size", 1.0},
    {"arwkv7", "wkv.head_size", 1.0},
    {"lfm2", "shortconv.l_cache", 2.0},
    {"lfm2moe", "shortconv.l_cache", 2.0},
    {"t5", "decoder_block_count", 1.0},
    {"t5", "attention.relative_buckets_count", 4.0},
    {"hrm_text", "hrm.layers_per_stack", 1.0},
    {"hrm_text", "hrm.h_cycles", 1.0},
    {"hrm_text", "hrm.l_cycles", 1.0},
    {"minimax-m3", "attention.indexer.block_size", 1.0},
    {"ernie4_5-moe", "interleave_moe_layer_step", 1.0},
    {"grovemoe", "experts_per_group", 1.0},
    {"grovemoe", "expert_count", 1.0},
    {"glm4moe", "expert_count", 1.0},
    {"bailingmoe2", "expert_count", 1.0},
    {"llada-moe", "expert_count", 1.0},
    {"smallthinker", "expert_count", 1.0},
    {"lfm2moe", "expert_count", 1.0},
}};

// Their graphs take the gating function as it is; 0 or none aborts.
constexpr std::string_view kGated =
    " bailingmoe2 bailingmoe3 deepseek32 dots1 dots3note exaone-moe kimi-k3 kimi-linear lfm2moe minimax-m2 "
    "minimax-m3 smallthinker ";

constexpr std::string_view kDeltaRule = " qwen3next qwen35 qwen35moe ";

void check_sizes(const Hyperparameters& model) {
  model.check_range("block_count", 1.0, kMostLayers);
  model.check_range("context_length", 1.0, kLongestContext);
  model.check_range("embedding_length", 1.0, kLargestSize);
  model.check_range("feed_forward_length", 0.0, kLargestSize);
  model.check_range("vocab_size", 0.0, kMostTokens);
  const double n_layers = model.number("block_count").value_or(kMostLayers);
  model.check_range("nextn_predict_layers", 0.0, n_layers);
  model.check_range("n_deepstack_layers", 0.0, n_layers);
  if (model.number("pooling_type") != kNone) model.check_range("pooling_type", 0.0, 4.0);
  // The CPU's kernels assert it.
  model.check_range("attention.layer_norm_epsilon", 0.0, 1e30);
  model.check_range("attention.layer_norm_rms_epsilon", 0.0, 1e30);
  model.check_range("attention.group_norm_epsilon", 0.0, 1e30);
}

void check_experts(const Hyperparameters& model) {
  model.check_range("expert_count", 0.0, kMostExperts);
  model.check_range("expert_gating_func", 0.0, 4.0);
  const double n_experts = model.number("expert_count").value_or(0.0);
  const bool is_hunyuan = model.architecture() == "hunyuan-dense" || model.architecture() == "hunyuan_vl";
  if (is_hunyuan && n_experts <= 1.0) return model.check_range("expert_group_count", 0.0, 0.0);  // none
  model.check_range("expert_used_count", 0.0, n_experts);
  const std::vector<double> used = model.numbers("expert_used_count");
  const double most_used = used.empty() ? 0.0 : *std::max_element(used.begin(), used.end());
  if (n_experts > 0.0 && most_used < 1.0) model.fail("expert_used_count", most_used, "at least 1");
  const bool is_gated = kGated.find(" " + model.architecture() + " ") != std::string_view::npos;
  if (n_experts > 0.0 && is_gated && model.number("expert_gating_func").value_or(0.0) < 1.0) {
    model.fail("expert_gating_func", 0.0, "given, from 1 to 4");
  }
  model.check_range("expert_group_count", 0.0, std::max(n_experts - 1.0, 0.0));
  const double n_groups = model.number("expert_group_count").value_or(0.0);
  if (n_groups <= 1.0) return;
  if (std::fmod(n_experts, n_groups) != 0.0)
    model.fail("expert_group_count", n_groups, "a divisor of the number of experts");
  const double n_used_groups = model.number("expert_group_used_count").value_or(0.0);
  if (!(n_used_groups >= 1.0 && n_used_groups < n_groups)) {
    model.fail("expert_group_used_count", n_used_groups, "at least 1 and fewer than the groups");
  }
}

void check_window(const Hyperparameters& model) {
  model.check_range("attention.sliding_window", 0.0, kLongestWindow);
  if (model.number("attention.sliding_window").value_or(0.0) == 0.0) return;
  const std::string name = "attention.sliding_window_pattern";
  const std::vector<double> pattern = model.numbers(name);
  const bool is_period = model.number(name).has_value();  // every n-th layer has no window
  const bool has_window =
      std::any_of(pattern.begin(), pattern.end(), [](double value) { return value != 0.0; });
  if (is_period ? pattern.front() == 1.0 : !pattern.empty() && !has_window) {
    model.fail("the file has a sliding window, but its sliding_window_pattern gives it to no layer");
  }
}

void check_rotation_scaling(const Hyperparameters& model) {
  const std::optional<std::string> type = model.text("rope.scaling.type");
  if (type.has_value() && *type != "none" && *type != "linear" && *type != "yarn" && *type != "longrope") {
    model.fail("the rotation scaling " + quoted(*type) +
               " is unknown; it must be none, linear, yarn or longrope");
  }
  const bool is_scaled = model.architecture() == "deepseek2" || model.architecture() == "mistral4";
  if (is_scaled && model.number("attention.temperature_scale").value_or(0.0) != 0.0) {
    const double length = model.number("attention.temperature_length").value_or(0.0);
    if (length < 1.0) model.fail("attention.temperature_length", length, "at least 1");
  }
}

// Linear attention of the Qwen models: as many values as keys in a head, and a head of keys for several of
// values.
void check_delta_rule(const Hyperparameters& model) {
  if (kDeltaRule.find(" " + model.architecture() + " ") == std::string_view::npos) return;
  const double n_heads = model.number("ssm.time_step_rank").value_or(0.0);
  const double n_inner = model.number("ssm.inner_size").value_or(0.0);
  const double size = n_heads * model.number("ssm.state_size").value_or(0.0);
  if (n_inner != size) model.fail("ssm.inner_size", n_inner, "time_step_rank * state_size, " + shown(size));
  const double n_groups = model.number("ssm.group_count").value_or(0.0);
  if (n_groups > 0.0 ? std::fmod(n_heads, n_groups) != 0.0 : n_heads > 0.0) {
    model.fail("ssm.group_count", n_groups, "a divisor of the time_step_rank " + shown(n_heads));
  }
}

// The kernel of RWKV 7 computes 64 values at a time, beyond the end of heads that have fewer.
void check_rwkv(const Hyperparameters& model) {
  const double size = model.number("wkv.head_size").value_or(0.0);
  if (size < 1.0) return;
  const double n_embd = model.number("embedding_length").value_or(0.0);
  if (std::fmod(n_embd, size) != 0.0) model.fail("wkv.head_size", size, "a divisor of " + shown(n_embd));
  const bool is_seventh = model.architecture() == "rwkv7" || model.architecture() == "arwkv7";
  if (is_seventh && std::fmod(size, 64.0) != 0.0) model.fail("wkv.head_size", size, "a multiple of 64");
  const double n_shifts = model.number("token_shift_count").value_or(2.0);
  const bool is_own = model.architecture() == "rwkv6" || model.architecture() == "rwkv7";
  if (is_own && n_shifts != 2.0) model.fail("token_shift_count", n_shifts, "2");
}

void check_single_rules(const Hyperparameters& model) {
  for (const Least& least : kLeast) {
    if (least.architecture != model.architecture()) continue;
    const double value = model.number(least.name).value_or(least.value);
    if (!(value >= least.value)) model.fail(least.name, value, "at least " + shown(least.value));
  }
  const auto value_of = [&](const char* name) { return model.number(name).value_or(0.0); };
  if (model.architecture() == "hrm_text") {
    const double n_slots =
        value_of("hrm.layers_per_stack") * value_of("hrm.h_cycles") * (value_of("hrm.l_cycles") + 1.0);
    if (value_of("block_count") != n_slots)
      model.fail("block_count", value_of("block_count"), shown(n_slots) + " by its cycles");
  }
  const double bound = value_of("kda.gate_lower_bound");
  if (model.architecture() == "bailingmoe3" && !(bound < 0.0))
    model.fail("kda.gate_lower_bound", bound, "below 0");
  const double n_inner = value_of("ssm.inner_size");
  const double n_embd = value_of("embedding_length");
  const double n_out = value_of("embedding_length_out");
  if (model.architecture() == "t5" && n_out != 0.0 && n_out != n_embd)
    model.fail("embedding_length_out", n_out, "the embedding_length, " + shown(n_embd));
  const bool is_double = model.architecture() == "granitehybrid" || model.architecture() == "jamba";
  if (is_double && n_inner != 2.0 * n_embd)
    model.fail("ssm.inner_size", n_inner, "twice the embedding_length");
}

}  // namespace

std::string shown(double value) {
  const bool is_whole = std::abs(value) < 1e15 && value == std::floor(value);
  return is_whole ? std::to_string(static_cast<std::int64_t>(value)) : std::to_string(value);
}

Hyperparameters::Hyperparameters(const GgufReader& reader, const GgufMetadata& metadata)
    : reader_(reader), metadata_(metadata), architecture_(metadata.text("general.architecture")) {}

std::optional<double> Hyperparameters::number(const std::string& name) const {
  return metadata_.number(architecture_ + "." + name);
}

std::vector<double> Hyperparameters::numbers(const std::string& name) const {
  return metadata_.numbers(architecture_ + "." + name);
}

std::optional<std::string> Hyperparameters::text(const std::string& name) const {
  const GgufValue* value = metadata_.find(architecture_ + "." + name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value->text);
}

void Hyperparameters::check_range(const std::string& name, double least, double most) const {
  for (const double value : numbers(name)) {
    if (!(value >= least && value <= most)) fail(name, value, "from " + shown(least) + " to " + shown(most));
  }
}

void Hyperparameters::fail(const std::string& name, double value, const std::string& rule) const {
  reader_.fail("metadata key " + quoted(architecture_ + "." + name) + " is " + shown(value) +
               ", it must be " + rule);
}

void Hyperparameters::fail(const std::string& message) const { reader_.fail(message); }

void check_hyperparameters(const Hyperparameters& model) {
  check_sizes(model);
  check_experts(model);
  check_window(model);
  check_rotation_scaling(model);
  check_delta_rule(model);
  check_rwkv(model);
  check_single_rules(model);
}

}  // namespace aspd
