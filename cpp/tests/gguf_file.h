// GGUF files written byte by byte, so that every part of them can be wrong.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "aspd/errors.h"
#include "aspd/gguf_check.h"
#include "check.h"
#include "ggml.h"
#include "gguf.h"

namespace aspd_test {

inline constexpr std::uint64_t kHuge = std::numeric_limits<std::uint64_t>::max();

// Numbers and texts as GGUF writes them.
class Bytes {
 public:
  template <typename T>
  Bytes& number(T value) {
    const auto* begin = reinterpret_cast<const char*>(&value);
    data_.append(begin, sizeof(T));
    return *this;
  }
  Bytes& u32(std::uint32_t value) { return number(value); }
  Bytes& u64(std::uint64_t value) { return number(value); }
  Bytes& raw(const std::string& text) {
    data_ += text;
    return *this;
  }
  Bytes& text(const std::string& text) { return u64(text.size()).raw(text); }
  Bytes& key(const std::string& name, gguf_type type) {
    return text(name).u32(static_cast<std::uint32_t>(type));
  }
  Bytes& array(const std::string& name, gguf_type type, std::uint64_t count) {
    return key(name, GGUF_TYPE_ARRAY).u32(static_cast<std::uint32_t>(type)).u64(count);
  }
  [[nodiscard]] const std::string& data() const { return data_; }

 private:
  std::string data_;
};

struct TestTensor {
  std::string name = "blk.0.attn_q.weight";
  std::vector<std::uint64_t> dims = {32, 32};
  std::uint32_t type = GGML_TYPE_F32;
  std::uint64_t offset = 0;
  std::uint64_t n_bytes = 32 * 32 * 4;
};

// A file whose every part can be wrong.
struct TestFile {
  std::string magic = "GGUF";
  std::uint32_t version = 3;
  std::vector<std::string> keys;  // bytes of each
  std::vector<TestTensor> tensors = {TestTensor{}};
  std::uint64_t extra_keys = 0;     // claimed, not there
  std::uint64_t extra_tensors = 0;  // claimed, not there

  TestFile() {
    text("general.architecture", "llama").u32("llama.block_count", 1).u32("llama.embedding_length", 32);
    u32("llama.attention.head_count", 4).u32("llama.context_length", 64);
  }
  TestFile& add(const Bytes& bytes) {
    keys.push_back(bytes.data());
    return *this;
  }
  TestFile& u32(const std::string& name, std::uint32_t value) {
    return add(Bytes().key(name, GGUF_TYPE_UINT32).u32(value));
  }
  TestFile& f32(const std::string& name, float value) {
    return add(Bytes().key(name, GGUF_TYPE_FLOAT32).number(value));
  }
  TestFile& u16(const std::string& name, std::uint16_t value) {
    return add(Bytes().key(name, GGUF_TYPE_UINT16).number(value));
  }
  TestFile& text(const std::string& name, const std::string& value) {
    return add(Bytes().key(name, GGUF_TYPE_STRING).text(value));
  }
  TestFile& texts(const std::string& name, const std::vector<std::string>& values) {
    Bytes bytes;
    bytes.array(name, GGUF_TYPE_STRING, values.size());
    for (const std::string& value : values) bytes.text(value);
    return add(bytes);
  }
  TestFile& i32s(const std::string& name, const std::vector<std::int32_t>& values) {
    Bytes bytes;
    bytes.array(name, GGUF_TYPE_INT32, values.size());
    for (const std::int32_t value : values) bytes.number(value);
    return add(bytes);
  }
  TestFile& vocabulary(const std::string& model, const std::vector<std::string>& tokens) {
    return text("tokenizer.ggml.model", model).texts("tokenizer.ggml.tokens", tokens);
  }

  [[nodiscard]] std::string bytes(std::size_t alignment = 32) const {
    Bytes out;
    out.raw(magic).u32(version).u64(tensors.size() + extra_tensors).u64(keys.size() + extra_keys);
    for (const std::string& bytes : keys) out.raw(bytes);
    std::uint64_t n_data = 0;
    for (const TestTensor& tensor : tensors) {
      out.text(tensor.name).u32(static_cast<std::uint32_t>(tensor.dims.size()));
      for (const std::uint64_t dim : tensor.dims) out.u64(dim);
      out.u32(tensor.type).u64(tensor.offset);
      n_data = tensor.offset + tensor.n_bytes;
    }
    out.raw(std::string((alignment - out.data().size() % alignment) % alignment, '\0'));
    return out.raw(std::string(n_data < (1U << 20) ? n_data : 0, '\0')).data();
  }
};

// A folder of its own, removed at the end.
class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("aspd_gguf_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return (path_ / name).string();
  }
  [[nodiscard]] std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

inline aspd::GgufSummary check_bytes(const std::string& bytes) {
  const Folder folder;
  return aspd::check_gguf(folder.write("model.gguf", bytes));
}

// What the reader says about a file; empty: nothing.
inline std::string complaint(const std::string& bytes) {
  const auto error = aspd_test::thrown<aspd::ModelError>([&] { (void)check_bytes(bytes); });
  return error.has_value() ? error->what() : "";
}
inline std::string complaint(const TestFile& file) { return complaint(file.bytes()); }

inline bool says(const std::string& message, const std::string& part) {
  return message.find(part) != std::string::npos;
}

}  // namespace aspd_test
