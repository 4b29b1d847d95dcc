#include "aspd/embedder.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "aspd/backend.h"
#include "aspd/errors.h"
#include "context.h"
#include "llama.h"

namespace aspd {

namespace {

constexpr std::int32_t kDefaultTokens = 2048;
constexpr std::int32_t kChunk = 512;  // of a text that may be read piece by piece
constexpr std::int32_t kSideBySide = 64;

std::string file_says(const Model& model, const std::string& key) {
  const auto all = model.metadata();
  const auto found = all.find(model.architecture() + "." + key);
  return found == all.end() ? "" : found->second;
}

bool is_causal(llama_context* context) {
  return llama_get_memory(context) != nullptr && llama_get_causal_attn(context);
}

// A causal model whose last token stands for the text reads it piece by piece, as a prompt is read. All
// others must see it whole: each token sees those behind it, or the vectors of all tokens are needed at once.
bool reads_in_chunks(llama_context* context) {
  return is_causal(context) && llama_pooling_type(context) == LLAMA_POOLING_TYPE_LAST;
}

}  // namespace

void Embedder::FreeContext::operator()(llama_context* context) const { llama_free(context); }
void Embedder::FreeBatch::operator()(llama_batch_ext* batch) const { llama_batch_ext_free(batch); }

std::string Embedder::why_not(const Model& model) {
  if (model.vocab_only()) return "a model loaded with vocab_only computes nothing";
  const std::string pooling = file_says(model, "pooling_type");
  if (pooling.empty() || pooling == std::to_string(LLAMA_POOLING_TYPE_NONE))
    return "the model makes no embeddings: its file names no pooling";
  if (pooling == std::to_string(LLAMA_POOLING_TYPE_RANK))
    return "the model ranks pairs of texts, it makes no embeddings";
  if (model.has_encoder() && llama_model_has_decoder(model.handle()))
    return "the model's decoder answers what its encoder reads, it makes no embeddings";
  if (model.is_recurrent()) return "embeddings of recurrent models are not supported";
  return "";
}

Embedder::Embedder(std::shared_ptr<const Model> model, const EmbedderOptions& options)
    : model_(std::move(model)), n_embd_(llama_model_n_embd_out(model_->handle())) {
  if (const std::string why = why_not(*model_); !why.empty()) throw ModelError(model_->path(), why);
  if (options.n_ctx < 0 || options.n_ctx > 65536)
    throw std::invalid_argument("n_ctx must be between 0 and 65536");
  if (options.n_threads < 0 || options.n_threads > 512)
    throw std::invalid_argument("n_threads must be between 0 and 512");
  const std::int32_t trained = std::max(model_->n_ctx_train(), 1);
  n_ctx_ = std::min(options.n_ctx == 0 ? kDefaultTokens : options.n_ctx, trained);

  // How many tokens go into one batch depends on what only a context tells, so there may be two.
  const auto open = [&](std::int32_t n_batch) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx = static_cast<std::uint32_t>(std::max(n_ctx_, n_batch));
    params.n_batch = static_cast<std::uint32_t>(n_batch);
    params.n_ubatch = params.n_batch;
    params.n_seq_max = kSideBySide;
    params.n_outputs_max = params.n_batch;
    params.n_threads = options.n_threads == 0 ? physical_cores() : options.n_threads;
    params.n_threads_batch = params.n_threads;
    params.kv_unified = true;
    params.swa_full = true;
    params.no_perf = true;
    params.embeddings = true;
    n_batch_ = n_batch;
    context_.reset(open_context(*model_, params));
  };
  open(std::max(std::min(n_ctx_, kChunk), kSideBySide));
  if (n_batch_ < n_ctx_ && !reads_in_chunks(context_.get())) open(n_ctx_);
  batch_.reset(llama_batch_ext_init(context_.get()));
}

Embedder::~Embedder() = default;

bool Embedder::can_write() const { return is_causal(context_.get()) && model_->cannot_decode().empty(); }

void Embedder::check(const std::vector<std::vector<Token>>& texts) const {
  for (const std::vector<Token>& text : texts) {
    if (text.empty()) throw std::invalid_argument("a text without tokens has no embedding");
    if (text.size() > static_cast<std::size_t>(n_ctx_))
      throw ContextFullError(text.size(), static_cast<std::size_t>(n_ctx_));
    for (const Token token : text) {
      if (token < 0 || token >= model_->n_vocab())
        throw std::invalid_argument("a text has a token id outside the vocabulary");
    }
  }
}

std::vector<std::vector<float>> Embedder::embed(const std::vector<std::vector<Token>>& texts) {
  check(texts);
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::vector<float>> found;
  found.reserve(texts.size());
  for (std::size_t first = 0; first < texts.size();) {
    std::size_t n = 1;
    std::size_t n_tokens = texts[first].size();
    while (first + n < texts.size() && n < static_cast<std::size_t>(kSideBySide)) {
      n_tokens += texts[first + n].size();
      if (n_tokens > static_cast<std::size_t>(n_batch_)) break;
      ++n;
    }
    clear();
    process(texts, first, n);
    for (std::size_t i = 0; i < n; ++i) found.push_back(vector_of(static_cast<std::int32_t>(i)));
    first += n;
  }
  return found;
}

// Texts side by side, each as a sequence of its own. One that is longer than a batch comes alone.
void Embedder::process(const std::vector<std::vector<Token>>& texts, std::size_t first, std::size_t n) {
  std::int32_t n_tokens = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::vector<Token>& text = texts[first + i];
    for (std::size_t at = 0; at < text.size(); ++at) {
      if (n_tokens == n_batch_) {
        compute();
        n_tokens = 0;
      }
      const std::int32_t row =
          llama_batch_ext_add_token(batch_.get(), static_cast<llama_seq_id>(i), text[at]);
      if (row < 0) throw std::logic_error("llama.cpp refused a token of the batch");
      const auto position = static_cast<llama_pos>(at);
      llama_batch_ext_set_pos(batch_.get(), row, &position);
      llama_batch_ext_set_output_embd(batch_.get(), row, true);
      ++n_tokens;
    }
  }
  compute();
}

void Embedder::clear() {
  if (llama_memory_t memory = llama_get_memory(context_.get())) llama_memory_clear(memory, false);
  llama_batch_ext_clear(batch_.get());
}

void Embedder::compute() {
  const int code = process_batch(context_.get(), LLAMA_PROCESS_TYPE_DECODE, batch_.get());
  llama_batch_ext_clear(batch_.get());
  if (code != 0) throw process_error(code, "llama.cpp");
}

std::vector<float> Embedder::vector_of(std::int32_t sequence) const {
  const float* row = llama_get_embeddings_seq(context_.get(), sequence);
  if (row == nullptr) throw DecodeError(0, "llama.cpp has no embedding for a text");
  std::vector<float> found(row, row + n_embd_);
  double square = 0;
  for (const float value : found) square += static_cast<double>(value) * value;
  if (!std::isfinite(square)) throw DecodeError(0, "an embedding is not finite");
  const double length = std::sqrt(square);
  if (length > 0) {
    for (float& value : found) value = static_cast<float>(value / length);
  }
  return found;
}

}  // namespace aspd
