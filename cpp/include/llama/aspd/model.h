// A loaded GGUF: weights, vocabulary, metadata. Shared by engines; never changed after loading.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "aspd/layout.h"

struct llama_model;
struct llama_vocab;

namespace aspd {

struct ModelOptions {
  std::int32_t n_gpu_layers = -1;  // layers on the GPU, if there is one; negative: all
  bool use_mmap = true;
  bool use_mlock = false;
  bool use_extra_bufts = true;  // repack weights for this CPU
  bool check_tensors = false;   // look for NaN and infinity in the weights
  bool vocab_only = false;      // tokenise only; no engine can be made
};

// Progress of a load that another thread may watch and stop.
struct LoadProgress {
  std::atomic<float> done{0.0F};  // 0 ... 1
  std::atomic<bool> cancel{false};
};

class Model {
 public:
  // Checks the file with the strict reader, then loads it.
  // Throws ModelError; CancelledError when progress->cancel is set.
  static std::shared_ptr<Model> load(const std::string& path, const ModelOptions& options,
                                     LoadProgress* progress = nullptr);
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  // Token ids of a text. parse_special: CONTROL tokens that are spelt out in the text become ids; only for
  // text of a template, never for a user's. No BOS is added.
  [[nodiscard]] std::vector<Token> tokenize(std::string_view text, bool parse_special) const;
  // As tokenize(text, false), with the special tokens that the vocabulary puts around a text of its own.
  [[nodiscard]] std::vector<Token> tokenize_whole(std::string_view text) const;
  // Bytes of one token; may be a part of a code point. CONTROL tokens give "" unless special is true.
  [[nodiscard]] std::string piece(Token token, bool special = false) const;
  // Bytes of the longest token: a text has at least as many tokens as it holds of these. 0: that cannot be
  // said, since tokens swallow white space beside them, or the text is changed before it is tokenised.
  [[nodiscard]] std::size_t longest_piece() const;
  // Looks a token up by its exact spelling in the vocabulary.
  [[nodiscard]] std::optional<Token> find_token(std::string_view spelling) const;

  [[nodiscard]] bool is_control(Token token) const;
  [[nodiscard]] bool is_eog(Token token) const;
  [[nodiscard]] std::int32_t n_vocab() const { return n_vocab_; }
  [[nodiscard]] Token bos() const;  // -1: none
  [[nodiscard]] Token eos() const;  // -1: none
  [[nodiscard]] bool add_bos() const;
  [[nodiscard]] bool add_eos() const;  // behind a text that an encoder reads
  [[nodiscard]] std::int32_t n_ctx_train() const;
  [[nodiscard]] std::int32_t n_head_dim() const;  // numbers in a key of one head; 0: without attention
  [[nodiscard]] std::uint64_t n_params() const;
  [[nodiscard]] std::uint64_t size_bytes() const;
  [[nodiscard]] std::string description() const;    // llama_model_desc
  [[nodiscard]] std::string architecture() const;   // general.architecture
  [[nodiscard]] std::string chat_template() const;  // empty: none
  [[nodiscard]] std::map<std::string, std::string> metadata() const;
  [[nodiscard]] const std::string& path() const { return path_; }
  // Why no text can be decoded from this model at all; empty if it can as far as the file tells.
  [[nodiscard]] std::string cannot_decode() const;
  // True where an encoder reads the prompt and a decoder writes the answer (T5).
  [[nodiscard]] bool has_encoder() const;
  // The token that such a decoder starts from; -1: the file names none.
  [[nodiscard]] Token decoder_start() const;
  // Why this kind of memory cannot join branches; empty if it can as far as the file tells. The engine's
  // self-test has the last word.
  [[nodiscard]] std::string cannot_join() const;
  // True where parts of a sequence cannot be removed from the cache (recurrent and hybrid models).
  [[nodiscard]] bool is_recurrent() const;
  [[nodiscard]] bool vocab_only() const { return vocab_only_; }

  [[nodiscard]] llama_model* handle() const { return model_.get(); }
  [[nodiscard]] const llama_vocab* vocab() const { return vocab_; }

 private:
  struct Free {
    void operator()(llama_model* model) const;
  };
  Model() = default;
  [[nodiscard]] std::vector<Token> tokenize(std::string_view text, bool add_special,
                                            bool parse_special) const;
  std::string path_;
  std::unique_ptr<llama_model, Free> model_;
  const llama_vocab* vocab_ = nullptr;
  std::int32_t n_vocab_ = 0;
  mutable std::once_flag measured_;
  mutable std::size_t longest_piece_ = 0;
  bool vocab_only_ = false;
};

}  // namespace aspd
