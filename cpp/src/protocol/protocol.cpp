#include "aspd/protocol.h"

namespace aspd {

namespace {

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

}  // namespace

std::string fill(const std::string& pattern, const std::string& title, int number) {
  std::string text = pattern;
  replace_all(text, "{n}", std::to_string(number));
  replace_all(text, "{title}", title);  // last: a title may spell {n}
  return text;
}

}  // namespace aspd
