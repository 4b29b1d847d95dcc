// The strict reader: what the metadata of a model and its vocabulary must say.
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "gguf_file.h"

using namespace aspd_test;

TEST(gguf_vocabulary_arrays_have_one_length) {
  const auto with = [] { return TestFile().vocabulary("llama", {"a", "b", "c"}); };
  CHECK_EQ(complaint(with().i32s("tokenizer.ggml.token_type", {1, 1, 1})), "");
  CHECK(says(complaint(with().i32s("tokenizer.ggml.token_type", {1, 1})), "2 entries"));
  CHECK(says(complaint(with().i32s("tokenizer.ggml.scores", {1, 1, 1, 1})), "4 entries"));
  CHECK(says(complaint(TestFile().vocabulary("llama", {})), "no tokens"));
  CHECK(says(complaint(TestFile().i32s("tokenizer.ggml.tokens", {1})), "array of texts"));
  CHECK(says(complaint(with().i32s("tokenizer.ggml.merges", {1})), "array of texts"));
  CHECK(says(complaint(with().texts("tokenizer.ggml.scores", {"1", "2", "3"})), "array of numbers"));
  CHECK(says(complaint(with().u32("tokenizer.ggml.merges", 1)), "array of texts"));
}

TEST(gguf_tokens_are_different) {
  CHECK(says(complaint(TestFile().vocabulary("gpt2", {"a", "b", "a"})), "tokens 0 and 2"));
  // llama.cpp ends a text at its first zero byte and gives names to empty ones
  const std::string cut("a\0x", 3);
  CHECK(says(complaint(TestFile().vocabulary("gpt2", {"a", "b", cut})), "tokens 0 and 2"));
  CHECK(says(complaint(TestFile().vocabulary("gpt2", {"[EMPTY_1]", ""})), "tokens 0 and 1"));
  CHECK_EQ(complaint(TestFile().vocabulary("gpt2", {"", "", "a"})), "");
}

TEST(gguf_tokens_are_not_long) {
  CHECK_EQ(complaint(TestFile().vocabulary("gpt2", {std::string(4096, 'x')})), "");
  CHECK(says(complaint(TestFile().vocabulary("gpt2", {std::string(4097, 'x')})), "4097"));
  std::vector<std::string> tokens;
  for (int i = 0; i < 40; ++i) tokens.push_back(std::to_string(i) + std::string(4000, 'x'));
  CHECK(says(complaint(TestFile().vocabulary("gpt2", tokens)), "too long"));
}

TEST(gguf_special_tokens_are_in_the_vocabulary) {
  for (const char* name : {"bos", "eos", "eot", "eom"}) {
    const std::string key = "tokenizer.ggml." + std::string(name) + "_token_id";
    CHECK_EQ(complaint(TestFile().vocabulary("gpt2", {"a", "b"}).u32(key, 1)), "");
    CHECK(says(complaint(TestFile().vocabulary("gpt2", {"a", "b"}).u32(key, 2)), "names token 2"));
    CHECK_EQ(complaint(TestFile().vocabulary("gpt2", {"a", "b"}).u32(key, 0xFFFFFFFF)), "");  // none
  }
  // llama.cpp ignores these
  CHECK_EQ(complaint(TestFile().vocabulary("gpt2", {"a"}).u32("tokenizer.ggml.padding_token_id", 9)), "");
}

TEST(gguf_vocabulary_of_each_kind_obeys_its_own_rule) {
  TestFile word_piece;
  word_piece.vocabulary("bert", {"a", "b"}).i32s("tokenizer.ggml.token_type", {1, 6});
  CHECK(says(complaint(word_piece), "WordPiece"));
  CHECK_EQ(complaint(TestFile().vocabulary("rwkv", {"a", "ab", "\\n", "\\n\\n", "\\x00", "\\x00b"})), "");
  CHECK(says(complaint(TestFile().vocabulary("rwkv", {"a", "ba"})), "RWKV"));
  CHECK(says(complaint(TestFile().vocabulary("rwkv", {"\\n\\n"})), "RWKV"));
  CHECK(says(complaint(TestFile().vocabulary("rwkv", {"\\", "\\\\a"})), "RWKV"));
  TestFile spaces;
  spaces.vocabulary("gpt2", {"a"}).text("tokenizer.ggml.pre", "whitespace");
  CHECK(says(complaint(spaces), "whitespace"));
}

TEST(gguf_plamo2_tokens_are_short_and_utf8) {
  const auto with = [](const std::string& token) {
    return complaint(TestFile().vocabulary("plamo2", {"a", "ab", token}));
  };
  for (const char* token : {"ab\xc3\xa9", "\xe2\x96\x81the", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"})
    CHECK_EQ(with(token), "");
  for (const char* token : {"ab\x80", "\xc3", "\xe2\x96", "\xe2\x96z", "\xc1\x81", "\xe0\x80\xaf",
                            "\xf0\x80\x80\xaf", "\xf4\x90\x80\x80", "\xff\xfe"})
    CHECK(says(with(token), "not UTF-8"));
  CHECK_EQ(complaint(TestFile().vocabulary("gpt2", {"ab\x80"})), "");
  CHECK_EQ(with(std::string(1024, 'x')), "");
  CHECK(says(with(std::string(1300, 'x')), "too long"));
  CHECK_EQ(complaint(TestFile().vocabulary("gpt2", {std::string(1300, 'x')})), "");
}

namespace {

// The file of an architecture with these numbers; its one tensor has 32 rows.
std::string complaint_about(const std::string& architecture,
                            const std::vector<std::pair<std::string, double>>& numbers) {
  TestFile file;
  file.keys.clear();
  file.text("general.architecture", architecture);
  for (const auto& [name, value] : numbers) {
    const std::string key = architecture + "." + name;
    if (says(name, "epsilon") || says(name, "scale")) {
      file.f32(key, static_cast<float>(value));
    } else {
      file.u32(key, static_cast<std::uint32_t>(value));
    }
  }
  return complaint(file);
}

}  // namespace

TEST(gguf_sizes_are_in_range) {
  for (const double n : {0.0, 513.0, 4294967295.0})
    CHECK(says(complaint_about("x", {{"block_count", n}}), "block_count"));
  CHECK(says(complaint_about("x", {{"context_length", 0}}), "context_length"));
  CHECK(says(complaint_about("x", {{"embedding_length", 0}}), "embedding_length"));
  CHECK(says(complaint_about("x", {{"embedding_length", 4e9}}), "embedding_length"));
  CHECK(says(complaint_about("x", {{"vocab_size", 4e9}}), "vocab_size"));
  CHECK(
      says(complaint_about("x", {{"block_count", 2}, {"nextn_predict_layers", 3}}), "nextn_predict_layers"));
  CHECK(says(complaint_about("x", {{"attention.sliding_window", 4e9}}), "sliding_window"));
  CHECK_EQ(complaint_about("x", {{"block_count", 512}, {"context_length", 1048576}}), "");
}

TEST(gguf_epsilons_are_not_negative) {
  const std::string name = "attention.layer_norm_rms_epsilon";
  for (const double eps :
       {-1e-5, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    CHECK(says(complaint_about("x", {{name, eps}}), name));
  }
  CHECK_EQ(complaint_about("x", {{name, 1e-5}}), "");
}

TEST(gguf_heads_divide_the_embedding_and_each_other) {
  CHECK(says(complaint_about("x", {{"attention.head_count", 0}}), "head_count"));
  CHECK_EQ(complaint_about("mamba", {{"attention.head_count", 0}}), "");
  CHECK(says(complaint_about("x", {{"embedding_length", 32}, {"attention.head_count", 5}}),
             "multiple of the 5"));
  CHECK(says(complaint_about("x", {{"attention.head_count", 8}, {"attention.head_count_kv", 3}}),
             "multiple of the 3"));
  CHECK(says(complaint_about("x", {{"attention.key_length", 0}}), "key_length"));
}

TEST(gguf_heads_fit_the_tensors) {
  // 32 rows: 4 heads of 8
  CHECK_EQ(complaint_about("qwen2", {{"embedding_length", 32}, {"attention.head_count", 4}}), "");
  CHECK(says(complaint_about("qwen2", {{"embedding_length", 64}, {"attention.head_count", 4}}), "32 rows"));
  const std::vector<std::pair<std::string, double>> good = {{"embedding_length", 32},
                                                            {"attention.head_count", 4},
                                                            {"attention.key_length", 8},
                                                            {"attention.value_length", 8}};
  const auto with = [&](const std::string& name, double value) {
    std::vector<std::pair<std::string, double>> numbers = good;
    for (auto& [key, old] : numbers) {
      if (key == name) old = value;
    }
    if (numbers == good) numbers.emplace_back(name, value);
    return complaint_about("qwen2", numbers);
  };
  CHECK_EQ(with("rope.dimension_count", 8), "");
  CHECK(says(with("rope.dimension_count", 4), "size of a key"));
  CHECK(says(with("attention.value_length", 16), "size of a key"));
  CHECK(says(with("attention.key_length_swa", 16), "size of a key"));
  CHECK(says(with("attention.head_count", 8), "32 rows"));
}

TEST(gguf_rotations_are_even_and_within_a_key) {
  const auto with = [](double n_rot) {
    return complaint_about("x", {{"attention.head_count", 2},
                                 {"attention.key_length", 16},
                                 {"attention.value_length", 16},
                                 {"rope.dimension_count", n_rot}});
  };
  CHECK_EQ(with(8), "");
  CHECK(says(with(7), "even"));
  CHECK(says(with(18), "from 0 to 16"));
  CHECK(says(complaint_about("gemma3", {{"attention.head_count", 2},
                                        {"attention.key_length", 16},
                                        {"attention.value_length", 16},
                                        {"rope.dimension_count", 0}}),
             "from 2 to 16"));
  TestFile scaled;
  scaled.text("llama.rope.scaling.type", "cubic");
  CHECK(says(complaint(scaled), "cubic"));
}

TEST(gguf_experts_are_consistent) {
  const auto with = [](double count, double used, double groups = 0, double used_groups = 0) {
    return complaint_about("x", {{"expert_count", count},
                                 {"expert_used_count", used},
                                 {"expert_group_count", groups},
                                 {"expert_group_used_count", used_groups}});
  };
  CHECK_EQ(with(0, 0), "");
  CHECK_EQ(with(8, 2, 4, 2), "");
  CHECK(says(with(2000, 2), "expert_count"));
  CHECK(says(with(8, 9), "expert_used_count"));
  CHECK(says(with(8, 0), "expert_used_count"));
  CHECK(says(with(8, 2, 3, 1), "divisor"));
  CHECK(says(with(8, 2, 4, 4), "fewer than the groups"));
  CHECK(says(with(8, 2, 8, 1), "expert_group_count"));
  CHECK(says(complaint_about("x", {{"expert_gating_func", 9}}), "expert_gating_func"));
  CHECK(says(complaint_about("hunyuan_vl", {{"expert_group_count", 1}}), "expert_group_count"));
}

TEST(gguf_divisors_of_recurrent_models_are_not_zero) {
  CHECK(says(complaint_about("rwkv6", {{"wkv.head_size", 0}}), "wkv.head_size"));
  CHECK(says(complaint_about("qwen35", {{"full_attention_interval", 0}}), "full_attention_interval"));
  CHECK_EQ(complaint_about("llama", {{"wkv.head_size", 0}, {"ssm.inner_size", 0}}), "");  // not used there
}

TEST(gguf_linear_attention_has_heads_of_one_size) {
  const auto with = [](double inner, double groups) {
    return complaint_about("qwen35", {{"ssm.time_step_rank", 4},
                                      {"ssm.state_size", 8},
                                      {"ssm.inner_size", inner},
                                      {"ssm.group_count", groups}});
  };
  CHECK_EQ(with(32, 2), "");
  CHECK(says(with(64, 2), "ssm.inner_size"));
  CHECK(says(with(32, 3), "ssm.group_count"));
  CHECK(says(with(32, 0), "ssm.group_count"));
}

namespace {

// A file of two layers with these tensors.
TestFile file_with(const std::string& architecture, const std::vector<std::string>& names) {
  TestFile file;
  file.keys.clear();
  file.text("general.architecture", architecture).u32(architecture + ".block_count", 2);
  file.tensors.clear();
  for (const std::string& name : names) {
    TestTensor tensor;
    tensor.name = name;
    tensor.offset = file.tensors.size() * tensor.n_bytes;
    file.tensors.push_back(tensor);
  }
  return file;
}

std::string complaint_with(const std::string& architecture, const std::vector<std::string>& names) {
  return complaint(file_with(architecture, names));
}

}  // namespace

TEST(gguf_relative_positions_have_weights) {
  const std::string encoder = "enc.blk.0.attn_rel_b.weight";
  const std::string decoder = "dec.blk.0.attn_rel_b.weight";
  CHECK_EQ(complaint_with("t5", {encoder, decoder}), "");
  CHECK_EQ(complaint_with("t5encoder", {encoder}), "");
  CHECK(says(complaint_with("t5", {encoder}), decoder + "' is missing"));
  CHECK(says(complaint_with("t5", {decoder}), encoder + "' is missing"));
  CHECK(says(complaint_with("t5encoder", {"enc.blk.1.attn_rel_b.weight"}), encoder + "' is missing"));
}

TEST(gguf_each_layer_has_the_weights_that_its_graph_takes) {
  CHECK_EQ(complaint_with("phi3", {"blk.0.attn_qkv.weight", "blk.1.attn_qkv.weight"}), "");
  CHECK_EQ(complaint_with("phi3", {"blk.0.attn_qkv.weight", "blk.1.attn_q.weight", "blk.1.attn_k.weight",
                                   "blk.1.attn_v.weight"}),
           "");
  CHECK(says(complaint_with("phi3", {"blk.0.attn_qkv.weight"}), "blk.1.attn_q.weight"));
  CHECK(says(complaint_with("rwkv6", {"blk.0.time_mix_lerp_fused.weight", "blk.1.time_mix_lerp_w.weight"}),
             "blk.1.time_mix_lerp_k.weight"));
  CHECK_EQ(complaint_with("qwen35", {"blk.1.attn_q.weight"}), "");  // a layer without recurrence
  CHECK(says(complaint_with("qwen35", {"blk.1.ssm_conv1d.weight"}), "blk.1.attn_qkv.weight"));
}

TEST(gguf_feed_forward_is_whole_or_absent) {
  CHECK_EQ(complaint_with("x", {"blk.0.ffn_up.weight", "blk.0.ffn_down.weight"}), "");
  CHECK(says(complaint_with("x", {"blk.0.ffn_up.weight"}), "blk.0.ffn_down.weight"));
  CHECK(says(complaint_with("x", {"blk.1.ffn_down.weight"}), "blk.1.ffn_up.weight"));
  CHECK(says(complaint_with("x", {"blk.0.ffn_gate.weight"}), "blk.0.ffn_up.weight"));
  CHECK(says(complaint_with("step35", {"blk.0.ffn_gate_inp.weight"}), "blk.0.ffn_up_exps.weight"));
  CHECK_EQ(complaint_with("hy_v3", {"blk.0.ffn_gate_inp.weight", "blk.0.ffn_gate_up_exps.weight",
                                    "blk.0.ffn_down_exps.weight"}),
           "");
}

TEST(gguf_layers_that_predict_ahead_are_no_model) {
  const auto with = [](const std::vector<std::string>& names) {
    return complaint(file_with("qwen35", names).u32("qwen35.nextn_predict_layers", 1));
  };
  CHECK_EQ(with({"blk.0.attn_norm.weight"}), "");
  CHECK(says(with({"blk.1.attn_norm.weight"}), "predict ahead"));
}
