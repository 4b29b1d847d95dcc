// Renders a GGUF's chat template with llama.cpp's Jinja engine. Templates and messages may both be hostile: a
// render is bounded in time, memory and depth, and every text that came from a message is marked as input.
// Knows nothing of models and tokens.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace aspd {

// A piece of a prompt. Input came from a message and must be tokenised without special tokens.
struct PromptPart {
  std::string text;
  bool is_input = false;
};

struct RenderLimits {
  std::size_t template_bytes = std::size_t{1} << 20;  // of the source
  std::size_t input_bytes = std::size_t{4} << 20;     // of all messages and other variables, as JSON
  std::size_t steps = 5'000'000;                      // units of work, about 30 ns each
  std::size_t value_bytes = std::size_t{24} << 20;    // of all values that a render holds at one time
  std::size_t text_bytes = std::size_t{6} << 20;      // of one string
  std::size_t depth = 100;                            // of nesting, in the source and while it runs
  double seconds = 0.15;                              // of this thread, for one render
};

class ChatTemplate {
 public:
  // source: Jinja. bos, eos: what the template's bos_token and eos_token stand for; may be empty.
  // Throws ModelError when it does not parse, is too large, or is_available() is false.
  ChatTemplate(const std::string& source, const std::string& bos, const std::string& eos,
               const RenderLimits& limits = RenderLimits());

  // The prompt in parts; neighbours differ in is_input and none is empty.
  // messages_json: array of objects with role and content. add_generation_prompt: end with what opens the
  // assistant's turn. extra_json: object of further variables (tools, enable_thinking, ...); all are input.
  // Everything from a message is input, but for roles that are system, user, assistant or tool.
  // Safe to call from several threads.
  // Throws std::invalid_argument for malformed JSON or too much of it; ModelError when the template raises an
  // exception or exceeds a limit.
  [[nodiscard]] std::vector<PromptPart> render(const std::string& messages_json,
                                               bool add_generation_prompt = true,
                                               const std::string& extra_json = "{}") const;

  // False where llama.cpp was built without patches/jinja-budget.patch: its engine has no limits then, and no
  // template is run.
  [[nodiscard]] static bool is_available();

 private:
  class Program;
  std::shared_ptr<const Program> program_;
};

}  // namespace aspd
