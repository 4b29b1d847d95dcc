// Model files that are read for their weights and written anew. Private to the core.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "aspd/errors.h"
#include "ggml.h"
#include "gguf.h"

namespace aspd {

inline bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

struct FreeGguf {
  void operator()(gguf_context* gguf) const { gguf_free(gguf); }
};
struct FreeTensors {
  void operator()(ggml_context* tensors) const { ggml_free(tensors); }
};

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

// The tensor table of a file, without weights.
struct Table {
  std::unique_ptr<gguf_context, FreeGguf> gguf;
  std::unique_ptr<ggml_context, FreeTensors> tensors;

  explicit Table(const std::string& path) {
    ggml_context* context = nullptr;
    gguf.reset(gguf_init_from_file(path.c_str(), {true, &context}));
    tensors.reset(context);
    if (gguf == nullptr) throw ModelError(path, "llama.cpp cannot read it");
  }
  [[nodiscard]] const ggml_tensor* find(const char* name) const {
    return ggml_get_tensor(tensors.get(), name);
  }
};

// Throws ModelError for one part of several.
inline void check_whole(const std::string& path, const gguf_context* gguf) {
  const std::int64_t key = gguf_find_key(gguf, "split.count");
  if (key >= 0 && gguf_get_kv_type(gguf, key) == GGUF_TYPE_UINT16 && gguf_get_val_u16(gguf, key) > 1) {
    throw ModelError(path, "the model is split into " + std::to_string(gguf_get_val_u16(gguf, key)) +
                               " files; merge them first (llama-gguf-split --merge)");
  }
}

// Removes a file unless it is kept.
class Unfinished {
 public:
  explicit Unfinished(std::string path) : path_(std::move(path)) {}
  ~Unfinished() {
    if (!kept_) std::remove(path_.c_str());
  }
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;
  void keep() { kept_ = true; }

 private:
  std::string path_;
  bool kept_ = false;
};

}  // namespace aspd
