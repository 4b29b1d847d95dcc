#include "decoder.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "context.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "llama.h"
#include "narrow.h"

namespace aspd {

namespace {

ggml_type cache_type(const std::string& name) {
  if (name == "f32") return GGML_TYPE_F32;
  if (name == "q8_0") return GGML_TYPE_Q8_0;
  return GGML_TYPE_F16;
}

// llama.cpp's flash attention on a CPU multiplies one short row at a time. Where the rows are heads of less
// than 128 numbers it is up to four times slower than without; from 128 on it is not, and saves memory
// (docs/experiments/decoding-speed.md). Ours is faster than both.
constexpr std::int32_t kFlashHead = 128;

bool is_flash_slow(const Model& model) {
  if (llama_supports_gpu_offload()) return false;
  return model.n_head_dim() < kFlashHead && !kernels::has_attention(model.n_head_dim());
}

llama_flash_attn_type flash_attn(const EngineOptions& options, const Model& model) {
  if (options.flash_attn == "on" || options.cache_type == "q8_0") return LLAMA_FLASH_ATTN_TYPE_ENABLED;
  if (options.flash_attn == "off" || is_flash_slow(model)) return LLAMA_FLASH_ATTN_TYPE_DISABLED;
  return LLAMA_FLASH_ATTN_TYPE_AUTO;
}

ggml_threadpool* make_pool(std::int32_t n_threads) {
  ggml_threadpool_params params = ggml_threadpool_params_default(n_threads);
  return ggml_threadpool_new(&params);
}

// A step that is shorter is not looked at: its caller takes the next turn soon enough.
constexpr std::chrono::milliseconds kBetweenPolls{20};

}  // namespace

void Decoder::FreeContext::operator()(llama_context* context) const { llama_free(context); }
void Decoder::FreeBatch::operator()(llama_batch_ext* batch) const { llama_batch_ext_free(batch); }
void Decoder::FreePool::operator()(ggml_threadpool* pool) const { ggml_threadpool_free(pool); }
void Decoder::FreeGraph::operator()(ggml_context* graph) const { ggml_free(graph); }

Decoder::Decoder(const Model& model, const EngineOptions& options, std::int32_t n_sequences,
                 std::int32_t n_outputs)
    : n_workers_(options.n_threads_batch),
      max_tokens_(options.n_batch),
      max_outputs_(n_outputs),
      n_vocab_(model.n_vocab()) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = static_cast<std::uint32_t>(options.n_ctx);
  params.n_batch = static_cast<std::uint32_t>(options.n_batch);
  params.n_ubatch = params.n_batch;  // one step = one micro-batch: a failed step is all or nothing
  params.n_seq_max = static_cast<std::uint32_t>(n_sequences);
  params.n_outputs_max = static_cast<std::uint32_t>(n_outputs);
  params.n_threads = options.n_threads;
  params.n_threads_batch = options.n_threads_batch;
  params.flash_attn_type = flash_attn(options, model);
  params.type_k = cache_type(options.cache_type);
  params.type_v = params.type_k;
  params.kv_unified = true;
  params.swa_full = true;
  params.no_perf = true;
  params.pooling_type = LLAMA_POOLING_TYPE_NONE;  // a file may ask for another, which an encoder would obey
  // A recurrent memory cannot take an aborted step back.
  if (!model.is_recurrent()) {
    params.abort_callback = [](void* self) { return static_cast<Decoder*>(self)->should_abort(); };
    params.abort_callback_data = this;
  }
  context_.reset(open_context(model, params));
  if (llama_get_memory(context_.get()) == nullptr || !llama_get_causal_attn(context_.get())) {
    throw ModelError(model.path(), "the model reads a text as a whole: it makes embeddings, not text");
  }
  pool_.reset(make_pool(options.n_threads));
  if (options.n_threads_batch != options.n_threads) pool_batch_.reset(make_pool(options.n_threads_batch));
  llama_attach_threadpool(context_.get(), pool_.get(), pool_batch_ ? pool_batch_.get() : pool_.get());
  batch_.reset(llama_batch_ext_init(context_.get()));

  // The pool computes graphs and nothing else, so what it shall share out is the node of a graph.
  constexpr std::size_t kNodes = 1;
  ggml_init_params memory{};
  memory.mem_size = ggml_tensor_overhead() + ggml_graph_overhead_custom(kNodes, false);
  memory.no_alloc = true;
  work_memory_.reset(ggml_init(memory));
  const auto take = [](ggml_tensor*, int, int, void* self) {
    Decoder::work(static_cast<Decoder*>(self)->work_);
  };
  work_graph_ = ggml_new_graph_custom(work_memory_.get(), kNodes, false);
  ggml_build_forward_expand(work_graph_, ggml_custom_4d(work_memory_.get(), GGML_TYPE_F32, 1, 1, 1, 1,
                                                        nullptr, 0, take, GGML_N_TASKS_MAX, this));
}

Decoder::~Decoder() {
  batch_.reset();
  if (context_) llama_detach_threadpool(context_.get());
}

std::size_t Decoder::n_cells() const { return llama_n_ctx(context_.get()); }

void Decoder::clear() {
  llama_batch_ext_clear(batch_.get());
  n_tokens_ = 0;
  n_outputs_ = 0;
}

std::int32_t Decoder::add(Token token, Pos position, std::int32_t sequence, bool output) {
  if (n_tokens_ >= max_tokens_) throw std::logic_error("the batch is full");
  if (output && n_outputs_ >= max_outputs_) throw std::logic_error("the batch has too many outputs");
  if (token < 0 || token >= n_vocab_) throw std::logic_error("a token id outside the vocabulary in a batch");
  const std::int32_t row = llama_batch_ext_add_token(batch_.get(), sequence, token);
  if (row < 0) throw std::logic_error("llama.cpp refused a token of the batch");
  llama_batch_ext_set_pos(batch_.get(), row, &position);
  llama_batch_ext_set_output_logits(batch_.get(), row, output);
  ++n_tokens_;
  if (output) ++n_outputs_;
  return row;
}

Decoder::Status Decoder::decode() { return process(false); }

Decoder::Status Decoder::encode() { return process(true); }

// Called by llama.cpp after each node of a graph, on the thread that is in process().
bool Decoder::should_abort() {
  if (abort_.load(std::memory_order_relaxed)) return true;
  if (!poll_) return false;
  const auto now = std::chrono::steady_clock::now();
  if (now - polled_ < kBetweenPolls) return false;
  polled_ = now;
  if (!poll_()) abort_ = true;
  return abort_;
}

Decoder::Status Decoder::process(bool encode) {
  polled_ = std::chrono::steady_clock::now();
  const int code = process_batch(
      context_.get(), encode ? LLAMA_PROCESS_TYPE_ENCODE : LLAMA_PROCESS_TYPE_DECODE, batch_.get());
  if (code == 0) return Status::kDone;
  if (code == 1) return Status::kFull;
  if (code == 2) return Status::kAborted;
  throw process_error(code, encode ? "llama_encode" : "llama_decode");
}

void Decoder::work(Work& work) noexcept {
  for (std::int32_t i = work.next++; i < work.n; i = work.next++) {
    try {
      (*work.task)(i);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(work.mutex);
      if (!work.error) work.error = std::current_exception();
    }
  }
}

void Decoder::parallel_for(std::int32_t n, const std::function<void(std::int32_t)>& task) {
  work_.task = &task;
  work_.n = n;
  work_.next = 0;
  work_.error = nullptr;
  if (n > 1 && n_workers_ > 1) {
    ggml_threadpool* pool = pool_batch_ ? pool_batch_.get() : pool_.get();
    ggml_cplan plan = ggml_graph_plan(work_graph_, n_workers_, pool);
    std::vector<std::uint8_t> scratch(plan.work_size);
    plan.work_data = scratch.data();
    (void)ggml_graph_compute(work_graph_, &plan);
  }
  work(work_);  // all of it where there is but one thread
  if (work_.error) std::rethrow_exception(std::exchange(work_.error, nullptr));
}

float* Decoder::logits(std::int32_t row) {
  float* logits = llama_get_logits_ith(context_.get(), row);
  if (logits == nullptr) throw DecodeError(0, "llama.cpp has no logits for a row that asked for them");
  return logits;
}

}  // namespace aspd
