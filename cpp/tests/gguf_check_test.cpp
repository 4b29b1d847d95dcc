// The strict reader: headers, lengths, tensors, parts of a split model.
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gguf_file.h"

using aspd::check_gguf;
using aspd::GgufSummary;
using aspd::ModelError;
using namespace aspd_test;

TEST(gguf_summary_of_a_good_file) {
  TestFile file;
  file.tensors.push_back({"output.weight", {32, 2}, GGML_TYPE_Q8_0, 4096, 68});
  file.vocabulary("gpt2", {"a", "b"});
  const GgufSummary summary = check_bytes(file.bytes());
  CHECK_EQ(summary.version, 3U);
  CHECK_EQ(summary.n_tensors, 2U);
  CHECK_EQ(summary.n_kv, 7U);
  CHECK_EQ(summary.architecture, "llama");
  CHECK_EQ(summary.file_size, file.bytes().size());
  CHECK_EQ(summary.alignment, 32U);
  CHECK_EQ(summary.n_vocab, 2U);
  CHECK_EQ(summary.quantisation.at("f32"), 1U);
  CHECK_EQ(summary.quantisation.at("q8_0"), 1U);
}

TEST(gguf_version_2_and_no_tensors_are_accepted) {
  TestFile file;
  file.version = 2;
  file.tensors.clear();
  CHECK_EQ(check_bytes(file.bytes()).n_tensors, 0U);
}

TEST(gguf_path_that_is_no_file_is_refused) {
  const Folder folder;
  const auto missing = thrown<ModelError>([&] { (void)check_gguf(folder / "nothing.gguf"); });
  REQUIRE(missing.has_value());
  CHECK(says(missing->what(), "no such file"));
  CHECK_EQ(missing->path(), folder / "nothing.gguf");
  const auto directory = thrown<ModelError>([&] { (void)check_gguf(folder / ""); });
  REQUIRE(directory.has_value());
  CHECK(says(directory->what(), "directory"));
  CHECK_THROWS(check_gguf("/dev/null"), ModelError);
  CHECK_THROWS(check_gguf(std::string("a\0b", 3)), ModelError);
  CHECK_THROWS(check_gguf(""), ModelError);
}

TEST(gguf_message_says_what_another_kind_of_file_is) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "empty"},
      {"Hello, I am a text\n", "text file"},
      {"version https://git-lfs.github.com/spec/v1", "Git LFS"},
      {"PK\x03\x04zip", "zip"},
      {"lmggxxxx", "before GGUF"},
      {std::string("\x40\0\0\0\0\0\0\0{\"a\":1}", 15), "safetensors"},
      {std::string(100, '\0'), "zero bytes"},
      {"\x7f\x45LF\x02\x01\x01", "binary"},
      {"GGUF", "cut"},
  };
  for (const auto& [bytes, part] : cases) CHECK(says(complaint(bytes), part));
}

TEST(gguf_version_must_be_2_or_3) {
  for (const std::uint32_t version : {0U, 1U, 4U, 0xFFFFFFFFU}) {
    TestFile file;
    file.version = version;
    CHECK(says(complaint(file), "version"));
  }
  TestFile swapped;
  swapped.version = 0x03000000;
  CHECK(says(complaint(swapped), "big-endian"));
}

TEST(gguf_cut_at_any_byte_is_refused) {
  TestFile file;
  file.vocabulary("gpt2", {"a", "b", "c"}).u32("tokenizer.ggml.bos_token_id", 0);
  const std::string whole = file.bytes();
  CHECK_EQ(complaint(whole), "");
  for (std::size_t n = 0; n < whole.size(); n += n < 700 ? 1 : 97) CHECK(complaint(whole.substr(0, n)) != "");
  CHECK(says(complaint(whole.substr(0, whole.size() - 7)), "7 of "));
}

TEST(gguf_counts_are_compared_with_the_size_of_the_file) {
  for (const std::uint64_t count : {std::uint64_t{1}, std::uint64_t{1} << 31, std::uint64_t{1} << 32,
                                    std::uint64_t{1} << 63, kHuge - 4}) {
    TestFile keys;
    keys.extra_keys = count;
    CHECK(complaint(keys) != "");
    TestFile tensors;
    tensors.extra_tensors = count;
    CHECK(complaint(tensors) != "");
  }
}

TEST(gguf_lengths_are_compared_with_the_size_of_the_file) {
  for (const std::uint64_t length : {std::uint64_t{1} << 20, std::uint64_t{1} << 31, std::uint64_t{1} << 32,
                                     std::uint64_t{1} << 61, std::uint64_t{1} << 63, kHuge}) {
    CHECK(complaint(TestFile().add(Bytes().u64(length).raw("key"))) != "");
    CHECK(complaint(TestFile().add(Bytes().key("a", GGUF_TYPE_STRING).u64(length).raw("b"))) != "");
    CHECK(complaint(TestFile().add(Bytes().array("a", GGUF_TYPE_STRING, 1).u64(length))) != "");
    for (const gguf_type type : {GGUF_TYPE_UINT8, GGUF_TYPE_FLOAT64, GGUF_TYPE_STRING}) {
      CHECK(complaint(TestFile().add(Bytes().array("a", type, length))) != "");
      CHECK(complaint(TestFile().add(Bytes().array("tokenizer.ggml.tokens", type, length))) != "");
    }
  }
}

TEST(gguf_keys_have_names_once_and_known_types) {
  CHECK(says(complaint(TestFile().u32("", 1)), "no name"));
  CHECK(says(complaint(TestFile().u32("a", 1).u32("a", 1)), "twice"));
  CHECK(says(complaint(TestFile().u32(std::string("a\0b", 3), 1)), "zero byte"));
  CHECK(says(complaint(TestFile().u32(std::string(2000, 'k'), 1)), "2000"));
  CHECK(says(complaint(TestFile().add(Bytes().key("a", GGUF_TYPE_COUNT))), "unknown type 13"));
  CHECK(says(complaint(TestFile().add(Bytes().array("a", GGUF_TYPE_COUNT, 0))), "unknown type 13"));
  CHECK(says(complaint(TestFile().add(Bytes().array("a", GGUF_TYPE_ARRAY, 1))), "array of arrays"));
}

TEST(gguf_alignment_is_a_power_of_two_that_llama_cpp_can_map) {
  for (const std::uint32_t alignment : {0U, 3U, 33U, 1U << 17, 0x80000000U}) {
    CHECK(says(complaint(TestFile().u32("general.alignment", alignment)), "power of two"));
  }
  CHECK(says(complaint(TestFile().text("general.alignment", "32")), "u32"));
  TestFile wide;
  wide.u32("general.alignment", 128);
  CHECK_EQ(check_bytes(wide.bytes(128)).alignment, 128U);
  TestFile narrow;  // the table ends 8 bytes after a multiple of 32
  narrow.u32("general.alignment", 8);
  while (narrow.bytes(8).size() % 32 == 0) narrow.text("pad" + std::to_string(narrow.keys.size()), "1234567");
  CHECK(says(complaint(narrow.bytes(8)), "multiples of 32"));
}

TEST(gguf_architecture_is_needed) {
  TestFile file;
  file.keys.erase(file.keys.begin());
  CHECK(says(complaint(file), "architecture"));
  CHECK(says(complaint(TestFile().text("general.type", "adapter")), "LoRA"));
}

namespace {

std::string complaint_of(const std::function<void(TestTensor&)>& change) {
  TestFile file;
  change(file.tensors.front());
  return complaint(file);
}

}  // namespace

TEST(gguf_tensor_names_are_short_and_appear_once) {
  CHECK(says(complaint_of([](TestTensor& t) { t.name = std::string(64, 'n'); }), "64 bytes"));
  CHECK_EQ(complaint_of([](TestTensor& t) { t.name = std::string(56, 'n') + ".weight"; }), "");
  CHECK(says(complaint_of([](TestTensor& t) { t.name = std::string("a\0b", 3); }), "zero byte"));
  TestFile twice;
  twice.tensors.push_back(twice.tensors.front());
  twice.tensors.back().offset = 4096;
  CHECK(says(complaint(twice), "twice"));
}

TEST(gguf_tensor_shapes_do_not_overflow) {
  CHECK(says(complaint_of([](TestTensor& t) { t.dims = {1, 1, 1, 1, 1}; }), "5 dimensions"));
  CHECK(says(complaint_of([](TestTensor& t) { t.dims = {32, 0}; }), "dimension of 0"));
  for (const std::uint64_t dim :
       {std::uint64_t{1} << 31, std::uint64_t{1} << 32, std::uint64_t{1} << 62, kHuge}) {
    CHECK(complaint_of([&](TestTensor& t) { t.dims = {dim}; }) != "");
    CHECK(complaint_of([&](TestTensor& t) { t.dims = {32, dim}; }) != "");
    CHECK(complaint_of([&](TestTensor& t) { t.dims = {dim, dim, dim, dim}; }) != "");
    CHECK(complaint_of([&](TestTensor& t) { t.dims = {32, 32, dim, 2}; }) != "");
  }
}

TEST(gguf_tensor_types_are_those_of_weights) {
  CHECK(says(complaint_of([](TestTensor& t) { t.type = GGML_TYPE_COUNT; }), "unknown type"));
  CHECK(says(complaint_of([](TestTensor& t) { t.type = 0xFFFFFFFF; }), "unknown type"));
  CHECK(says(complaint_of([](TestTensor& t) { t.type = 4; }), "unknown type"));  // Q4_2, removed
  for (const ggml_type type : {GGML_TYPE_I8, GGML_TYPE_I16, GGML_TYPE_I32, GGML_TYPE_I64, GGML_TYPE_F64}) {
    CHECK(says(complaint_of([&](TestTensor& t) { t.type = type; }), "no weight can have"));
  }
  CHECK(says(complaint_of([](TestTensor& t) { t.type = GGML_TYPE_Q8_1; }), "no weight can have"));
  CHECK(says(complaint_of([](TestTensor& t) { t.type = GGML_TYPE_Q4_K; }), "multiple of 256"));
  const auto is_f32_only = [](const std::string& name, std::vector<std::uint64_t> dims) {
    return says(complaint_of([&](TestTensor& t) {
                  t.name = name;
                  t.dims = std::move(dims);
                  t.type = GGML_TYPE_F16;
                }),
                "only f32");
  };
  CHECK(is_f32_only("output_norm.weight", {32}));
  CHECK(is_f32_only("blk.0.attn_q_norm.weight", {32, 4}));
  CHECK(is_f32_only("blk.0.attn_q.bias", {32}));
  CHECK(!is_f32_only("output.weight", {32, 32}));
}

TEST(gguf_tensors_follow_each_other_inside_the_file) {
  CHECK(says(complaint_of([](TestTensor& t) { t.offset = 32; }), "offset 32"));
  CHECK(says(complaint_of([](TestTensor& t) { t.offset = kHuge - 31; }), "offset"));
  TestFile gap;
  gap.tensors.push_back({"output.weight", {32, 2}, GGML_TYPE_F32, 4128, 256});
  CHECK(says(complaint(gap), "offset 4128"));
  CHECK(says(complaint_of([](TestTensor& t) { t.n_bytes = 4000; }), "96 of "));
  CHECK_EQ(complaint_of([](TestTensor& t) { t.n_bytes = 5000; }), "");  // more than is needed
}

namespace {

std::string part_bytes(std::uint16_t index, std::uint16_t count) {
  TestFile file;
  if (index > 0) {
    file.keys.clear();
    file.tensors.front().name = "output.weight";
  }
  return file.u16("split.no", index).u16("split.count", count).bytes();
}

}  // namespace

TEST(gguf_split_model_is_checked_part_by_part) {
  const Folder folder;
  const std::string first = folder.write("m-00001-of-00002.gguf", part_bytes(0, 2));
  const auto missing = thrown<ModelError>([&] { (void)check_gguf(first); });
  REQUIRE(missing.has_value());
  CHECK_EQ(missing->path(), folder / "m-00002-of-00002.gguf");

  const std::string second = folder.write("m-00002-of-00002.gguf", part_bytes(1, 2));
  const GgufSummary summary = check_gguf(first);
  CHECK_EQ(summary.n_tensors, 2U);
  CHECK_EQ(summary.quantisation.at("f32"), 2U);
  CHECK_EQ(summary.file_size, part_bytes(0, 2).size() + part_bytes(1, 2).size());

  const auto later = thrown<ModelError>([&] { (void)check_gguf(second); });
  REQUIRE(later.has_value());
  CHECK(says(later->what(), "open the first part"));
  const auto renamed =
      thrown<ModelError>([&] { (void)check_gguf(folder.write("m.gguf", part_bytes(0, 2))); });
  REQUIRE(renamed.has_value());
  CHECK(says(renamed->what(), "must end in"));

  (void)folder.write("m-00002-of-00002.gguf", part_bytes(1, 3));
  CHECK_THROWS(check_gguf(first), ModelError);
  (void)folder.write("m-00002-of-00002.gguf", part_bytes(1, 2).substr(0, 300));
  CHECK_THROWS(check_gguf(first), ModelError);
}

TEST(gguf_rules_for_tensors_hold_in_every_part) {
  const Folder folder;
  const std::string first = folder.write("m-00001-of-00002.gguf", part_bytes(0, 2));
  const auto complaint_about = [&](const std::string& name, std::uint64_t n_rows) {
    TestFile second;
    second.keys.clear();
    second.tensors.front() = {name, {32, n_rows}, GGML_TYPE_F32, 0, 32 * n_rows * 4};
    (void)folder.write("m-00002-of-00002.gguf", second.u16("split.no", 1).u16("split.count", 2).bytes());
    const auto error = thrown<ModelError>([&] { (void)check_gguf(first); });
    return error.has_value() ? std::string(error->what()) : "";
  };
  CHECK_EQ(complaint_about("blk.0.attn_k.weight", 32), "");
  CHECK(says(complaint_about("blk.0.attn_k.weight", 24), "24 rows"));
  CHECK(says(complaint_about("blk.0.ffn_up.weight", 32), "blk.0.ffn_down.weight"));
  CHECK(says(complaint_about("blk.0.attn_q.weight", 32), "another part"));
}
