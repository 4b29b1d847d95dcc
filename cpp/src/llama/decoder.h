// A llama.cpp context, its threads and its batch: the one door to llama_decode.
#pragma once

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "aspd/engine_options.h"
#include "aspd/layout.h"
#include "aspd/model.h"

struct ggml_cgraph;
struct ggml_context;
struct ggml_threadpool;
struct llama_batch_ext;
struct llama_context;

namespace aspd {

class Decoder {
 public:
  // options: with all defaults filled in. Throws ModelError.
  Decoder(const Model& model, const EngineOptions& options, std::int32_t n_sequences, std::int32_t n_outputs);
  ~Decoder();

  enum class Status { kDone, kFull, kAborted };

  void clear();
  // Adds a token to the batch; returns its row for logits().
  std::int32_t add(Token token, Pos position, std::int32_t sequence, bool output);
  [[nodiscard]] std::int32_t size() const { return n_tokens_; }
  // Computes the batch. kFull and kAborted leave the cache as it was. Throws DecodeError.
  Status decode();
  // Lets a model's encoder read the batch, all of it at once. Its output stays in the context until the next
  // encode(); later batches of the same sequence see it.
  Status encode();
  // [n_vocab], may be changed in place until the next decode(). row: as add() returned it, with output.
  [[nodiscard]] float* logits(std::int32_t row);
  // Runs task(0) ... task(n - 1), shared out among the threads of wide steps, which look for work for a while
  // after each. Tasks must not use the decoder. Rethrows what a task throws, once all others are done.
  void parallel_for(std::int32_t n, const std::function<void(std::int32_t)>& task);

  // From any thread: makes a running decode() return kAborted.
  void abort() { abort_ = true; }
  void clear_abort() { abort_ = false; }
  // Asked now and then on the thread that computes, while it does; false aborts. Must not throw.
  void set_poll(std::function<bool()> poll) { poll_ = std::move(poll); }

  [[nodiscard]] llama_context* context() const { return context_.get(); }
  [[nodiscard]] std::size_t n_cells() const;

 private:
  Status process(bool encode);
  [[nodiscard]] bool should_abort();

  struct FreeContext {
    void operator()(llama_context* context) const;
  };
  struct FreeBatch {
    void operator()(llama_batch_ext* batch) const;
  };
  struct FreePool {
    void operator()(ggml_threadpool* pool) const;
  };
  struct FreeGraph {
    void operator()(ggml_context* graph) const;
  };
  // Work of parallel_for() while it lasts.
  struct Work {
    const std::function<void(std::int32_t)>* task = nullptr;
    std::int32_t n = 0;
    std::atomic<std::int32_t> next{0};
    std::mutex mutex;
    std::exception_ptr error;
  };
  static void work(Work& work) noexcept;

  std::atomic<bool> abort_{false};
  std::function<bool()> poll_;
  std::chrono::steady_clock::time_point polled_;
  std::unique_ptr<ggml_threadpool, FreePool> pool_;
  std::unique_ptr<ggml_threadpool, FreePool> pool_batch_;
  std::unique_ptr<llama_context, FreeContext> context_;  // freed before its pools
  std::unique_ptr<llama_batch_ext, FreeBatch> batch_;
  Work work_;
  std::unique_ptr<ggml_context, FreeGraph> work_memory_;
  ggml_cgraph* work_graph_ = nullptr;  // of one node, which takes tasks on every thread
  std::int32_t n_workers_;
  std::int32_t n_tokens_ = 0;
  std::int32_t n_outputs_ = 0;
  std::int32_t max_tokens_;
  std::int32_t max_outputs_;
  std::int32_t n_vocab_;
};

}  // namespace aspd
