// The rules for tensors that llama.cpp takes for optional when it loads a model but computes with all the
// same (src/models/*.cpp, build_ffn in src/llama-graph.cpp): without them it follows a null pointer or
// aborts. It names other missing tensors itself.
#include <array>
#include <string>
#include <string_view>

#include "gguf_reader.h"
#include "gguf_rules.h"
#include "gguf_tensors.h"

namespace aspd {

namespace {

// A weight that a model must have, or else the other one. '*' stands for each layer.
struct Needed {
  std::string_view architectures;  // by name; empty: all
  std::string_view name;
  std::string_view other = {};   // empty: nothing replaces it
  std::string_view beside = {};  // needed only in layers that have this weight; empty: in all
};
constexpr std::string_view kExperts = " hy_v3 mimo2 step35 ";
constexpr std::array<Needed, 22> kNeeded = {{
    {"", "blk.*.ffn_up", "", "blk.*.ffn_down"},
    {"", "blk.*.ffn_up", "", "blk.*.ffn_gate"},
    {"", "blk.*.ffn_down", "", "blk.*.ffn_up"},
    {"", "blk.*.ffn_up_shexp", "", "blk.*.ffn_down_shexp"},
    {"", "blk.*.ffn_up_shexp", "", "blk.*.ffn_gate_shexp"},
    {"", "blk.*.ffn_down_shexp", "", "blk.*.ffn_up_shexp"},
    {kExperts, "blk.*.ffn_up_exps", "blk.*.ffn_gate_up_exps", "blk.*.ffn_gate_inp"},
    {kExperts, "blk.*.ffn_down_exps", "", "blk.*.ffn_gate_inp"},
    {" phi3 pockettts ", "blk.*.attn_q", "blk.*.attn_qkv"},
    {" phi3 pockettts ", "blk.*.attn_k", "blk.*.attn_qkv"},
    {" phi3 pockettts ", "blk.*.attn_v", "blk.*.attn_qkv"},
    {" qwen35 qwen35moe ", "blk.*.attn_qkv", "", "blk.*.ssm_conv1d"},
    {" qwen35 qwen35moe ", "blk.*.attn_gate", "", "blk.*.ssm_conv1d"},
    {" qwen3next ", "blk.*.attn_qkv", "blk.*.ssm_in", "blk.*.ssm_conv1d"},
    {" qwen3next ", "blk.*.attn_gate", "blk.*.ssm_in", "blk.*.ssm_conv1d"},
    {" rwkv6 ", "blk.*.time_mix_lerp_w", "blk.*.time_mix_lerp_fused"},
    {" rwkv6 ", "blk.*.time_mix_lerp_k", "blk.*.time_mix_lerp_fused"},
    {" rwkv6 ", "blk.*.time_mix_lerp_v", "blk.*.time_mix_lerp_fused"},
    {" rwkv6 ", "blk.*.time_mix_lerp_r", "blk.*.time_mix_lerp_fused"},
    {" rwkv6 ", "blk.*.time_mix_lerp_g", "blk.*.time_mix_lerp_fused"},
    {" t5 t5encoder ", "enc.blk.0.attn_rel_b"},
    {" t5 ", "dec.blk.0.attn_rel_b"},
}};

// Of these llama.cpp also loads files that hold nothing but the layers which predict ahead.
constexpr std::string_view kPredictAhead =
    " bailingmoe3 cohere2moe deepseek2 deepseek32 deepseek4 glm-dsa glm4moe hy_v3 mimo2 nemotron_h "
    "nemotron_h_moe qwen35 qwen35moe qwen3next step35 ";

bool contains(std::string_view names, const std::string& name) {
  return names.find(" " + name + " ") != std::string_view::npos;
}

// "blk.*.attn_q", 3 -> "blk.3.attn_q.weight"
std::string name_of(std::string_view pattern, int layer) {
  std::string name(pattern);
  const std::size_t star = name.find('*');
  if (star != std::string::npos) name.replace(star, 1, std::to_string(layer));
  return name + ".weight";
}

}  // namespace

void check_needed_tensors(const Hyperparameters& model, const GgufTensors& tensors) {
  const auto has = [&](const std::string& name) { return tensors.names.count(name) != 0; };
  const double n_ahead = model.number("nextn_predict_layers").value_or(0.0);
  const auto n_layers = static_cast<int>(model.number("block_count").value_or(0.0) - n_ahead);
  if (n_ahead > 0.0 && contains(kPredictAhead, model.architecture()) && !has("blk.0.attn_norm.weight"))
    model.fail("the file holds only the layers of a model that predict ahead, not the model");
  for (const Needed& needed : kNeeded) {
    if (!needed.architectures.empty() && !contains(needed.architectures, model.architecture())) continue;
    const bool is_in_each = needed.name.find('*') != std::string_view::npos;
    for (int layer = 0; layer < (is_in_each ? n_layers : 1); ++layer) {
      if (!needed.beside.empty() && !has(name_of(needed.beside, layer))) continue;
      const std::string name = name_of(needed.name, layer);
      if (has(name) || (!needed.other.empty() && has(name_of(needed.other, layer)))) continue;
      model.fail("tensor " + quoted(name) + " is missing");
    }
  }
}

}  // namespace aspd
