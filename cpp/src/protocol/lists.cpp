#include "aspd/lists.h"

#include <algorithm>
#include <array>

#include <numeric>

#include "aspd/parser.h"
#include "calculation.h"
#include "utf8.h"

namespace aspd {

namespace {

constexpr std::size_t kNone = std::string_view::npos;
constexpr std::size_t kMostIndent = 3;  // spaces; more is nested content or code (CommonMark, 4.4)
constexpr std::string_view kSpace = " \t";
constexpr std::string_view kDigits = "0123456789";
constexpr std::size_t kMostOuterIndent = 1;  // of a list that is not part of an item (CommonMark, 5.2)
constexpr std::size_t kMostDigits = 2;
constexpr std::size_t kMostCloser = 8;  // bytes of one, without newlines

bool starts_with(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}
bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}
std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == kNone) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}
std::size_t count_spaces(std::string_view text) { return std::min(text.find_first_not_of(' '), text.size()); }
// Columns before a line's first letter; a tab reaches to the next multiple of four (CommonMark, 2.2).
std::size_t columns_before(std::string_view line) {
  std::size_t n = 0;
  for (const char c : line) {
    if (c == '\t') {
      n += 4 - n % 4;
    } else if (c == ' ') {
      ++n;
    } else {
      break;
    }
  }
  return n;
}
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r'; }
bool is_wide(char c) { return static_cast<unsigned char>(c) >= 0x80; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The run of a fence of code with which a line begins, and what is behind it.
struct FenceRun {
  char mark = 0;
  std::size_t size = 0;
  std::string_view behind;
};
std::optional<FenceRun> read_fence(std::string_view line) {
  const std::string_view text = trim(line);
  if (text.empty() || (text.front() != '`' && text.front() != '~')) return std::nullopt;
  FenceRun run;
  run.mark = text.front();
  run.size = std::min(text.find_first_not_of(run.mark), text.size());
  run.behind = text.substr(run.size);
  if (run.size < 3 || (run.mark == '`' && run.behind.find('`') != kNone)) return std::nullopt;
  return run;
}

// The longest of `options` with which a text begins; empty: none.
std::string_view starts_with_any(std::string_view text, const std::vector<std::string>& options) {
  std::string_view best;
  for (const std::string& option : options) {
    if (option.size() > best.size() && starts_with(text, option)) best = option;
  }
  return best;
}

std::size_t count_words(std::string_view text) {
  std::size_t n = 0;
  bool in_word = false;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\t';
    n += (!space && !in_word) ? 1 : 0;
    in_word = !space;
  }
  return n;
}

bool is_too_long(std::string_view lead, const ListRules& rules) {
  return lead.size() > static_cast<std::size_t>(rules.max_bytes) ||
         count_words(lead) > static_cast<std::size_t>(rules.max_words);
}

// The same of a text that may hold a part of the closer.
bool is_no_lead(std::string_view text, const ListRules& rules) {
  return text.size() > static_cast<std::size_t>(rules.max_bytes) + kMostCloser ||
         count_words(text) > static_cast<std::size_t>(rules.max_words) + 1;
}

// Bytes of the spaces with which a text begins, those included that do not break: French has them before a
// colon.
std::size_t spaces_before(std::string_view text) {
  const std::array<std::string_view, 3> spaces = {" ", "\u00A0", "\u202F"};
  for (std::size_t n = 0;;) {
    const auto* space = std::find_if(spaces.begin(), spaces.end(), [&](std::string_view each) {
      return starts_with(text.substr(n), each);
    });
    if (space == spaces.end()) return n;
    n += space->size();
  }
}

// What parts a lead from its body behind the lead's emphasis: the longest with which a text begins.
std::string_view lead_end_of(std::string_view text, const ListRules& rules) {
  const std::string_view end = starts_with_any(text, rules.lead_ends);
  if (!end.empty()) return end;
  const std::size_t n = spaces_before(text);
  const std::string_view behind = starts_with_any(text.substr(n), rules.lead_ends);
  return behind.empty() ? behind : text.substr(0, n + behind.size());
}

// Whether what follows a lead's emphasis can become neither a closer nor the end of a line.
bool begins_no_closer(std::string_view text, const ListRules& rules) {
  if (whole_code_points(text) < text.size()) return false;
  const std::string_view behind = text.substr(spaces_before(text));
  if (trim(behind).empty()) return false;
  return std::none_of(rules.lead_ends.begin(), rules.lead_ends.end(), [&](const std::string& end) {
    return starts_with(end, text) || starts_with(end, behind);
  });
}

// A line's mark: a style without closer, and where the lead begins. number: of a numbered item.
struct Mark {
  ListStyle style;
  std::size_t size = 0;
  int number = 0;
};

std::optional<Mark> read_mark(std::string_view line, const ListRules& rules) {
  Mark mark;
  ListStyle& style = mark.style;
  std::size_t at = count_spaces(line);
  if (at > kMostIndent) return std::nullopt;
  style.indent = at;
  bool marked = false;
  const auto rest = [&] { return line.substr(at); };
  const auto skip_spaces = [&] {
    const std::size_t n = std::min(rest().find_first_not_of(kSpace), rest().size());
    at += n;
    return n;
  };
  const auto read_emphasis = [&] {
    const std::string_view emphasis = starts_with_any(rest(), rules.emphasis);
    if (emphasis.empty() || !style.emphasis.empty()) return;
    style.emphasis = std::string(emphasis);
    at += emphasis.size();
  };
  if (at < line.size() && line[at] == '#') {
    style.level = std::min(rest().find_first_not_of('#'), rest().size());
    at += style.level;
    if (style.level > 6 || skip_spaces() == 0) return std::nullopt;
    style.kind = ListStyle::Kind::kHeading;
    marked = true;
  } else if (const std::string_view bullet = starts_with_any(rest(), rules.bullets); !bullet.empty()) {
    const std::size_t before = at;
    at += bullet.size();
    if (skip_spaces() > 0) {
      style.kind = ListStyle::Kind::kBullet;
      marked = true;
    } else {
      at = before;  // "**", perhaps
    }
  }
  read_emphasis();
  style.before = std::string(line.substr(0, at));
  const std::size_t number_at = at;
  const std::size_t digits = std::min(rest().find_first_not_of(kDigits), rest().size());
  if (digits > 0 && digits <= kMostDigits) {
    mark.number = std::stoi(std::string(rest().substr(0, digits)));
    at += digits;
    const std::string_view end = starts_with_any(rest(), rules.number_ends);
    at += end.size();
    const bool wide = !end.empty() && static_cast<unsigned char>(end.front()) >= 0x80;
    const bool parted = skip_spaces() > 0 || wide || !starts_with_any(rest(), rules.emphasis).empty();
    if (!end.empty() && parted) {
      style.numbered = true;
      if (!marked) style.kind = ListStyle::Kind::kNumbered;
      marked = true;
      read_emphasis();
      style.after = std::string(line.substr(number_at + digits, at - number_at - digits));
    } else {
      at = number_at;
      mark.number = 0;
    }
  }
  if (!marked) {
    if (style.emphasis.empty()) return std::nullopt;
    style.kind = ListStyle::Kind::kBold;
  }
  mark.size = at;
  return mark;
}

// What tells the lists of a text apart: the mark without its number and emphasis.
std::string run_of(const ListStyle& style) {
  std::string run = style.before + (style.numbered ? "1" + style.after : "");
  for (std::size_t at = run.find('*'); at != std::string::npos && at > 0; at = run.find('*', at)) {
    run.erase(at, 1);  // emphasis; a bullet comes first
  }
  return run;
}

struct Closed {
  std::string_view lead;
  std::string closer;
};

// The lead behind a mark, if it is closed. line_ends: a newline follows the line. Of a closer that does not
// end a line the next byte must be known: it may show that it is none.
std::optional<Closed> read_lead(std::string_view text, const ListStyle& style, const ListRules& rules,
                                bool line_ends) {
  if (!style.emphasis.empty()) {
    const std::size_t end = text.find(style.emphasis);
    if (end == kNone || end == 0) return std::nullopt;
    std::string_view lead = text.substr(0, end);
    const std::string_view behind = text.substr(end + style.emphasis.size());
    for (const std::string& lead_end : rules.lead_ends) {
      if (!ends_with(lead, lead_end)) continue;
      lead.remove_suffix(lead_end.size());
      return Closed{lead, lead_end + style.emphasis};
    }
    const std::string_view next = lead_end_of(behind, rules);
    if (!next.empty()) return Closed{lead, style.emphasis + std::string(next)};
    if (line_ends && trim(behind).empty()) return Closed{lead, style.emphasis};  // the newline belongs to it
    return std::nullopt;
  }
  if (style.kind == ListStyle::Kind::kHeading) {
    if (!line_ends || trim(text).empty()) return std::nullopt;
    return Closed{trim(text), ""};
  }
  for (std::size_t at = 1; at < text.size(); ++at) {
    const std::string_view closer = starts_with_any(text.substr(at), rules.lead_ends);
    if (closer.empty()) continue;
    const std::string_view behind = text.substr(at + closer.size());
    if (behind.empty() && !line_ends) return std::nullopt;
    // "10:30" and "http://" go on; a wide closer needs no space behind it.
    const bool within_number = !behind.empty() && is_digit(text[at - 1]) && is_digit(behind.front());
    const bool goes_on = !is_wide(closer.front()) && !behind.empty() && !is_space(behind.front());
    if (!within_number && !goes_on) return Closed{text.substr(0, at), std::string(closer)};
  }
  return std::nullopt;
}

// Whether a line is an item of a list, or a heading. A paragraph may begin bold as well: it has no closer.
bool is_item(std::string_view line, const Mark& mark, const ListRules& rules, bool line_ends) {
  return mark.style.kind != ListStyle::Kind::kBold ||
         read_lead(line.substr(mark.size), mark.style, rules, line_ends);
}

// Part of a mark without the spaces around it, and without the emphasis that it opens.
std::string_view core_of(std::string_view part, const ListStyle& style) {
  if (!style.emphasis.empty() && ends_with(part, style.emphasis) && part.size() > style.indent)
    part.remove_suffix(style.emphasis.size());
  return trim(part);
}

// Whether a lead only adds to the one before it, as that one did: "support", "support of support", and so on.
bool grows(std::string_view lead, const std::vector<std::string>& leads) {
  if (leads.size() < 2) return false;
  const std::string& last = leads.back();
  const std::string& before = leads[leads.size() - 2];
  return lead.size() > last.size() && starts_with(lead, last) && last.size() > before.size() &&
         starts_with(last, before);
}

bool ends_sentence(std::string_view text) {
  const std::array<std::string_view, 7> ends = {".", "!", "?", "。", "！", "？", "…"};
  return std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return ends_with(text, end); });
}

struct Range {
  std::uint32_t first, last, script;
};
// Blocks of Unicode 16 by writing system; those that are written together share a bit.
constexpr std::array<Range, 19> kScripts = {{
    {0x0041, 0x005A, 0},  {0x0061, 0x007A, 0},  {0x00C0, 0x024F, 0},    {0x1E00, 0x1EFF, 0},  // Latin
    {0x0370, 0x03FF, 1},  {0x0400, 0x052F, 2},  {0x0530, 0x058F, 3},    {0x0590, 0x05FF, 4},
    {0x0600, 0x077F, 5},  {0x0900, 0x0DFF, 6},  {0x0E00, 0x0EFF, 7},    {0x10A0, 0x10FF, 8},
    {0x1200, 0x139F, 9},  {0x1780, 0x17FF, 10}, {0x3040, 0x30FF, 11},  // kana
    {0x3400, 0x9FFF, 12},                                              // Han
    {0xAC00, 0xD7AF, 13}, {0x1100, 0x11FF, 13}, {0x20000, 0x3FFFF, 12},
}};

constexpr std::size_t kMostScripts = 32;
constexpr std::uint32_t kKana = 1U << 11;
constexpr std::uint32_t kHan = 1U << 12;

// Calls see() with the writing system of each letter.
template <typename See>
void see_scripts(std::string_view text, const See& see) {
  const std::string valid = valid_utf8(text);
  for (std::size_t at = 0; at < valid.size();) {
    const std::uint32_t code = next_code_point(valid, at);
    for (const Range& range : kScripts) {
      if (code >= range.first && code <= range.last) see(range.script);
    }
  }
}

}  // namespace

std::uint32_t scripts_of(std::string_view text) {
  std::uint32_t found = 0;
  see_scripts(text, [&](std::uint32_t script) { found |= 1U << script; });
  return found;
}

std::uint32_t main_scripts_of(std::string_view text) {
  std::array<std::size_t, kMostScripts> letters{};
  see_scripts(text, [&](std::uint32_t script) { ++letters[script]; });
  const std::size_t n = std::accumulate(letters.begin(), letters.end(), std::size_t{0});
  std::uint32_t found = 0;
  for (std::size_t script = 0; script < kMostScripts; ++script) {
    if (letters[script] > 0 && 3 * letters[script] >= n) found |= 1U << script;
  }
  return (found & kKana) != 0 ? found | kHan : found;
}

bool says_all(std::string_view text, const std::vector<std::string>& leads) {
  const std::string folded = fold_case(text);
  // Not within a word of ASCII letters. Other scripts part words otherwise, or not at all.
  const auto is_word = [](char c) { return is_digit(c) || (c >= 'a' && c <= 'z'); };
  const auto goes_on = [&](char inside, char outside) { return is_word(inside) && is_word(outside); };
  const auto is_said = [&](const std::string& lead) {
    const std::string wanted = fold_case(lead);
    for (std::size_t at = folded.find(wanted); at != std::string::npos; at = folded.find(wanted, at + 1)) {
      const std::size_t end = at + wanted.size();
      const bool begins = at == 0 || !goes_on(wanted.front(), folded[at - 1]);
      if (begins && (end == folded.size() || !goes_on(wanted.back(), folded[end]))) return true;
    }
    return false;
  };
  return std::all_of(leads.begin(), leads.end(), is_said);
}

bool opens_a_part(std::string_view text, const ListRules& rules) {
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    const std::optional<Mark> mark = read_mark(line, rules);
    if (mark && is_item(line, *mark, rules, end < text.size())) return true;
    if (read_fence(line) || starts_with(trim(line), "|")) return true;
    begin = end + 1;
  }
  return false;
}

std::string ListStyle::mark(int number) const {
  return numbered ? before + std::to_string(number) + after : before;
}

std::string ListStyle::mark_alone(int number) const {
  std::string text = mark(number);
  text.resize(text.find_last_not_of(' ') + 1);
  return text;
}

// --- Fence ------------------------------------------------------------------------------------------------

void Fence::end_line(std::string_view line, std::size_t most_indent) {
  const std::optional<FenceRun> run = read_fence(line);
  const std::size_t indent = columns_before(line);
  if (!run) return;
  if (!is_open()) {
    if (indent > most_indent) return;
    mark_ = run->mark;
    size_ = run->size;
    indent_ = indent;
  } else if (run->mark == mark_ && run->size >= size_ && run->behind.empty() &&
             indent <= indent_ + kMostIndent) {
    mark_ = 0;
  }
}

// --- ListFinder -------------------------------------------------------------------------------------------

// Byte by byte: so what is found does not depend on the pieces in which the text comes.
std::optional<ListFinder::Found> ListFinder::push(std::string_view bytes) {
  partial_ += bytes;
  const std::size_t whole = whole_code_points(partial_);
  scripts_ |= scripts_of(std::string_view(partial_).substr(0, whole));
  partial_.erase(0, whole);
  std::optional<Found> found;
  for (const char c : bytes) {
    const bool line_ends = c == '\n';
    if (!line_ends) line_ += c;
    if (found) {
      found->over += c;
      ++found->n_bytes;
    }
    if (closed_) {
      ++closed_->n_bytes;
      closed_->over += c;
    } else {
      closed_ = look(line_ends);
      if (closed_ && line_ends) {
        ++closed_->n_bytes;
        closed_->over += c;
      }
    }
    if (closed_ && line_ends) {  // the body begins on another line
      closed_->style.closer += closed_->over;
      closed_->over.clear();
    }
    if (closed_ && !trim(closed_->over).empty()) {
      found = std::move(closed_);
      closed_.reset();
    }
    if (line_ends) end_line();
  }
  return found;
}

std::optional<ListFinder::Found> ListFinder::look(bool line_ends) {
  if (decided_ || code_.is_open()) return std::nullopt;
  const std::optional<Mark> mark = read_mark(line_, *rules_);
  if (!mark || mark->style.indent > kMostOuterIndent || run_of(mark->style) == run_ ||
      (mark->style.numbered && mark->number != 1))
    return std::nullopt;
  const std::string_view text = std::string_view(line_).substr(mark->size);
  const std::optional<Closed> closed = read_lead(text, mark->style, *rules_, line_ends);
  if (!closed) {
    decided_ = is_no_lead(text, *rules_);
    return std::nullopt;
  }
  decided_ = true;
  if (trim(closed->lead).empty() || is_too_long(closed->lead, *rules_)) return std::nullopt;
  Found found;
  found.style = mark->style;
  found.lead = std::string(trim(closed->lead));
  found.style.closer = closed->closer;
  // White space between a heading and its end is part of the closer.
  const auto end = static_cast<std::size_t>(closed->lead.data() - line_.data()) + closed->lead.size();
  found.n_bytes = line_.size();
  found.over = line_.substr(end + closed->closer.size());
  return found;
}

// Sees to which list the next line may belong.
void ListFinder::end_line() {
  const bool was_code = code_.is_open();
  // A fence inside an item stands deeper.
  code_.end_line(line_, run_.empty() ? kMostIndent : kNone);
  if (!was_code && !code_.is_open() && !trim(line_).empty()) {
    const std::optional<Mark> mark = read_mark(line_, *rules_);
    if (mark && is_item(line_, *mark, *rules_, true)) {
      run_ = run_of(mark->style);
    } else if (count_spaces(line_) == 0) {
      run_.clear();
    }
  }
  line_.clear();
  decided_ = false;
}

void ListFinder::after_list(const ListStyle& style) {
  line_.clear();
  closed_.reset();
  decided_ = false;
  code_ = {};
  run_ = run_of(style);
}

// --- ItemReader -------------------------------------------------------------------------------------------

// Whether a line that begins with this text begins with the mark of this list, however it is spaced.
ItemReader::Line ItemReader::judge_mark(std::string_view text, bool whole) const {
  if (style_.kind == ListStyle::Kind::kBold) {
    if (!starts_with(text, style_.emphasis))
      return !whole && starts_with(style_.emphasis, text) ? Line::kUnclear : Line::kBody;
    const std::string_view lead = text.substr(style_.emphasis.size());
    if (read_lead(lead, style_, *rules_, whole)) return Line::kEnd;
    // A paragraph that begins bold is the item's.
    const std::size_t end = lead.find(style_.emphasis);
    const bool goes_on = end != kNone && begins_no_closer(lead.substr(end + style_.emphasis.size()), *rules_);
    return whole || goes_on || is_no_lead(lead, *rules_) ? Line::kBody : Line::kUnclear;
  }
  // before, a number, after up to the emphasis.
  const std::string_view before = style_.numbered ? trim(style_.before) : core_of(style_.before, style_);
  if (text.size() < before.size()) return !whole && starts_with(before, text) ? Line::kUnclear : Line::kBody;
  if (!starts_with(text, before)) return Line::kBody;
  std::string_view rest = text.substr(before.size());
  std::string_view end = before;
  if (style_.numbered) {
    if (style_.kind == ListStyle::Kind::kBullet) {
      if (rest.empty()) return whole ? Line::kBody : Line::kUnclear;
      const std::size_t n = std::min(rest.find_first_not_of(kSpace), rest.size());
      if (n == 0) return Line::kBody;
      if (n == rest.size()) return whole ? Line::kBody : Line::kUnclear;
      rest.remove_prefix(n);
    }
    const std::size_t digits = std::min(rest.find_first_not_of(kDigits), rest.size());
    if (digits > kMostDigits) return Line::kBody;
    if (digits == rest.size()) return whole ? Line::kBody : Line::kUnclear;
    rest.remove_prefix(digits);
    end = core_of(style_.after, style_);
    if (digits == 0) return Line::kBody;
    if (rest.size() < end.size()) return !whole && starts_with(end, rest) ? Line::kUnclear : Line::kBody;
    if (!starts_with(rest, end)) return Line::kBody;
    rest.remove_prefix(end.size());
  }
  if (!end.empty() && is_wide(end.back())) return Line::kEnd;
  if (rest.empty()) return whole ? Line::kBody : Line::kUnclear;
  if (is_space(rest.front())) return Line::kEnd;
  if (style_.emphasis.empty() || !style_.numbered) return Line::kBody;
  if (starts_with(rest, style_.emphasis)) return Line::kEnd;
  return !whole && starts_with(style_.emphasis, rest) ? Line::kUnclear : Line::kBody;
}

// What the beginning of a line after the body's last says. whole: nothing more comes in this line.
ItemReader::Line ItemReader::judge(std::string_view line, bool whole, bool after_blank) const {
  const std::size_t indent = columns_before(line);
  const std::string_view text = line.substr(std::min(line.find_first_not_of(kSpace), line.size()));
  if (text.empty()) return whole ? Line::kBody : Line::kUnclear;
  if (indent > std::max(style_.indent, kMostIndent)) return Line::kBody;
  const bool outside = indent <= style_.indent;
  // A rule across the page: "---", "***", "___".
  const char first = text.front();
  if (first == '-' || first == '*' || first == '_') {
    const std::size_t run = std::min(text.find_first_not_of(first), text.size());
    if (run == text.size() && !whole) return Line::kUnclear;
    if (run == text.size() && run >= 3) return Line::kEnd;
  }
  if (first == '#') {
    const std::size_t level = std::min(text.find_first_not_of('#'), text.size());
    if (level == text.size() && !whole) return Line::kUnclear;
    if (level < text.size() && is_space(text[level]) && level <= 6) {
      return style_.kind != ListStyle::Kind::kHeading || level <= style_.level ? Line::kEnd : Line::kBody;
    }
  }
  if (first == '`' || first == '~') {
    const std::size_t run = std::min(text.find_first_not_of(first), text.size());
    if (run >= 3) return Line::kBody;
    if (run == text.size() && !whole) return Line::kUnclear;
  }
  if (style_.kind == ListStyle::Kind::kHeading) return Line::kBody;

  // A mark that stands before the item's own content is one of this list (CommonMark, 5.3).
  const bool bold = style_.kind == ListStyle::Kind::kBold;
  std::string own = style_.mark(1);
  if (!style_.emphasis.empty() && ends_with(own, style_.emphasis))
    own.resize(own.size() - style_.emphasis.size());
  if (bold ? outside : outside || indent < count_code_points(own)) {
    const Line mark = judge_mark(text, whole);
    if (mark != Line::kBody) return mark;
  }
  if (bold) return Line::kBody;
  // A paragraph that stands as far left as the list, behind an empty line, is not part of the item.
  if (!outside || !after_blank) return Line::kBody;
  if (first == '-' || first == '*' || first == '+') {
    if (text.size() == 1) return whole ? Line::kBody : Line::kUnclear;
    return is_space(text[1]) ? Line::kBody : Line::kEnd;  // nested, without indent: emphasis
  }
  if (first == '|') return Line::kBody;
  const std::size_t digits = std::min(text.find_first_not_of(kDigits), text.size());
  if (digits > 0 && digits <= kMostDigits) {
    if (digits == text.size()) return whole ? Line::kEnd : Line::kUnclear;
    if (text[digits] == '.' || text[digits] == ')') return Line::kBody;
  }
  return Line::kEnd;
}

// Where in the line that goes on with this text the next item's mark begins behind a sentence: "It grows. 3.
// Rum". kNone: nowhere. whole: the mark is all there; else it may become one. A list that is nested within
// the line has had the item's own number.
std::size_t ItemReader::find_mark_within(std::string_view text, bool& whole) const {
  if (style_.kind != ListStyle::Kind::kNumbered || code_.is_open()) return kNone;
  const std::string behind(core_of(style_.after, style_));
  const std::string next = " " + std::to_string(number_ + 1) + behind;
  const std::string own = std::to_string(number_) + behind;
  for (std::size_t at = text.find(' '); at != kNone; at = text.find(' ', at + 1)) {
    const std::string_view rest = text.substr(at);
    const bool begins = starts_with(rest, next);
    if (!begins && !starts_with(next, rest)) continue;
    const std::string said = line_ + std::string(text.substr(0, at));
    if (!ends_sentence(said)) continue;
    const std::size_t nested = said.find(own);
    if (nested != kNone && (nested == 0 || is_space(said[nested - 1]))) continue;
    const std::string_view lead = rest.substr(std::min(next.size(), rest.size()));
    const bool emphasised = !style_.emphasis.empty() && starts_with(lead, style_.emphasis);
    whole = begins && (is_wide(next.back()) || emphasised || (!lead.empty() && is_space(lead.front())));
    if (whole || !begins || starts_with(style_.emphasis, lead)) return at;
  }
  return kNone;
}

// Bytes become part of the body.
void ItemReader::take(std::string_view text, std::string& body) {
  body += text;
  n_body_ += text.size();
  for (const char c : text) {
    if (c != '\n') {
      line_ += c;
      if (!builds_on_.empty()) continue;
      const std::string_view line = trim(line_);
      if (line == "```" || line == "~~~") builds_on_ = "its items hold code";
      if (line == "|") builds_on_ = "its items hold a table";
      if (ends_with(line_, "\\[") || ends_with(line_, "\\(") || ends_with(line_, "$$") ||
          is_calculation(line_))
        builds_on_ = "its items hold a calculation";
      continue;
    }
    code_.end_line(line_, kNone);
    line_.clear();
  }
}

std::string ItemReader::push(std::string_view bytes) {
  std::string body;
  held_ += bytes;
  if (ended_) return body;
  while (!held_.empty()) {
    const std::size_t space = std::min(held_.find_first_not_of(" \t\r\n"), held_.size());
    const std::size_t newline = std::string_view(held_).substr(0, space).rfind('\n');
    if (newline == kNone) {  // inside a line
      const std::size_t line_end = std::min(held_.find('\n', space), held_.size());
      const std::size_t last = std::string_view(held_).substr(0, line_end).find_last_not_of(" \t\r");
      if (last == kNone) return body;  // white space that may be the end
      bool whole = false;
      const std::size_t mark = find_mark_within(std::string_view(held_).substr(0, line_end), whole);
      if (mark != kNone && (whole || line_end == held_.size())) {
        take(std::string_view(held_).substr(0, mark), body);
        held_.erase(0, mark);
        ended_ = whole;
        return body;
      }
      take(std::string_view(held_).substr(0, last + 1), body);
      held_.erase(0, last + 1);
      if (held_.find('\n') == kNone) return body;
      continue;
    }
    const std::size_t begin = newline + 1;
    const std::size_t line_end = held_.find('\n', space);
    const bool whole = line_end != kNone;
    const std::string_view line = std::string_view(held_).substr(begin, whole ? line_end - begin : kNone);
    const auto newlines = std::count(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(begin), '\n');
    Fence code = code_;
    code.end_line(line_, kNone);  // the line before ends here
    Line is = code.is_open() ? Line::kBody : judge(line, whole, newlines > 1);
    if (space == held_.size()) is = Line::kUnclear;  // nothing but white space yet
    if (is == Line::kUnclear) return body;
    if (is == Line::kEnd) {
      ended_ = true;
      return body;
    }
    // The white space, and the first byte of the line: the rest of it is taken as the inside of a line.
    const std::size_t n = space + 1;
    take(std::string_view(held_).substr(0, n), body);
    held_.erase(0, n);
  }
  return body;
}

std::string ItemReader::finish() {
  std::string body;
  if (ended_) return body;
  ended_ = true;
  const std::size_t last = held_.find_last_not_of(" \t\r\n");
  const std::size_t newline = held_.rfind('\n', last);
  if (last == kNone ||
      (newline != kNone && judge(std::string_view(held_).substr(newline + 1), true, false) != Line::kBody))
    return body;
  take(std::string_view(held_).substr(0, last + 1), body);
  return body;
}

std::string ItemReader::take_held() {
  std::string body;
  take(held_, body);
  held_.clear();
  return body;
}

// --- OutlineReader ----------------------------------------------------------------------------------------

OutlineReader::OutlineReader(ListStyle style, std::string lead, std::uint32_t scripts, std::string separator,
                             const ListRules* rules)
    : style_(std::move(style)),
      rules_(rules),
      scripts_(scripts | scripts_of("a")),
      separator_(std::move(separator)) {
  lead_may_number_ = kDigits.find(lead.front()) != kNone;
  leads_.push_back(std::move(lead));
}

bool OutlineReader::allows(std::string_view piece) const {
  switch (state_) {
    case State::kMark:
    case State::kTail: return true;
    case State::kLead: {
      if ((scripts_of(piece) & ~scripts_) != 0) return false;
      const std::string said =
          text_.substr(std::min(style_.mark(static_cast<int>(leads_.size()) + 1).size(), text_.size()));
      const std::string_view start = trim(piece);
      if (!trim(said).empty() || start.empty()) return true;
      if (!lead_may_number_ && kDigits.find(start.front()) != kNone) return false;
      return std::string_view("*#-+>|").find(start.front()) == kNone;
    }
    case State::kClosed:
    case State::kRepeated: return true;
  }
  return true;
}

void OutlineReader::stop(End end) {
  end_ = end;
  state_ = State::kTail;
  tail_ = std::move(text_);
  text_.clear();
}

void OutlineReader::push(std::string_view bytes) {
  switch (state_) {
    case State::kTail: tail_ += bytes; return;
    case State::kClosed:
    case State::kRepeated: return;
    case State::kMark: {
      text_ += bytes;
      const std::string mark = style_.mark(static_cast<int>(leads_.size()) + 1);
      if (text_.size() < mark.size()) {
        if (!starts_with(mark, text_)) stop(End::kText);
        return;
      }
      if (!starts_with(text_, mark)) {
        stop(End::kText);
        return;
      }
      if (is_full()) {
        stop(End::kGoesOn);
        return;
      }
      state_ = State::kLead;
      read_lead();
      return;
    }
    case State::kLead: {
      text_ += bytes;
      read_lead();
      return;
    }
  }
}

// The closer's first bytes end the lead; what is missing of the closer is fed.
void OutlineReader::read_lead() {
  if (whole_code_points(text_) < text_.size()) return;
  const std::size_t begin = style_.mark(static_cast<int>(leads_.size()) + 1).size();
  const std::string_view text = std::string_view(text_).substr(begin);
  const std::string& closer = style_.closer;
  std::size_t end = kNone;  // of the lead
  std::string_view seen;    // of the closer
  const auto at = text.find(closer);
  if (at != kNone) {
    end = at;
    seen = closer;
  } else {
    for (std::size_t n = std::min(closer.size() - 1, text.size()); n > 0 && end == kNone; --n) {
      const bool within = (static_cast<unsigned char>(closer[n]) & 0xC0U) == 0x80;  // a code point
      const bool space = std::string_view(closer).substr(0, n).find_first_not_of(' ') == kNone;
      if (within || space) continue;
      if (ends_with(text, std::string_view(closer).substr(0, n))) {
        end = text.size() - n;
        seen = std::string_view(closer).substr(0, n);
      }
    }
  }
  // A line that ends, or emphasis that is closed, ends the lead too.
  if (end == kNone && text.find('\n') != kNone) {
    stop(End::kGoesOn);
    return;
  }
  if (end == kNone && !style_.emphasis.empty() && text.find(style_.emphasis) != kNone) {
    stop(End::kGoesOn);
    return;
  }
  if (end == kNone) {
    if (is_too_long(text, *rules_)) stop(End::kGoesOn);
    return;
  }
  const std::string_view lead = trim(text.substr(0, end));
  const std::string_view over = text.substr(end + seen.size());
  const bool numbered = !lead_may_number_ && !lead.empty() && kDigits.find(lead.front()) != kNone;
  if (!lead.empty() && (repeats_title(lead, leads_) || grows(lead, leads_))) {
    state_ = State::kRepeated;
    return;
  }
  if (lead.empty() || numbered || is_too_long(lead, *rules_) || !trim(over).empty() ||
      (scripts_of(lead) & ~scripts_) != 0) {
    stop(End::kGoesOn);
    return;
  }
  leads_.emplace_back(lead);
  rest_of_closer_ = closer.substr(seen.size());
  state_ = State::kClosed;
}

std::string OutlineReader::left_out(bool spaced) const {
  const bool wide = static_cast<unsigned char>(style_.closer.back()) >= 0x80;
  return (spaced || wide || style_.ends_line() ? "" : " ") + rules_->elision;
}

void OutlineReader::end_list() {
  text_.clear();
  stop(End::kText);
}

void OutlineReader::begin_lead_again() {
  text_ = style_.mark_alone(static_cast<int>(leads_.size()) + 1);
  state_ = State::kMark;
}

const std::string& OutlineReader::separator_behind() const {
  return state_ == State::kTail && end_ != End::kGoesOn ? rules_->separator : separator_;
}

void OutlineReader::next_item() {
  text_.clear();
  state_ = State::kMark;
}

std::string OutlineReader::likely_next() const {
  if (state_ != State::kMark || leads_.size() > static_cast<std::size_t>(rules_->max_items)) return "";
  const std::string mark = style_.mark_alone(static_cast<int>(leads_.size()) + 1);
  return starts_with(mark, text_) ? mark.substr(text_.size()) : "";
}

}  // namespace aspd
