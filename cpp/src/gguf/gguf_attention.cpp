// The rules for attention: heads, their sizes, and the shapes of queries, keys and values. llama.cpp cuts
// these tensors into heads and aborts where a tensor is not as long as its heads (src/llama-graph.cpp,
// build_qkv; src/models/*.cpp).
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "gguf_reader.h"
#include "gguf_rules.h"
#include "gguf_tensors.h"

namespace aspd {

namespace {

constexpr double kLargestSize = 1048576.0;

// Lists of architectures, by name.
// Keys, values and rotations have one size: n_embd_head == n_rot.
constexpr std::string_view kOneSize =
    " apertus arcee arctic baichuan chameleon codeshell cogvlm cohere2moe dbrx deci deepseek dots1 dream "
    "ernie4_5 ernie4_5-moe exaone exaone-moe exaone4 falcon granite granite_swa granitemoe graniteswitch "
    "grok grovemoe hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 internlm2 jais2 llada llada-moe llama "
    "llama-embed llama4 maincoder mellum minicpm minimax-01 minimax-m2 mistral3 nemotron olmo olmo2 olmoe "
    "orion paddleocr pangu-embedded plamo pockettts qwen2 qwen2moe qwen2vl qwen3 qwen3moe qwen3vl "
    "qwen3vlmoe rnd1 seed_oss smallthinker smollm3 starcoder2 talkie xverse ";
// Keys and values have one size, rotations may be smaller or absent.
constexpr std::string_view kOneKeyValueSize =
    " afmoe bailingmoe bailingmoe2 bert bitnet bloom chatglm cohere2 command-r eurobert falcon-h1 gemma "
    "gemma-embedding gemma2 gemma3 glm4 glm4moe gpt-oss gpt2 gptneox granitehybrid hrm_text jais jamba "
    "jina-bert-v2 jina-bert-v3 laguna lfm2 lfm2moe maple minimax-m3 modern-bert mpt muse-glimmer nanbeige "
    "nemotron_h nemotron_h_moe neo-bert nomic-bert nomic-bert-moe openelm phi2 phi3 phimoe plamo3 qwen "
    "qwen35 qwen35moe qwen3next refact spark2_5 stablelm starcoder t5 ";
// Latent attention: a key is a latent vector and a rotated part.
constexpr std::string_view kLatent =
    " bailingmoe3 deepseek2 deepseek32 glm-dsa kimi-k3 kimi-linear mistral4 ";
// Without attention: their files say 0 heads.
constexpr std::string_view kHeadless = " mamba mamba2 rwkv6 rwkv6qwen2 rwkv7 arwkv7 ";

bool contains(std::string_view names, const std::string& name) {
  return names.find(" " + name + " ") != std::string_view::npos;
}

double of_layer(const std::vector<double>& values, std::size_t layer) {
  if (values.size() == 1) return values.front();
  return layer < values.size() ? values[layer] : 0.0;
}

// "blk.3.attn_q.weight" -> 3
std::size_t layer_of(const std::string& name) {
  std::size_t layer = 0;
  for (std::size_t i = 4; i < name.size() && i < 8 && name[i] >= '0' && name[i] <= '9'; ++i) {
    layer = layer * 10 + static_cast<std::size_t>(name[i] - '0');
  }
  return layer;
}

bool is_part(const std::string& name, const char* part) { return name.find(part) != std::string::npos; }

// Attention of one file, as llama.cpp computes it from the keys.
struct Attention {
  std::vector<double> heads;     // of the queries: one number, or one for each layer
  std::vector<double> heads_kv;  // of keys and values
  std::optional<double> key;     // size of a head; none: not known
  std::optional<double> value;
};

Attention attention_of(const Hyperparameters& model) {
  Attention result;
  result.heads = model.numbers("attention.head_count");
  result.heads_kv = model.numbers("attention.head_count_kv");
  if (result.heads_kv.empty()) result.heads_kv = result.heads;
  std::optional<double> size;
  const std::optional<double> n_embd = model.number("embedding_length");
  if (n_embd.has_value() && !result.heads.empty() && result.heads.front() >= 1.0) {
    size = std::floor(*n_embd / result.heads.front());
  }
  const std::optional<double> key = model.number("attention.key_length");
  const std::optional<double> value = model.number("attention.value_length");
  result.key = key.has_value() ? key : size;
  result.value = value.has_value() ? value : size;
  return result;
}

void check_heads(const Hyperparameters& model, const Attention& attention) {
  const bool may_be_none = attention.heads.size() != 1 || contains(kHeadless, model.architecture());
  model.check_range("attention.head_count", may_be_none ? 0.0 : 1.0, kLargestSize);
  model.check_range("attention.head_count_kv", 0.0, kLargestSize);
  for (std::size_t i = 0; i < std::max(attention.heads.size(), attention.heads_kv.size()); ++i) {
    const double n = of_layer(attention.heads, i);
    const double n_kv = of_layer(attention.heads_kv, i);
    if (n_kv > 0.0 && std::fmod(n, n_kv) != 0.0) {
      model.fail("attention.head_count", n, "a multiple of the " + shown(n_kv) + " heads of the keys");
    }
    // Attention to what an encoder has read takes the first layer's number for all, keys included.
    const double n_first = attention.heads.empty() ? 0.0 : attention.heads.front();
    if (model.architecture() == "t5" && (n != n_first || n_kv != n_first))
      model.fail("attention.head_count_kv", n_kv, "the " + shown(n_first) + " heads of the queries");
  }
  const std::optional<double> n_embd = model.number("embedding_length");
  const bool is_divided = attention.heads.size() == 1 && attention.heads.front() > 0.0 &&
                          !model.number("attention.key_length").has_value();
  if (is_divided && n_embd.has_value() && std::fmod(*n_embd, attention.heads.front()) != 0.0) {
    model.fail("embedding_length", *n_embd, "a multiple of the " + shown(attention.heads.front()) + " heads");
  }
}

void check_equal(const Hyperparameters& model, const std::string& name, double expected, const char* what) {
  const double value = model.number(name).value_or(expected);
  if (value != expected) model.fail(name, value, std::string(what) + ", " + shown(expected));
}

void check_sizes(const Hyperparameters& model, const Attention& attention) {
  const double least = contains(kHeadless, model.architecture()) ? 0.0 : 1.0;
  for (const char* name : {"key_length", "value_length", "key_length_swa", "value_length_swa"}) {
    model.check_range("attention." + std::string(name), least, kLargestSize);
  }
  const double key = attention.key.value_or(0.0);
  if (contains(kOneSize, model.architecture()) || contains(kOneKeyValueSize, model.architecture())) {
    if (key != attention.value.value_or(0.0)) {
      model.fail("attention.value_length", attention.value.value_or(0.0), "the size of a key, " + shown(key));
    }
    check_equal(model, "attention.key_length_swa", key, "the size of a key");
    check_equal(model, "attention.value_length_swa", key, "the size of a key");
  }
  const bool is_latent = model.number("attention.key_length_mla").value_or(0.0) > 0.0;
  if (is_latent && contains(kLatent, model.architecture())) {
    const double rank = model.number("attention.kv_lora_rank").value_or(0.0);
    const double n_rot = model.number("rope.dimension_count").value_or(0.0);
    if (key != rank + n_rot) model.fail("attention.key_length", key, "kv_lora_rank + rope.dimension_count");
    check_equal(model, "attention.value_length", rank, "kv_lora_rank");
  }
}

// The CPU's kernel asserts that rotations are even and no longer than a key; 0 makes it loop.
void check_rotation(const Hyperparameters& model, const Attention& attention) {
  if (!attention.key.has_value() || *attention.key < 1.0) return;
  const bool is_whole = contains(kOneSize, model.architecture());
  const bool is_part_of_key = contains(kOneKeyValueSize, model.architecture());
  for (const std::string name : {"rope.dimension_count", "rope.dimension_count_swa"}) {
    const std::optional<double> n_rot = model.number(name);
    if (!n_rot.has_value()) continue;
    if (is_whole) check_equal(model, name, *attention.key, "the size of a key");
    if (std::fmod(*n_rot, 2.0) != 0.0) model.fail(name, *n_rot, "even");
    model.check_range(name, is_part_of_key ? 2.0 : 0.0, *attention.key);
  }
  if (is_whole && std::fmod(*attention.key, 2.0) != 0.0)
    model.fail("attention.key_length", *attention.key, "even");
  double sum = 0.0;
  for (const double section : model.numbers("rope.dimension_sections")) sum += section;
  model.check_range("rope.dimension_sections", 0.0, *attention.key);
  if (sum > *attention.key)
    model.fail("rope.dimension_sections", sum, "together at most " + shown(*attention.key));
}

void check_shapes(const Hyperparameters& model, const Attention& attention, const GgufTensors& tensors) {
  const std::string& architecture = model.architecture();
  const bool is_plain = contains(kOneSize, architecture) || contains(kOneKeyValueSize, architecture);
  if (!is_plain || !attention.key.has_value()) return;
  // Models with linear attention have gates among the queries, and other things under the name "attn_qkv".
  const bool is_linear = model.number("ssm.inner_size").value_or(0.0) > 0.0 || architecture == "minimax-01";
  for (const auto& [name, n_rows] : tensors.attention_rows) {
    const double n = of_layer(attention.heads, layer_of(name));
    const double n_kv = of_layer(attention.heads_kv, layer_of(name));
    const auto rows = static_cast<double>(n_rows);
    bool is_right = true;
    if (is_part(name, "attn_q."))
      is_right = rows == n * *attention.key || (is_linear && rows == 2.0 * n * *attention.key);
    if (is_part(name, "attn_k.")) is_right = rows == n_kv * *attention.key;
    if (is_part(name, "attn_v.")) is_right = rows == n_kv * *attention.key;
    if (is_part(name, "attn_qkv.") && !is_linear) is_right = rows == (n + 2.0 * n_kv) * *attention.key;
    if (!is_right) {
      model.fail("tensor " + quoted(name) + " has " + shown(rows) + " rows, which does not fit " + shown(n) +
                 " heads with " + shown(n_kv) + " heads of the keys of size " + shown(*attention.key));
    }
  }
}

}  // namespace

void check_attention(const Hyperparameters& model, const GgufTensors& tensors) {
  const Attention attention = attention_of(model);
  check_heads(model, attention);
  check_sizes(model, attention);
  check_rotation(model, attention);
  check_shapes(model, attention, tensors);
}

}  // namespace aspd
