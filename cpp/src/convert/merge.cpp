#include "aspd/merge.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <stdexcept>
#include <system_error>

#include "aspd/backend.h"
#include "aspd/gguf_check.h"
#include "weights_file.h"

namespace aspd {

namespace {

constexpr const char* kMarker = "aspd.marker.";             // + name: token id
constexpr const char* kSpelling = "aspd.marker_spelling.";  // + name: how its token is spelt
constexpr const char* kEmbedding = "aspd.marker_rows.embedding";
constexpr const char* kHead = "aspd.marker_rows.head";
constexpr std::int32_t kControl = 3;  // of tokenizer.ggml.token_type

File open(const std::string& path, const char* mode) {
  File file(std::fopen(path.c_str(), mode));
  if (file == nullptr) throw std::system_error(errno, std::generic_category(), path);
  return file;
}

// A file and where its tensors lie.
class Source {
 public:
  explicit Source(const std::string& path) : path_(path), table_(path), file_(open(path, "rb")) {}

  [[nodiscard]] const gguf_context* gguf() const { return table_.gguf.get(); }
  [[nodiscard]] ggml_context* tensors() const { return table_.tensors.get(); }
  [[nodiscard]] const ggml_tensor* find(const std::string& name) const { return table_.find(name.c_str()); }

  [[nodiscard]] std::vector<char> read(const ggml_tensor* tensor) const {
    const std::int64_t id = gguf_find_tensor(gguf(), ggml_get_name(tensor));
    const std::size_t at = gguf_get_data_offset(gguf()) + gguf_get_tensor_offset(gguf(), id);
    std::vector<char> bytes(ggml_nbytes(tensor));
    if (fseeko(file_.get(), static_cast<off_t>(at), SEEK_SET) != 0 ||
        std::fread(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size()) {
      throw ModelError(path_, "the file ends within its tensors");
    }
    return bytes;
  }
  // [rows, ne0], rows in their order.
  [[nodiscard]] std::vector<float> floats(const ggml_tensor* tensor) const {
    const std::vector<char> bytes = read(tensor);
    std::vector<float> numbers(static_cast<std::size_t>(ggml_nelements(tensor)));
    if (tensor->type == GGML_TYPE_F32) {
      std::memcpy(numbers.data(), bytes.data(), bytes.size());
      return numbers;
    }
    const ggml_to_float_t to_float = ggml_get_type_traits(tensor->type)->to_float;
    if (to_float == nullptr) {
      throw ModelError(path_,
                       "tensor '" + std::string(ggml_get_name(tensor)) + "' is of a type without numbers");
    }
    to_float(bytes.data(), numbers.data(), ggml_nelements(tensor));
    return numbers;
  }

  [[nodiscard]] std::optional<std::string> text(const char* key) const {
    const std::int64_t id = gguf_find_key(gguf(), key);
    if (id < 0 || gguf_get_kv_type(gguf(), id) != GGUF_TYPE_STRING) return std::nullopt;
    return gguf_get_val_str(gguf(), id);
  }
  // An array of 32-bit numbers of this kind; empty: there is none.
  template <typename T>
  [[nodiscard]] std::vector<T> array(const char* key, gguf_type type) const {
    const std::int64_t id = gguf_find_key(gguf(), key);
    if (id < 0 || gguf_get_kv_type(gguf(), id) != GGUF_TYPE_ARRAY || gguf_get_arr_type(gguf(), id) != type)
      return {};
    const auto* data = static_cast<const T*>(gguf_get_arr_data(gguf(), id));
    return {data, data + gguf_get_arr_n(gguf(), id)};
  }
  [[noreturn]] void fail(const std::string& why) const { throw ModelError(path_, why); }

 private:
  std::string path_;
  Table table_;
  File file_;
};

struct Pair {
  const ggml_tensor* a = nullptr;  // [n_in, rank]
  const ggml_tensor* b = nullptr;  // [rank, n_out]
};

// An adapter, its parts checked against each other.
struct Adapter {
  Source source;
  std::map<std::string, Pair> pairs;  // name of a matrix -> its LoRA
  std::map<std::string, std::int64_t> markers;
  std::map<std::string, std::string> spellings;
  float alpha = 0;

  explicit Adapter(const std::string& path) : source(path) {
    if (source.text("general.type") != "adapter" || source.text("adapter.type") != "lora")
      source.fail("this is no LoRA adapter");
    const std::int64_t id = gguf_find_key(source.gguf(), "adapter.lora.alpha");
    if (id < 0 || gguf_get_kv_type(source.gguf(), id) != GGUF_TYPE_FLOAT32)
      source.fail("the adapter does not say its alpha");
    alpha = gguf_get_val_f32(source.gguf(), id);
    for (ggml_tensor* t = ggml_get_first_tensor(source.tensors()); t != nullptr;
         t = ggml_get_next_tensor(source.tensors(), t)) {
      const std::string name = ggml_get_name(t);
      if (name.size() < 8 || (!ends_with(name, ".lora_a") && !ends_with(name, ".lora_b")))
        source.fail("tensor '" + name + "' is no part of a LoRA");
      Pair& pair = pairs[name.substr(0, name.size() - 7)];
      (ends_with(name, ".lora_a") ? pair.a : pair.b) = t;
    }
    for (const auto& [name, pair] : pairs) {
      if (pair.a == nullptr || pair.b == nullptr) source.fail("matrix '" + name + "' has half a LoRA");
      if (ggml_n_dims(pair.a) > 2 || ggml_n_dims(pair.b) > 2 || pair.a->ne[1] != pair.b->ne[0])
        source.fail("the two parts of '" + name + "' do not fit each other");
    }
    read_markers();
  }

 private:
  void read_markers() {
    for (std::int64_t i = 0; i < gguf_get_n_kv(source.gguf()); ++i) {
      const std::string key = gguf_get_key(source.gguf(), i);
      if (key.rfind(kMarker, 0) == 0) {
        if (gguf_get_kv_type(source.gguf(), i) != GGUF_TYPE_UINT32)
          source.fail("'" + key + "' is no token id");
        markers[key.substr(std::strlen(kMarker))] = gguf_get_val_u32(source.gguf(), i);
      } else if (key.rfind(kSpelling, 0) == 0) {
        spellings[key.substr(std::strlen(kSpelling))] = source.text(key.c_str()).value_or("");
      }
    }
    for (const auto& [name, token] : markers) {
      (void)token;
      if (spellings[name].empty())
        source.fail("the adapter does not say how the marker " + name + " is spelt");
    }
  }
};

// W += scale * B A, row by row of W [n_out, n_in].
void add_product(std::vector<float>& weights, const std::vector<float>& a, const std::vector<float>& b,
                 std::size_t n_in, std::size_t rank, float scale) {
  for (std::size_t row = 0; row * n_in < weights.size(); ++row) {
    float* w = weights.data() + row * n_in;
    for (std::size_t r = 0; r < rank; ++r) {
      const float factor = scale * b[row * rank + r];
      const float* from = a.data() + r * n_in;
      for (std::size_t i = 0; i < n_in; ++i) w[i] += factor * from[i];
    }
  }
}

class Merger {
 public:
  Merger(const std::string& base, const std::string& adapter) : base_(base), adapter_(adapter) {
    check_whole(base, base_.gguf());
    check();
  }

  void write(const std::string& to, QuantizeProgress* progress) {
    const std::unique_ptr<gguf_context, FreeGguf> out(gguf_init_empty());
    const std::unique_ptr<ggml_context, FreeTensors> tensors(
        ggml_init({ggml_tensor_overhead() * (n_tensors() + 1), nullptr, true}));
    if (tensors == nullptr) throw std::bad_alloc();
    gguf_set_kv(out.get(), base_.gguf());
    put_metadata(out.get());
    for (const ggml_tensor* t = first(); t != nullptr; t = next(t)) {
      ggml_tensor* placed = ggml_new_tensor(tensors.get(), type_of(t), ggml_n_dims(t), shape_of(t).data());
      ggml_set_name(placed, ggml_get_name(t));
      gguf_add_tensor(out.get(), placed);
    }
    const File file = open(to, "wb");
    errno = 0;
    if (!gguf_write_to_file_ptr(out.get(), file.get(), true)) fail_writing(to);
    std::size_t done = 0;
    const std::size_t alignment = gguf_get_alignment(out.get());
    for (const ggml_tensor* t = first(); t != nullptr; t = next(t)) {
      if (progress != nullptr && progress->cancel) throw CancelledError("merging was cancelled");
      std::vector<char> bytes = merged(t);
      bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
      if (std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size()) fail_writing(to);
      if (progress != nullptr)
        progress->done = static_cast<double>(++done) / static_cast<double>(n_tensors());
    }
    if (std::fflush(file.get()) != 0) fail_writing(to);
  }

 private:
  [[noreturn]] static void fail_writing(const std::string& to) {
    throw std::system_error(errno == 0 ? EIO : errno, std::generic_category(), to);
  }
  [[nodiscard]] const ggml_tensor* first() const { return ggml_get_first_tensor(base_.tensors()); }
  [[nodiscard]] const ggml_tensor* next(const ggml_tensor* t) const {
    return ggml_get_next_tensor(base_.tensors(), const_cast<ggml_tensor*>(t));
  }
  [[nodiscard]] std::size_t n_tensors() const {
    return static_cast<std::size_t>(gguf_get_n_tensors(base_.gguf()));
  }

  void check() {
    const Source& ours = adapter_.source;
    if (ours.text("general.architecture") != base_.text("general.architecture"))
      ours.fail("the adapter is for the architecture " + ours.text("general.architecture").value_or("?") +
                ", not " + base_.text("general.architecture").value_or("?"));
    for (const auto& [name, pair] : adapter_.pairs) {
      const ggml_tensor* matrix = base_.find(name);
      if (matrix == nullptr || ggml_n_dims(matrix) != 2 || matrix->ne[0] != pair.a->ne[0] ||
          matrix->ne[1] != pair.b->ne[1]) {
        ours.fail("the model has no matrix '" + name + "' of the adapter's shape: it is for another model");
      }
    }
    if (adapter_.markers.empty()) return;
    embedding_ = base_.find("token_embd.weight");
    head_ = base_.find("output.weight");
    if (embedding_ == nullptr) ours.fail("the model has no table of token embeddings");
    const std::size_t needed = adapter_.markers.size() * static_cast<std::size_t>(embedding_->ne[0]);
    rows_ = ours.array<float>(kEmbedding, GGUF_TYPE_FLOAT32);
    head_rows_ = ours.array<float>(kHead, GGUF_TYPE_FLOAT32);
    if (rows_.size() != needed) ours.fail("the rows of the markers do not fit the model");
    if (head_ != nullptr && head_rows_.empty()) head_rows_ = rows_;
    if (head_ != nullptr && head_rows_.size() != needed)
      ours.fail("the rows of the markers do not fit the head");
    for (const auto& [name, token] : adapter_.markers) ids_.push_back(token);
    std::sort(ids_.begin(), ids_.end());
    n_vocab_ = embedding_->ne[1];
    for (std::size_t i = 0; i < ids_.size(); ++i) {
      const bool grows = ids_[i] >= n_vocab_;
      if ((i > 0 && ids_[i] == ids_[i - 1]) || (grows && ids_[i] != n_vocab_++))
        ours.fail("the token ids of the markers do not fit the model");
    }
  }

  [[nodiscard]] bool is_table(const ggml_tensor* t) const {
    return !ids_.empty() && (t == embedding_ || t == head_);
  }
  [[nodiscard]] ggml_type type_of(const ggml_tensor* t) const {
    return adapter_.pairs.count(ggml_get_name(t)) != 0 ? GGML_TYPE_F16 : t->type;
  }
  [[nodiscard]] std::vector<std::int64_t> shape_of(const ggml_tensor* t) const {
    std::vector<std::int64_t> shape(t->ne, t->ne + ggml_n_dims(t));
    if (is_table(t)) shape.back() = n_vocab_;
    return shape;
  }

  [[nodiscard]] std::vector<char> merged(const ggml_tensor* t) const {
    const auto found = adapter_.pairs.find(ggml_get_name(t));
    const auto n_in = static_cast<std::size_t>(t->ne[0]);
    if (found == adapter_.pairs.end()) {
      std::vector<char> bytes = base_.read(t);
      if (is_table(t)) put_rows(bytes, t->type, n_in, t == embedding_ ? rows_ : head_rows_);
      return bytes;
    }
    const Pair& pair = found->second;
    const auto rank = static_cast<std::size_t>(pair.a->ne[1]);
    std::vector<float> weights = base_.floats(t);
    add_product(weights, adapter_.source.floats(pair.a), adapter_.source.floats(pair.b), n_in, rank,
                adapter_.alpha / static_cast<float>(rank));
    std::vector<char> bytes(weights.size() * sizeof(ggml_fp16_t));
    ggml_fp32_to_fp16_row(weights.data(), reinterpret_cast<ggml_fp16_t*>(bytes.data()),
                          static_cast<std::int64_t>(weights.size()));
    if (is_table(t)) put_rows(bytes, GGML_TYPE_F16, n_in, t == embedding_ ? rows_ : head_rows_);
    return bytes;
  }

  void put_rows(std::vector<char>& bytes, ggml_type type, std::size_t n_in,
                const std::vector<float>& rows) const {
    const std::size_t row_bytes = ggml_row_size(type, static_cast<std::int64_t>(n_in));
    bytes.resize(row_bytes * static_cast<std::size_t>(n_vocab_));
    for (std::size_t i = 0; i < ids_.size(); ++i) {
      char* to = bytes.data() + row_bytes * static_cast<std::size_t>(ids_[i]);
      if (ggml_quantize_requires_imatrix(type)) {
        adapter_.source.fail(
            "rows of the embedding cannot be written in its type; requantise the base first");
      }
      (void)ggml_quantize_chunk(type, rows.data() + i * n_in, to, 0, 1, static_cast<std::int64_t>(n_in),
                                nullptr);
    }
  }

  void put_metadata(gguf_context* out) const {
    const Source& ours = adapter_.source;
    for (const char* key : {"aspd.protocol", "aspd.join_rule"}) {
      if (const auto text = ours.text(key)) gguf_set_val_str(out, key, text->c_str());
    }
    if (ids_.empty()) return;
    put_vocabulary(out);
    for (const auto& [name, token] : adapter_.markers)
      gguf_set_val_u32(out, (kMarker + name).c_str(), static_cast<std::uint32_t>(token));
  }

  void put_vocabulary(gguf_context* out) const {
    const std::int64_t id = gguf_find_key(base_.gguf(), "tokenizer.ggml.tokens");
    if (id < 0 || gguf_get_kv_type(base_.gguf(), id) != GGUF_TYPE_ARRAY ||
        gguf_get_arr_type(base_.gguf(), id) != GGUF_TYPE_STRING) {
      adapter_.source.fail("the model has no list of tokens");
    }
    std::vector<std::string> tokens;
    for (std::size_t i = 0; i < gguf_get_arr_n(base_.gguf(), id); ++i)
      tokens.emplace_back(gguf_get_arr_str(base_.gguf(), id, i));
    std::vector<std::int32_t> types = base_.array<std::int32_t>("tokenizer.ggml.token_type", GGUF_TYPE_INT32);
    std::vector<float> scores = base_.array<float>("tokenizer.ggml.scores", GGUF_TYPE_FLOAT32);
    const auto n = static_cast<std::size_t>(n_vocab_);
    if (types.empty()) types.assign(tokens.size(), 1);
    if (tokens.size() > n || types.size() != tokens.size())
      adapter_.source.fail("the model's list of tokens does not fit its embedding");
    tokens.resize(n);
    types.resize(n, 1);
    if (!scores.empty()) scores.resize(n, 0.0F);
    for (const auto& [name, token] : adapter_.markers) {
      tokens[static_cast<std::size_t>(token)] = adapter_.spellings.at(name);
      types[static_cast<std::size_t>(token)] = kControl;
    }
    std::vector<const char*> pointers;
    for (const std::string& token : tokens) pointers.push_back(token.c_str());
    gguf_set_arr_str(out, "tokenizer.ggml.tokens", pointers.data(), n);
    gguf_set_arr_data(out, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, types.data(), n);
    if (!scores.empty()) gguf_set_arr_data(out, "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, scores.data(), n);
    const std::string size_key = base_.text("general.architecture").value_or("") + ".vocab_size";
    if (gguf_find_key(base_.gguf(), size_key.c_str()) >= 0)
      gguf_set_val_u32(out, size_key.c_str(), static_cast<std::uint32_t>(n));
  }

  Source base_;
  Adapter adapter_;
  const ggml_tensor* embedding_ = nullptr;
  const ggml_tensor* head_ = nullptr;  // null: tied
  std::vector<float> rows_;            // [n_markers, n_embd], by ascending token id
  std::vector<float> head_rows_;
  std::vector<std::int64_t> ids_;  // ascending
  std::int64_t n_vocab_ = 0;       // of the merged model
};

}  // namespace

AdapterSummary summarize_adapter(const std::string& path) {
  start_backend();
  const Adapter adapter(path);
  AdapterSummary summary;
  summary.architecture = adapter.source.text("general.architecture").value_or("");
  summary.protocol = adapter.source.text("aspd.protocol").value_or("");
  summary.base_sha256 = adapter.source.text("aspd.base.sha256").value_or("");
  summary.n_matrices = adapter.pairs.size();
  for (const auto& [name, pair] : adapter.pairs) summary.rank = std::max(summary.rank, pair.a->ne[1]);
  return summary;
}

void merge(const std::string& base, const std::string& adapter, const std::string& to,
           QuantizeProgress* progress) {
  (void)check_gguf(base);
  start_backend();
  std::error_code none;
  if (std::filesystem::equivalent(base, to, none) || std::filesystem::equivalent(adapter, to, none))
    throw std::invalid_argument("a model file cannot be written over its own source");
  Merger merger(base, adapter);
  Unfinished output(to);
  merger.write(to, progress);
  (void)check_gguf(to);
  output.keep();
  if (progress != nullptr) progress->done = 1;
}

}  // namespace aspd
