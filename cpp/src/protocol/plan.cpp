// Reads the text form of a plan and holds titles against the rules.
#include <algorithm>
#include <cctype>

#include "aspd/parser.h"
#include "utf8.h"

namespace aspd {

namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

int count_words(std::string_view text) {
  int words = 0;
  bool inside = false;
  for (const char c : text) {
    if (!is_space(c) && !inside) ++words;
    inside = !is_space(c);
  }
  return words;
}

// A list mark at the start of a title: "-", "*", "#", ">", a bullet, or any digit. A model that may write "1"
// and then neither "." nor ")" goes on with what it never meant ("10 %", "1/", "101 Feedback control"), so a
// number may not begin at all.
bool has_list_mark(std::string_view title) {
  if (title.empty()) return false;
  if (std::isdigit(static_cast<unsigned char>(title.front())) != 0) return true;
  if (std::string_view("-*+#>|").find(title.front()) != std::string_view::npos) return true;
  return title.substr(0, 3) == "\xE2\x80\xA2";  // U+2022
}

// Length of the list mark that a text begins with, white space behind it included; 0 without one.
std::size_t list_mark(std::string_view text) {
  std::size_t n = 0;
  if (text.substr(0, 3) == "\xE2\x80\xA2") {  // U+2022
    n = 3;
  } else if (text.substr(0, 1) == "#") {
    n = std::min(text.find_first_not_of('#'), text.size());
  } else if (!text.empty() && std::string_view("-*+>").find(text.front()) != std::string_view::npos) {
    n = 1;
  } else {
    while (n < text.size() && std::isdigit(static_cast<unsigned char>(text[n])) != 0) ++n;
    if (n == 0 || n == text.size() || std::string_view(".):").find(text[n]) == std::string_view::npos)
      return 0;
    ++n;
  }
  if (n < text.size() && !is_space(text[n])) return 0;
  return text.size() - trim(text.substr(n)).size();
}

// The words of a title, without what only sets it off: list marks, emphasis, a colon. Part of `title`, empty
// at its end if there are none.
std::string_view words_of(std::string_view title) {
  constexpr std::string_view kSetOff = "*_|:. \t";
  const std::string_view whole = title;
  title = trim(title);
  for (std::size_t n = 0; (n = list_mark(title)) > 0;) title.remove_prefix(n);
  const std::size_t first = title.find_first_not_of(kSetOff);
  if (first == std::string_view::npos) return whole.substr(whole.size());
  return title.substr(first, title.find_last_not_of(kSetOff) - first + 1);
}

// What a title says: its words, whatever their case.
std::string said_by(std::string_view title) { return fold_case(words_of(title)); }

bool starts_with(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}

}  // namespace

bool is_tidy(std::string_view line) {
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (static_cast<unsigned char>(line[i]) < 0x20) return false;
    if (line[i] == ' ' && (i == 0 || line[i - 1] == ' ')) return false;
  }
  return true;
}

bool is_too_long(std::string_view title, const PlanRules& rules) {
  return title.size() > static_cast<std::size_t>(rules.max_bytes) || count_words(title) > rules.max_words;
}

PlanText read_plan(std::string_view text, const Protocol& protocol) {
  const PlanRules& rules = protocol.plan;
  const std::string& close = protocol.plan_close.text;
  const char first_of_close = close.empty() ? '\0' : close.front();
  PlanText plan;
  // May a line with this text stand here? How long it is decides later whether it is a title at all.
  const auto fits = [&](std::string_view line) {
    return is_tidy(line) && line.find(first_of_close) == std::string_view::npos &&
           static_cast<int>(plan.titles.size()) < rules.max_items &&
           !(rules.forbid_list_marks && has_list_mark(line));
  };
  // Where the opening marker does not hold the newline itself, one may follow it.
  if (!text.empty() && text.front() == '\n') text.remove_prefix(1);
  while (true) {
    const bool enough = static_cast<int>(plan.titles.size()) >= rules.min_items;
    if (starts_with(text, close)) {
      plan.closed = true;
      plan.valid = enough && trim(text.substr(close.size())).empty();
      return plan;
    }
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (end == std::string_view::npos) {  // a line that is still written
      if (line.empty()) return plan;
      if (enough && starts_with(close, line)) return plan;
      plan.valid = fits(line);
      plan.too_long = is_too_long(line, rules);
      return plan;
    }
    const std::string_view title = trim(line);
    if (said_by(title).empty() || !fits(line) || repeats_title(title, plan.titles)) {
      plan.valid = false;
      return plan;
    }
    plan.too_long = plan.too_long || is_too_long(title, rules);
    plan.titles.emplace_back(title);
    text.remove_prefix(end + 1);
  }
}

bool says_nothing(std::string_view title) { return words_of(title).empty(); }

std::string_view end_of_title(std::string_view title) {
  const std::string_view words = words_of(title);
  return title.substr(static_cast<std::size_t>(words.data() - title.data()) + words.size());
}

std::string start_behind(std::string_view title) {
  const std::string_view words = words_of(title);
  if (words.empty()) return "";
  std::string start(title.substr(0, static_cast<std::size_t>(words.data() - title.data())));
  start.resize(start.find_last_not_of(' ') + 1);  // it belongs to the first word
  constexpr std::string_view kDigits = "0123456789";
  const std::size_t first = start.find_first_of(kDigits);
  if (first == std::string::npos) return start;
  const std::size_t end = std::min(start.find_first_not_of(kDigits, first), start.size());
  constexpr std::size_t kMostDigits = 9;  // of a list's number, the engine need not count further
  if (end - first > kMostDigits) return start;
  return start.replace(first, end - first, std::to_string(std::stoi(start.substr(first, end - first)) + 1));
}

bool repeats_title(std::string_view title, const std::vector<std::string>& before) {
  const std::string said = said_by(title);
  return std::any_of(before.begin(), before.end(),
                     [&](const std::string& other) { return said_by(other) == said; });
}

std::string title_fault(const std::string& title, const std::vector<std::string>& before,
                        const PlanRules& rules) {
  if (said_by(title).empty()) return "the plan has an empty title";
  if (is_too_long(title, rules)) return "a title of the plan is too long";
  if (!is_tidy(trim(title))) return "a title of the plan is not one line of words one space apart";
  if (repeats_title(title, before)) return "the plan repeats the title '" + title + "'";
  return "";
}

std::string plan_fault(const std::vector<std::string>& titles, const PlanRules& rules, int max_branches) {
  const int n = static_cast<int>(titles.size());
  if (n < rules.min_items)
    return "the plan has " + std::to_string(n) + " of at least " + std::to_string(rules.min_items) +
           " branches";
  const int most = std::min(rules.max_items, max_branches);
  if (n > most)
    return "the plan has " + std::to_string(n) + " branches, at most " + std::to_string(most) +
           " are allowed";
  std::vector<std::string> seen;
  for (const std::string& title : titles) {
    const std::string fault = title_fault(title, seen, rules);
    if (!fault.empty()) return fault;
    seen.push_back(title);
  }
  return "";
}

}  // namespace aspd
