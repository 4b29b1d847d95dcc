#include "aspd/model.h"

#include <algorithm>
#include <stdexcept>

#include "aspd/backend.h"
#include "aspd/errors.h"
#include "aspd/gguf_check.h"
#include "llama.h"

namespace aspd {

namespace {

bool on_progress(float done, void* data) {
  auto* progress = static_cast<LoadProgress*>(data);
  progress->done = done;
  return !progress->cancel;
}

// llama.cpp writes a string into a buffer and returns its whole length, or -1.
template <typename Get>
std::string read_string(const Get& get) {
  std::string text(256, '\0');
  std::int32_t n = get(text.data(), text.size());
  if (n < 0) return "";
  if (static_cast<std::size_t>(n) >= text.size()) {
    text.assign(static_cast<std::size_t>(n) + 1, '\0');
    n = get(text.data(), text.size());
  }
  text.resize(static_cast<std::size_t>(n));
  return text;
}

std::string meta(const llama_model* model, const char* key) {
  return read_string(
      [&](char* buffer, std::size_t size) { return llama_model_meta_val_str(model, key, buffer, size); });
}

// llama.cpp asserts in its tokeniser where a file asks for a token that it does not name.
void check_vocabulary(const std::string& path, const llama_vocab* vocab) {
  if (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_NONE) throw ModelError(path, "the file has no vocabulary");
  const auto check = [&](bool wanted, llama_token token, const char* name) {
    if (wanted && token == LLAMA_TOKEN_NULL) {
      throw ModelError(path, std::string("the vocabulary asks for a ") + name + " token but names none");
    }
  };
  check(llama_vocab_get_add_bos(vocab), llama_vocab_bos(vocab), "BOS");
  check(llama_vocab_get_add_eos(vocab), llama_vocab_eos(vocab), "EOS");
  check(llama_vocab_get_add_sep(vocab), llama_vocab_sep(vocab), "SEP");
}

}  // namespace

void Model::Free::operator()(llama_model* model) const { llama_model_free(model); }

Model::~Model() = default;

std::shared_ptr<Model> Model::load(const std::string& path, const ModelOptions& options,
                                   LoadProgress* progress) {
  (void)check_gguf(path);
  start_backend();
  clear_first_error();

  llama_model_params params = llama_model_default_params();
  params.n_gpu_layers = options.n_gpu_layers;
  params.load_mode = options.use_mmap
                         ? (options.use_mlock ? LLAMA_LOAD_MODE_MMAP_MLOCK : LLAMA_LOAD_MODE_MMAP)
                         : (options.use_mlock ? LLAMA_LOAD_MODE_MLOCK : LLAMA_LOAD_MODE_NONE);
  params.use_extra_bufts = options.use_extra_bufts;
  params.check_tensors = options.check_tensors;
  params.vocab_only = options.vocab_only;
  if (progress != nullptr) {
    params.progress_callback = on_progress;
    params.progress_callback_user_data = progress;
  }

  const std::shared_ptr<Model> model(new Model());
  model->path_ = path;
  model->vocab_only_ = options.vocab_only;
  try {
    model->model_.reset(llama_model_load_from_file(path.c_str(), params));
  } catch (const std::exception& e) {
    throw ModelError(path, std::string("llama.cpp: ") + e.what());
  }
  if (model->model_ == nullptr) {
    if (progress != nullptr && progress->cancel) throw CancelledError("loading was cancelled");
    const std::string why = first_error();
    throw ModelError(path, "llama.cpp cannot load it" + (why.empty() ? "" : ": " + why));
  }
  model->vocab_ = llama_model_get_vocab(model->model_.get());
  model->n_vocab_ = llama_vocab_n_tokens(model->vocab_);
  check_vocabulary(path, model->vocab_);
  return model;
}

std::vector<Token> Model::tokenize(std::string_view text, bool parse_special) const {
  if (text.empty()) return {};
  return tokenize(text, false, parse_special);
}

std::vector<Token> Model::tokenize_whole(std::string_view text) const { return tokenize(text, true, false); }

std::vector<Token> Model::tokenize(std::string_view text, bool add_special, bool parse_special) const {
  if (text.size() > 0x7FFFFFFFU / 4) throw std::invalid_argument("the text is too long to tokenise");
  std::vector<Token> tokens(text.size() + 8);
  const auto call = [&] {
    return llama_tokenize(vocab_, text.data(), static_cast<std::int32_t>(text.size()), tokens.data(),
                          static_cast<std::int32_t>(tokens.size()), add_special, parse_special);
  };
  std::int32_t n = call();
  if (n < 0) {
    tokens.resize(static_cast<std::size_t>(-n));
    n = call();
  }
  if (n < 0) throw Error("llama.cpp could not tokenise the text");
  tokens.resize(static_cast<std::size_t>(n));
  return tokens;
}

std::string Model::piece(Token token, bool special) const {
  if (token < 0 || token >= n_vocab_) throw std::invalid_argument("token id outside the vocabulary");
  char small[64];
  std::int32_t n = llama_token_to_piece(vocab_, token, small, sizeof(small), 0, special);
  if (n >= 0) return std::string(small, static_cast<std::size_t>(n));
  std::string text(static_cast<std::size_t>(-n), '\0');
  n = llama_token_to_piece(vocab_, token, text.data(), static_cast<std::int32_t>(text.size()), 0, special);
  text.resize(static_cast<std::size_t>(n < 0 ? 0 : n));
  return text;
}

std::size_t Model::longest_piece() const {
  std::call_once(measured_, [this] {
    const auto type = llama_vocab_type(vocab_);
    if (type != LLAMA_VOCAB_TYPE_BPE && type != LLAMA_VOCAB_TYPE_SPM) return;
    std::size_t longest = 0;
    for (Token token = 0; token < n_vocab_; ++token) {
      constexpr int kSwallows = LLAMA_TOKEN_ATTR_LSTRIP | LLAMA_TOKEN_ATTR_RSTRIP;
      if ((llama_vocab_get_attr(vocab_, token) & kSwallows) != 0) return;
      longest = std::max(longest, piece(token, true).size());
    }
    longest_piece_ = longest;
  });
  return longest_piece_;
}

std::optional<Token> Model::find_token(std::string_view spelling) const {
  for (Token token = 0; token < n_vocab_; ++token) {
    if (spelling == llama_vocab_get_text(vocab_, token)) return token;
  }
  return std::nullopt;
}

bool Model::is_control(Token token) const {
  return token >= 0 && token < n_vocab_ && llama_vocab_is_control(vocab_, token);
}
bool Model::is_eog(Token token) const {
  return token >= 0 && token < n_vocab_ && llama_vocab_is_eog(vocab_, token);
}
Token Model::bos() const { return llama_vocab_bos(vocab_); }
Token Model::eos() const { return llama_vocab_eos(vocab_); }
bool Model::add_bos() const { return llama_vocab_get_add_bos(vocab_); }
bool Model::add_eos() const { return has_encoder() && llama_vocab_get_add_eos(vocab_); }
std::int32_t Model::n_ctx_train() const { return llama_model_n_ctx_train(model_.get()); }

std::int32_t Model::n_head_dim() const {
  const std::string length = meta(model_.get(), (architecture() + ".attention.key_length").c_str());
  if (!length.empty()) return static_cast<std::int32_t>(std::strtol(length.c_str(), nullptr, 10));
  const std::int32_t n_heads = llama_model_n_head(model_.get());
  return n_heads > 0 ? llama_model_n_embd(model_.get()) / n_heads : 0;
}
std::uint64_t Model::n_params() const { return llama_model_n_params(model_.get()); }
std::uint64_t Model::size_bytes() const { return llama_model_size(model_.get()); }
bool Model::has_encoder() const { return llama_model_has_encoder(model_.get()); }
bool Model::is_recurrent() const {
  return llama_model_is_recurrent(model_.get()) || llama_model_is_hybrid(model_.get());
}

std::string Model::description() const {
  return read_string(
      [&](char* buffer, std::size_t size) { return llama_model_desc(model_.get(), buffer, size); });
}

std::string Model::architecture() const { return meta(model_.get(), "general.architecture"); }

std::string Model::chat_template() const {
  const char* text = llama_model_chat_template(model_.get(), nullptr);
  return text == nullptr ? "" : text;
}

std::map<std::string, std::string> Model::metadata() const {
  std::map<std::string, std::string> all;
  for (std::int32_t i = 0; i < llama_model_meta_count(model_.get()); ++i) {
    const std::string key = read_string([&](char* buffer, std::size_t size) {
      return llama_model_meta_key_by_index(model_.get(), i, buffer, size);
    });
    all[key] = read_string([&](char* buffer, std::size_t size) {
      return llama_model_meta_val_str_by_index(model_.get(), i, buffer, size);
    });
  }
  return all;
}

Token Model::decoder_start() const {
  const llama_token named = llama_model_decoder_start_token(model_.get());
  const Token token = named == LLAMA_TOKEN_NULL ? bos() : named;
  return token >= 0 && token < n_vocab_ ? token : -1;
}

std::string Model::cannot_decode() const {
  const llama_model* model = model_.get();
  if (!llama_model_has_decoder(model)) return "the model has no decoder: it makes embeddings, not text";
  if (llama_model_is_diffusion(model)) return "a diffusion model does not decode from left to right";
  if (!has_encoder()) return "";
  if (architecture() != "t5") return "the model drafts for another one and reads that one's states, not text";
  if (decoder_start() < 0) return "the file names no token for the decoder to start from";
  return "";
}

std::string Model::cannot_join() const {
  const llama_model* model = model_.get();
  if (!cannot_decode().empty()) return cannot_decode();
  if (has_encoder()) return "an encoder reads the prompt";
  if (llama_model_is_recurrent(model)) return "the memory is recurrent: a join would keep one branch only";
  if (llama_model_is_hybrid(model))
    return "the memory is partly recurrent: a join would keep one branch only";
  const std::string name = architecture();
  // Block indices and position windows that break on shared positions (notes on the newer caches).
  if (name == "minimax-m3" || name == "qwen4exp")
    return "the cache of " + name + " does not allow shared positions";
  return "";
}

}  // namespace aspd
