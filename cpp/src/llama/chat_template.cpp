#include "aspd/chat_template.h"

#include <exception>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "aspd/errors.h"

#if __has_include("jinja/budget.h")

#include "jinja/budget.h"
#include "jinja/lexer.h"
#include "jinja/parser.h"
#include "jinja/runtime.h"
#include "json.h"
#include "json_depth.h"

namespace aspd {

namespace {

using Json = common_json;

constexpr std::size_t kMaxErrorBytes = 400;
constexpr std::size_t kMaxKeyBytes = 4096;

// One line of printable ASCII: what an engine says may quote the template or a message.
std::string printable(std::string_view text) {
  std::string line;
  for (const char c : text.substr(0, kMaxErrorBytes)) {
    if (c >= ' ' && c <= '~') {
      line += c;
    } else if (c != '\n') {
      line += '?';
    } else if (!line.empty()) {
      line += ' ';
    }
  }
  return line + (text.size() > kMaxErrorBytes ? " ..." : "");
}

[[noreturn]] void fail(const std::exception& error) {
  throw ModelError("", "the chat template failed: " + printable(error.what()));
}

// The lexer normalises line ends too, but in quadratic time.
std::string with_unix_line_ends(const std::string& source) {
  std::string text;
  text.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text += source[i];
    } else if (i + 1 == source.size() || source[i + 1] != '\n') {
      text += '\n';
    }
  }
  return text;
}

bool is_known_role(const std::string& role) {
  return role == "system" || role == "user" || role == "assistant" || role == "tool";
}

// Templates spell their markers with the role, as in '<|' + role + '|>'. A role of the fixed set is no input.
void unmark_known_roles(jinja::context& context) {
  const jinja::value key = jinja::mk_val<jinja::value_string>(std::string("role"));
  const jinja::value messages = context.get_val("messages");
  for (const jinja::value& message : messages->as_array()) {
    jinja::value none = jinja::mk_val<jinja::value_undefined>();
    const jinja::value role = message->at(key, none);
    if (!jinja::is_val<jinja::value_string>(role)) continue;
    const std::string name = role->as_string().str();
    if (is_known_role(name)) message->insert(key, jinja::mk_val<jinja::value_string>(name));
  }
}

Json typed(const std::string& text) { return Json::array({Json{{"type", "text"}, {"text", text}}}); }

void to_typed_content(Json& messages) {
  for (std::size_t i = 0; i < messages.size(); ++i) {
    Json& message = messages.at(i);
    if (message.contains("content") && message.at("content").is_string()) {
      message["content"] = typed(message.at("content").get<std::string>());
    }
  }
}

Json parse_messages(const std::string& text) {
  Json messages = Json::parse_no_throw(text);
  if (messages.is_discarded() || !messages.is_array()) {
    throw std::invalid_argument("the messages are not a JSON array");
  }
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (!messages.at(i).is_object()) {
      throw std::invalid_argument("messages[" + std::to_string(i) + "] is not an object");
    }
  }
  return messages;
}

Json parse_extra(const std::string& text) {
  Json extra = Json::parse_no_throw(text);
  if (extra.is_discarded() || !extra.is_object()) {
    throw std::invalid_argument("the template's variables are not a JSON object");
  }
  for (const char* name : {"messages", "bos_token", "eos_token", "add_generation_prompt"}) {
    if (extra.contains(name)) {
      throw std::invalid_argument(std::string("the template's variables may not set ") + name);
    }
  }
  return extra;
}

std::vector<PromptPart> to_parts(std::vector<jinja::string_part>& rendered) {
  std::vector<PromptPart> parts;
  for (jinja::string_part& part : rendered) {
    if (part.val.empty()) continue;
    if (!parts.empty() && parts.back().is_input == part.is_input) {
      parts.back().text += part.val;
    } else {
      parts.push_back({std::move(part.val), part.is_input});
    }
  }
  return parts;
}

bool contains(const std::vector<PromptPart>& parts, const std::string& text) {
  for (const PromptPart& part : parts) {
    if (part.text.find(text) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

class ChatTemplate::Program {
 public:
  Program(const std::string& source, std::string bos, std::string eos, const RenderLimits& limits)
      : bos_(std::move(bos)), eos_(std::move(eos)), limits_(limits) {
    if (source.empty()) throw ModelError("", "the chat template is empty");
    if (source.size() > limits_.template_bytes) {
      throw ModelError("", "the chat template has " + std::to_string(source.size()) + " bytes, more than " +
                               std::to_string(limits_.template_bytes));
    }
    try {
      const jinja::budget budget(budget_limits(1));
      program_ = jinja::parse_from_tokens(jinja::lexer().tokenize(with_unix_line_ends(source)));
    } catch (const std::exception& error) {
      fail(error);
    }
    wants_typed_content_ = find_typed_content();
  }

  std::vector<PromptPart> render(const std::string& messages_json, bool add_generation_prompt,
                                 const std::string& extra_json) const {
    const std::size_t n_bytes = messages_json.size() + extra_json.size();
    if (n_bytes > limits_.input_bytes) {
      throw std::invalid_argument("the messages have " + std::to_string(n_bytes) + " bytes, more than " +
                                  std::to_string(limits_.input_bytes));
    }
    check_depth(messages_json, limits_.depth);
    check_depth(extra_json, limits_.depth);
    Json messages = parse_messages(messages_json);
    if (wants_typed_content_) to_typed_content(messages);
    return run(messages, add_generation_prompt, parse_extra(extra_json), budget_limits(1));
  }

 private:
  // share: 1 for the whole of the limits, n for an n-th of the time.
  [[nodiscard]] jinja::budget::limits budget_limits(std::size_t share) const {
    return {limits_.steps / share, limits_.value_bytes, limits_.text_bytes,
            limits_.depth,         kMaxKeyBytes,        limits_.seconds / static_cast<double>(share)};
  }

  std::vector<PromptPart> run(const Json& messages, bool add_generation_prompt, const Json& extra,
                              const jinja::budget::limits& limits) const {
    try {
      // Outlives all values: it frees what they hold in circles.
      const jinja::budget budget(limits);
      jinja::context context;
      Json input = extra;
      input["messages"] = messages;
      jinja::global_from_json(context, input, true);
      unmark_known_roles(context);
      context.set_val("add_generation_prompt", jinja::mk_val<jinja::value_bool>(add_generation_prompt));
      context.set_val("bos_token", jinja::mk_val<jinja::value_string>(bos_));
      context.set_val("eos_token", jinja::mk_val<jinja::value_string>(eos_));
      const jinja::value results = jinja::runtime(context).execute(program_);
      return to_parts(jinja::runtime::gather_string_parts(results)->val_str.parts);
    } catch (const std::exception& error) {
      fail(error);
    }
  }

  // Some templates read content[0].text and drop a plain string. Asks both ways, as llama.cpp does.
  [[nodiscard]] bool find_typed_content() const {
    const std::string text = "aspdprobe";
    const auto shows = [&](const Json& content) {
      try {
        const Json messages = Json::array({Json{{"role", "user"}, {"content", content}}});
        return contains(run(messages, true, Json::object(), budget_limits(10)), text);
      } catch (const ModelError&) {
        return false;
      }
    };
    return !shows(Json(text)) && shows(typed(text));
  }

  jinja::program program_;
  std::string bos_;
  std::string eos_;
  RenderLimits limits_;
  bool wants_typed_content_ = false;
};

bool ChatTemplate::is_available() { return true; }

}  // namespace aspd

#else

namespace aspd {

class ChatTemplate::Program {
 public:
  Program(const std::string&, const std::string&, const std::string&, const RenderLimits&) {
    throw ModelError("",
                     "this build cannot run chat templates safely: its llama.cpp lacks third_party/patches/"
                     "jinja-budget.patch");
  }
  std::vector<PromptPart> render(const std::string&, bool, const std::string&) const { return {}; }
};

bool ChatTemplate::is_available() { return false; }

}  // namespace aspd

#endif

namespace aspd {

ChatTemplate::ChatTemplate(const std::string& source, const std::string& bos, const std::string& eos,
                           const RenderLimits& limits)
    : program_(std::make_shared<const Program>(source, bos, eos, limits)) {}

std::vector<PromptPart> ChatTemplate::render(const std::string& messages_json, bool add_generation_prompt,
                                             const std::string& extra_json) const {
  return program_->render(messages_json, add_generation_prompt, extra_json);
}

}  // namespace aspd
