#include "aspd/quantize.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "aspd/backend.h"
#include "aspd/errors.h"
#include "aspd/gguf_check.h"
#include "gguf.h"
#include "llama.h"
#include "weights_file.h"

namespace aspd {

namespace {

constexpr std::int64_t kAlignment = 32;  // of the files that llama_model_quantize writes, whatever they say

struct KnownType {
  ggml_type type;
  llama_ftype ftype;  // the mix of a whole file
};

constexpr KnownType kKnownTypes[] = {
    {GGML_TYPE_Q4_0, LLAMA_FTYPE_MOSTLY_Q4_0},     {GGML_TYPE_IQ4_NL, LLAMA_FTYPE_MOSTLY_IQ4_NL},
    {GGML_TYPE_IQ4_XS, LLAMA_FTYPE_MOSTLY_IQ4_XS}, {GGML_TYPE_Q4_K, LLAMA_FTYPE_MOSTLY_Q4_K_S},
    {GGML_TYPE_Q4_1, LLAMA_FTYPE_MOSTLY_Q4_1},     {GGML_TYPE_Q5_0, LLAMA_FTYPE_MOSTLY_Q5_0},
    {GGML_TYPE_Q5_K, LLAMA_FTYPE_MOSTLY_Q5_K_S},   {GGML_TYPE_Q5_1, LLAMA_FTYPE_MOSTLY_Q5_1},
    {GGML_TYPE_Q6_K, LLAMA_FTYPE_MOSTLY_Q6_K},     {GGML_TYPE_Q8_0, LLAMA_FTYPE_MOSTLY_Q8_0},
};

std::string name_of(ggml_type type) {
  std::string name = ggml_type_name(type);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return name;
}

double bits_of(ggml_type type) {
  return 8.0 * static_cast<double>(ggml_type_size(type)) / static_cast<double>(ggml_blck_size(type));
}

const KnownType& find_type(const std::string& name) {
  for (const KnownType& known : kKnownTypes) {
    if (name_of(known.type) == name) return known;
  }
  throw std::invalid_argument("unknown type of weights: " + name);
}

std::optional<ggml_type> quantised_type(const std::string& name) {
  for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
    const auto type = static_cast<ggml_type>(i);
    if (ggml_is_quantized(type) && name_of(type) == name) return type;
  }
  return std::nullopt;
}

// llama.cpp tells how far it is only by a line of its log for each tensor, which is also the only place where
// it can be stopped: what is thrown there comes out of llama_model_quantize as a failure.
thread_local QuantizeProgress* watched = nullptr;

ggml_log_callback log_before_ours() {
  static const ggml_log_callback before = [] {
    ggml_log_callback callback = nullptr;
    void* data = nullptr;
    llama_log_get(&callback, &data);
    return callback;
  }();
  return before;
}

void watch_log(ggml_log_level level, const char* text, void* data) {
  log_before_ours()(level, text, data);
  int tensor = 0;
  int n_tensors = 0;
  if (watched == nullptr || std::sscanf(text, "[%d/%d]", &tensor, &n_tensors) != 2) return;
  if (watched->cancel) throw CancelledError("quantising was cancelled");
  if (n_tensors > 0) watched->done = static_cast<double>(tensor - 1) / n_tensors;
}

// For as long as it lives, this thread's calls of llama.cpp report to `progress`.
class Watch {
 public:
  explicit Watch(QuantizeProgress* progress) {
    static const bool installed = [] {
      (void)log_before_ours();
      llama_log_set(watch_log, nullptr);
      return true;
    }();
    (void)installed;
    watched = progress;
  }
  ~Watch() { watched = nullptr; }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
};

// llama.cpp drops the reason why a write failed: the same write once more tells it. 0: it works.
int write_error(const std::string& path) {
  const File file(std::fopen(path.c_str(), "ab"));
  if (file == nullptr) return errno;
  const std::vector<char> zeros(std::size_t{1} << 20);
  const bool written = std::fwrite(zeros.data(), 1, zeros.size(), file.get()) == zeros.size();
  return written && std::fflush(file.get()) == 0 ? 0 : errno;
}

}  // namespace

const std::vector<WeightType>& weight_types() {
  static const std::vector<WeightType> types = [] {
    std::vector<WeightType> all;
    for (const KnownType& known : kKnownTypes) {
      all.push_back({name_of(known.type), bits_of(known.type), ggml_blck_size(known.type)});
    }
    return all;
  }();
  return types;
}

WeightSummary summarize_weights(const std::string& path) {
  const GgufSummary checked = check_gguf(path);
  start_backend();
  const Table table(path);
  check_whole(path, table.gguf.get());
  const ggml_tensor* embedding = table.find("token_embd.weight");
  const ggml_tensor* head = table.find("output.weight");
  if (embedding == nullptr) throw ModelError(path, "the file has no table of token embeddings");

  WeightSummary summary;
  summary.tied = head == nullptr;
  if (summary.tied) head = embedding;
  std::map<ggml_type, std::uint64_t> bytes_by_type;
  std::uint64_t matrix_bytes = 0;
  for (ggml_tensor* t = ggml_get_first_tensor(table.tensors.get()); t != nullptr;
       t = ggml_get_next_tensor(table.tensors.get(), t)) {
    const std::string_view name = ggml_get_name(t);
    if (ggml_n_dims(t) < 2 || !ends_with(name, ".weight") || ends_with(name, "_norm.weight")) continue;
    if (ggml_n_dims(t) > 3) {  // llama_model_quantize would abort
      throw ModelError(path,
                       "tensor '" + std::string(name) + "' has four dimensions: it cannot be quantised");
    }
    summary.quantised = summary.quantised || ggml_is_quantized(t->type);
    if (t == head) continue;
    bytes_by_type[t->type] += ggml_nbytes(t);
    matrix_bytes += ggml_nbytes(t);
    summary.n_weights += static_cast<std::uint64_t>(ggml_nelements(t));
    summary.rows[t->ne[0]] += static_cast<std::uint64_t>(ggml_nelements(t));
  }
  if (summary.n_weights == 0) throw ModelError(path, "the file has no matrices but its head");

  const auto most = std::max_element(bytes_by_type.begin(), bytes_by_type.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  summary.weights = name_of(most->first);
  summary.head = name_of(head->type);
  summary.embedding = name_of(embedding->type);
  summary.weight_bits = 8.0 * static_cast<double>(matrix_bytes) / static_cast<double>(summary.n_weights);
  summary.head_bits = bits_of(head->type);
  summary.n_head = static_cast<std::uint64_t>(ggml_nelements(head));
  summary.head_row = head->ne[0];
  summary.other_bytes = checked.file_size - matrix_bytes - ggml_nbytes(head);
  return summary;
}

void quantize(const std::string& from, const std::string& to, const QuantizeOptions& options,
              QuantizeProgress* progress) {
  const KnownType& weights = find_type(options.weights);
  const KnownType& head = find_type(options.head);
  if (options.n_threads < 0) throw std::invalid_argument("n_threads must not be negative");
  const WeightSummary source = summarize_weights(from);
  if (source.head_row % ggml_blck_size(head.type) != 0) {
    throw std::invalid_argument("the head has rows of " + std::to_string(source.head_row) + " weights, " +
                                options.head + " needs a multiple of " +
                                std::to_string(ggml_blck_size(head.type)));
  }
  std::error_code none;
  if (std::filesystem::equivalent(from, to, none)) {
    throw std::invalid_argument("a model file cannot be written over itself");
  }

  llama_model_quantize_params params = llama_model_quantize_default_params();
  params.nthread = options.n_threads;
  params.ftype = weights.ftype;
  params.output_tensor_type = head.type;
  if (source.tied) {
    params.token_embedding_type = head.type;
  } else {
    params.token_embedding_type = quantised_type(source.embedding).value_or(GGML_TYPE_COUNT);
  }
  params.allow_requantize = true;
  llama_model_kv_override alignment[2] = {};
  alignment[0].tag = LLAMA_KV_OVERRIDE_TYPE_INT;
  std::snprintf(alignment[0].key, sizeof(alignment[0].key), "general.alignment");
  alignment[0].val_i64 = kAlignment;
  params.kv_overrides = alignment;

  Unfinished output(to);
  clear_first_error();
  std::uint32_t failed = 0;
  {
    const Watch watch(progress);
    failed = llama_model_quantize(from.c_str(), to.c_str(), &params);
  }
  if (failed != 0) {
    if (progress != nullptr && progress->cancel) throw CancelledError("quantising was cancelled");
    const int error = write_error(to);
    if (error != 0) throw std::system_error(error, std::generic_category(), to);
    throw ModelError(from, "llama.cpp cannot quantise it: " + first_error());
  }
  (void)check_gguf(to);
  output.keep();
  if (progress != nullptr) progress->done = 1;
}

}  // namespace aspd
