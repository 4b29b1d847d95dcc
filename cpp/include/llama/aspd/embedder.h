// Texts as vectors, by models that were made for it: encoders, and decoders whose file says how to pool.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "aspd/model.h"

struct llama_batch_ext;
struct llama_context;

namespace aspd {

struct EmbedderOptions {
  std::int32_t n_ctx = 0;      // most tokens of one text; 0: min(trained, 2048)
  std::int32_t n_threads = 0;  // 0: physical cores
};

class Embedder {
 public:
  // Throws ModelError where the model makes no embeddings (why_not), std::invalid_argument for options.
  Embedder(std::shared_ptr<const Model> model, const EmbedderOptions& options);
  ~Embedder();
  Embedder(const Embedder&) = delete;
  Embedder& operator=(const Embedder&) = delete;

  // Why this model makes no embeddings; empty if it does as far as the file tells.
  [[nodiscard]] static std::string why_not(const Model& model);

  // Vectors of unit length, [n_texts][n_embd]; a text is all of its tokens, special ones included
  // (Model::tokenize_whole). What a text gives does not depend on the others. From any thread, one after
  // another. Throws std::invalid_argument for an empty text or an id outside the vocabulary, ContextFullError
  // for a text beyond n_ctx, before anything is computed; DecodeError.
  std::vector<std::vector<float>> embed(const std::vector<std::vector<Token>>& texts);

  // Throws what embed() throws before it computes anything.
  void check(const std::vector<std::vector<Token>>& texts) const;
  [[nodiscard]] bool can_write() const;  // the model decodes text, too
  [[nodiscard]] std::int32_t n_embd() const { return n_embd_; }
  [[nodiscard]] std::int32_t n_ctx() const { return n_ctx_; }
  [[nodiscard]] const std::shared_ptr<const Model>& model() const { return model_; }

 private:
  struct FreeContext {
    void operator()(llama_context* context) const;
  };
  struct FreeBatch {
    void operator()(llama_batch_ext* batch) const;
  };
  void process(const std::vector<std::vector<Token>>& texts, std::size_t first, std::size_t n);
  void clear();
  void compute();
  [[nodiscard]] std::vector<float> vector_of(std::int32_t sequence) const;

  std::shared_ptr<const Model> model_;
  std::mutex mutex_;
  std::unique_ptr<llama_context, FreeContext> context_;
  std::unique_ptr<llama_batch_ext, FreeBatch> batch_;
  std::int32_t n_ctx_;
  std::int32_t n_batch_;  // most tokens computed at once
  std::int32_t n_embd_;
};

}  // namespace aspd
