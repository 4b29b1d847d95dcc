#include "aspd/lists.h"

#include <tuple>

#include "check.h"

using namespace aspd;

namespace {

// Those of protocols/intrinsic.json.
ListRules rules() {
  ListRules r;
  r.bullets = {"-", "*", "+", "•"};
  r.number_ends = {".", ")", "、", "．", "）"};
  r.emphasis = {"**", "__"};
  r.lead_ends = {":", "：", " -", " –", " —"};
  r.elision = "...";
  r.min_items = 2;
  return r;
}

using Pieces = std::vector<std::string>;

// A text whole, cut once at each of its bytes, and byte by byte.
std::vector<Pieces> splits(const std::string& text) {
  std::vector<Pieces> all = {{text}};
  for (std::size_t at = 1; at < text.size(); ++at) all.push_back({text.substr(0, at), text.substr(at)});
  all.emplace_back();
  for (const char c : text) all.back().emplace_back(1, c);
  return all;
}

// --- ListFinder

struct List {
  std::string lead;
  std::string first_mark;
  std::string second_mark;
  std::string closer;         // without newlines at its end: they may come later
  std::size_t line_at = 0;    // in the text: where the item's line begins
  std::size_t closer_at = 0;  // and its closer
};

bool operator==(const List& a, const List& b) {
  return std::tie(a.lead, a.first_mark, a.second_mark, a.closer, a.line_at, a.closer_at) ==
         std::tie(b.lead, b.first_mark, b.second_mark, b.closer, b.line_at, b.closer_at);
}

std::ostream& operator<<(std::ostream& out, const List& list) {
  return out << "[" << list.first_mark << "][" << list.lead << "][" << list.closer << "], then ["
             << list.second_mark << "], at " << list.line_at << " and " << list.closer_at;
}

std::string without_newlines(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::vector<List> lists_in(ListFinder& finder, const Pieces& pieces) {
  std::vector<List> lists;
  std::size_t at = 0;
  for (const std::string& piece : pieces) {
    at += piece.size();
    const std::optional<ListFinder::Found> found = finder.push(piece);
    if (!found) continue;
    List list;
    list.lead = found->lead;
    list.first_mark = found->style.mark(1);
    list.second_mark = found->style.mark(2);
    list.line_at = at - found->n_bytes;
    list.closer_at = at - found->over.size() - found->style.closer.size();
    list.closer = without_newlines(found->style.closer);
    lists.push_back(std::move(list));
  }
  return lists;
}

std::vector<List> lists_in(const Pieces& pieces) {
  const ListRules r = rules();
  ListFinder finder(&r);
  return lists_in(finder, pieces);
}

// The text has this list and no other, whatever the pieces in which it comes.
void check_list(const std::string& before, const std::string& mark, const std::string& lead,
                const std::string& closer, const std::string& behind, const std::string& second_mark) {
  const std::size_t closer_at = before.size() + mark.size() + lead.size();
  const List list = {lead, mark, second_mark, without_newlines(closer), before.size(), closer_at};
  for (const Pieces& pieces : splits(before + mark + lead + closer + behind))
    CHECK_EQ(lists_in(pieces), std::vector<List>{list});
}

void check_no_list(const std::string& text) {
  for (const Pieces& pieces : splits(text)) CHECK_EQ(lists_in(pieces), std::vector<List>{});
}

// --- ItemReader

ListFinder::Found found_in(const std::string& first_line) {
  const ListRules r = rules();
  ListFinder finder(&r);
  std::optional<ListFinder::Found> found = finder.push(first_line);
  if (!found) found = finder.push("x");  // where the body begins
  if (!found) throw std::runtime_error("no list: " + first_line);
  return *found;
}

ListStyle style_of(const std::string& first_line) { return found_in(first_line).style; }

struct Item {
  std::string body;
  bool ended = false;
  std::string builds_on;
};

bool operator==(const Item& a, const Item& b) {
  return a.body == b.body && a.ended == b.ended && a.builds_on == b.builds_on;
}

std::ostream& operator<<(std::ostream& out, const Item& item) {
  return out << "[" << item.body << "]" << (item.ended ? " ended " : " ") << item.builds_on;
}

Item read(const ListStyle& style, const Pieces& pieces) {
  const ListRules r = rules();
  ItemReader reader(style, 1, &r);
  Item item;
  for (const std::string& piece : pieces) item.body += reader.push(piece);
  item.ended = reader.ended();
  item.body += reader.finish();
  CHECK(reader.ended());
  CHECK_EQ(reader.size(), item.body.size());
  item.builds_on = reader.builds_on();
  return item;
}

// The item ends behind `body`, where `rest` begins, whatever the pieces.
void check_ends(const std::string& first_line, const std::string& body, const std::string& rest) {
  const ListStyle style = style_of(first_line);
  for (const Pieces& pieces : splits(body + rest)) CHECK_EQ(read(style, pieces), (Item{body, true, ""}));
}

// All of the text is the item's, whatever the pieces.
void check_stays(const std::string& first_line, const std::string& body) {
  const ListStyle style = style_of(first_line);
  for (const Pieces& pieces : splits(body)) CHECK_EQ(read(style, pieces), (Item{body, false, ""}));
}

void check_builds_on(const std::string& first_line, const std::string& body, const std::string& what) {
  const ListStyle style = style_of(first_line);
  for (const Pieces& pieces : splits(body))
    CHECK_EQ(read(style, pieces), (Item{body, false, "its items hold " + what}));
}

const char* const kBoldNumbers = "1. **Tea**: hot";
const char* const kPlainBullets = "- Tea: hot";

// --- OutlineReader

struct Outlined {
  std::vector<std::string> leads;
  std::string separator;
  std::string tail;
  OutlineReader::State state = OutlineReader::State::kMark;
  OutlineReader::End end = OutlineReader::End::kNone;
};

const std::uint32_t kLatin = scripts_of("a");
using State = OutlineReader::State;
using End = OutlineReader::End;

// Writes items, each cut into pieces; of an item whose lead has closed the other pieces are not written.
// Each element of `items` is an item's pieces. Checks what an item that counts is spelt like.
Outlined outline(const std::string& first_line, const std::vector<Pieces>& items,
                 std::uint32_t scripts = kLatin) {
  const ListRules r = rules();
  const ListFinder::Found found = found_in(first_line);
  OutlineReader reader(found.style, found.lead, scripts, "\n", &r);
  for (const Pieces& pieces : items) {
    std::string written;
    for (const std::string& piece : pieces) {
      written += piece;
      reader.push(piece);
      if (reader.state() != State::kClosed) continue;
      const int number = static_cast<int>(reader.leads().size());
      CHECK_EQ(written + reader.rest_of_closer(),
               found.style.mark(number) + reader.leads().back() + found.style.closer);
      reader.next_item();
      break;
    }
  }
  return {reader.leads(), reader.separator(), reader.tail(), reader.state(), reader.end()};
}

}  // namespace

// --- ListStyle

TEST(mark_of_a_style_has_its_number_where_it_is_numbered) {
  CHECK_EQ(style_of("1. **Tea**: hot").mark(12), std::string("12. **"));
  CHECK_EQ(style_of("- **Tea**: hot").mark(12), std::string("- **"));
  CHECK_EQ(style_of("**1. Tea**\n").mark(3), std::string("**3. "));
  CHECK_EQ(style_of("### 1. Tea\n").mark(3), std::string("### 3. "));
  CHECK_EQ(style_of("### Tea\n").mark(3), std::string("### "));
  CHECK_EQ(style_of(" 1) Tea: hot").mark(2), std::string(" 2) "));
}

TEST(style_ends_its_line_where_the_body_begins_on_the_next) {
  CHECK(style_of("### Tea\n").ends_line());
  CHECK(style_of("**Tea**\n").ends_line());
  CHECK(!style_of("1. **Tea**: hot").ends_line());
  CHECK(style_of("1. **Tea**:\n").ends_line());
}

// --- ListFinder

TEST(list_is_found_at_its_first_closed_lead_whatever_the_pieces) {
  for (const std::string before : {"", "Drinks:\n\n", "Drinks\n", "Note **well**.\n\n", "2. x\n\nNow:\n"}) {
    check_list(before, "1. **", "Tea", "**:", " hot", "2. **");
    check_list(before, "1. **", "Tea", ":**", " hot", "2. **");
    check_list(before, "1) ", "Green tea", ":", " hot", "2) ");
    check_list(before, "- **", "Tea", "**:", " hot", "- **");
    check_list(before, "* ", "Tea", ":", " hot", "* ");
    check_list(before, "• __", "Tea", "__:", " hot", "• __");
    check_list(before, "- **", "Tea", "** -", " hot", "- **");
    check_list(before, "- **", "Tea", "** –", " hot", "- **");
    check_list(before, "1. ", "Tea", " —", " hot", "2. ");
    check_list(before, "### ", "Green tea", "\n", "hot", "### ");
    check_list(before, "## 1. ", "Tea", "\n", "hot", "## 2. ");
    check_list(before, "**", "Tea", "**\n", "hot", "**");
    check_list(before, "**1. ", "Tea", "**\n", "hot", "**2. ");
  }
}

TEST(list_of_another_language_is_found) {
  for (const std::string space : {" ", "\u00A0", "\u202F"}) {
    check_list("Voici :\n\n", "1. **", "Thé vert", "**" + space + ":", " chaud", "2. **");
    check_list("", "- **", "Thé vert", "**" + space + ":", " chaud", "- **");
    check_list("", "**", "Thé vert", "**" + space + ":", " chaud", "**");
  }
  check_list("Здесь:\n\n", "1. **", "Чай", "**:", " горячий", "2. **");
  check_list("", "1. **", "茶", "**：", "热的", "2. **");
  check_list("", "1. ", "牛奶", "：", "冷的", "2. ");
  check_list("", "1、", "牛奶", "：", "冷的", "2、");
  check_list("", "1．", "お茶", "：", "熱い", "2．");
  check_list("", "1）", "お茶", "：", "熱い", "2）");
  check_list("", "- **", "चाय", "**:", " गरम", "- **");
  check_list("", "1. **", "شاي", "**:", " ساخن", "2. **");
  check_list("", "1. **", "우유", "**:", " 차가운", "2. **");
}

TEST(body_may_begin_on_the_next_line) {
  check_list("", "1. **", "Tea", "**\n", "   It is hot", "2. **");
  check_list("", "1. **", "Tea", "**:", "\n   It is hot", "2. **");
  check_list("", "### ", "Tea", "\n", "\nIt is hot", "### ");
}

TEST(list_is_found_where_its_body_begins) {
  const ListRules r = rules();
  for (const std::string lead : {"1. **Tea**:", "1. **Tea**: ", "### Tea\n\n", "- Tea:\n  "}) {
    ListFinder finder(&r);
    CHECK(!finder.push(lead));
    const auto found = finder.push("hot");
    REQUIRE(found);
    CHECK_EQ(found->n_bytes, lead.size() + 3);
    CHECK_EQ(found->over.substr(found->over.size() - 3), std::string("hot"));
  }
}

TEST(what_is_found_does_not_depend_on_the_pieces) {
  // Lead and closer; an empty lead: no list.
  struct Case {
    std::string text;
    std::string lead;
    std::string closer;
  };
  const std::vector<Case> cases = {
      {"- http://tea.org is a page", "", ""},
      {"- http://tea.org: a page", "http://tea.org", ":"},
      {"- At 10:30: tea", "At 10:30", ":"},
      {"- At 10：30：茶", "At 10：30", "："},
      {"- 10:30 is late", "", ""},
      {"- Is -5: cold", "Is -5", ":"},
      {"- In 1999: hot", "In 1999", ":"},
      {"- In 1999:\n  hot", "In 1999", ":\n"},
      {"- In 1999:\r\n  hot", "In 1999", ":\r\n"},
      {"1. **Tea**:\n \n   - Green", "Tea", "**:\n \n"},
      {"1. **At 10:30**: hot", "At 10:30", "**:"},
      {"1. **Tea:** hot", "Tea", ":**"},
      {"### Tea \n\n\nhot", "Tea", " \n\n\n"},
      {"**Tea**\n\nhot", "Tea", "**\n\n"},
      {"1. 牛奶：冷的", "牛奶", "："},
      {"1. 牛奶：\n冷的", "牛奶", "：\n"},
      {"- Tea \u2013 hot", "Tea", " \u2013"},
      {"```\n- Tea: hot\n```\n- Milk: cold", "Milk", ":"},
      {"~~~ md\n- Tea: hot\n```\n- Rum: x\n~~\n~~~~\n- Milk: cold", "Milk", ":"},
  };
  std::uint64_t state = 1;
  const auto draw = [&](std::size_t n) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<std::size_t>(state >> 33U) % n;
  };
  for (const Case& each : cases) {
    std::vector<Pieces> all = splits(each.text);
    for (int run = 0; run < 50; ++run) {
      all.emplace_back();
      for (std::size_t at = 0; at < each.text.size();) {
        const std::size_t n = 1 + draw(6);
        all.back().push_back(each.text.substr(at, n));
        at += n;
      }
    }
    for (const Pieces& pieces : all) {
      const std::vector<List> lists = lists_in(pieces);
      CHECK_EQ(lists.size(), each.lead.empty() ? std::size_t{0} : std::size_t{1});
      if (lists.empty()) continue;
      CHECK_EQ(lists[0].lead, each.lead);
      CHECK_EQ(lists[0].closer, without_newlines(each.closer));
      CHECK_EQ(lists[0].closer_at, each.text.find(each.lead) + each.lead.size());
    }
    if (each.lead.empty()) continue;
    const ListRules r = rules();
    ListFinder finder(&r);
    for (const char c : each.text) {
      if (const auto found = finder.push(std::string(1, c))) CHECK_EQ(found->style.closer, each.closer);
    }
    const auto found = ListFinder(&r).push(each.text);
    REQUIRE(found);
    CHECK_EQ(found->style.closer, each.closer);
  }
}

TEST(last_list_of_any_text_is_the_same_whatever_the_pieces) {
  const Pieces words = {"\n", "\n\n",  " ",   "  ",     "1",     "2",       ". ",        "**",       "- ",
                        "-",  "#",     "## ", "a",      "tea",   ":",       "：",        "茶",       "~~~",
                        "*",  ")",     "0",   "\t",     "\r\n",  "__",      "```",       " - ",      " – ",
                        "/",  "1. **", "x\n", "tea: x", "\n1. ", "\n- tea", "\n**tea**", "\n# tea\n"};
  std::uint64_t state = 5;
  const auto draw = [&](std::size_t n) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<std::size_t>(state >> 33U) % n;
  };
  int n_found = 0;
  for (int run = 0; run < 4000; ++run) {
    std::string text;
    for (int i = 0; i < 14; ++i) text += words[draw(words.size())];
    const std::vector<List> whole = lists_in({text});
    n_found += whole.empty() ? 0 : 1;
    for (const Pieces& pieces : splits(text)) {
      const std::vector<List> lists = lists_in(pieces);
      if (lists.empty() == whole.empty() && (whole.empty() || lists.back() == whole.back())) continue;
      CHECK_EQ(text, std::string());
      return;
    }
  }
  CHECK(n_found > 500);
}

TEST(paragraph_that_begins_bold_is_no_item) {
  for (const std::string before :
       {"**Note** that it is hot.\n\n", "**Note** well.\n", "**提示**这是茶。\n\n"}) {
    check_list(before, "**", "Tea", "**:", " hot", "**");
    check_list(before, "**", "Tea", "**\n", "hot", "**");
  }
  check_no_list("**" + std::string(97, 'a') + "**: hot\n**Milk**: cold");  // an item, whose lead is too long
}

TEST(newlines_behind_a_lead_are_part_of_its_closer) {
  const auto closer = [](const char* text) { return style_of(text).closer; };
  CHECK_EQ(closer("### Tea\n\nhot"), std::string("\n\n"));
  CHECK_EQ(closer("**Tea**\n\nhot"), std::string("**\n\n"));
  CHECK_EQ(closer("1. **Tea**:\nhot"), std::string("**:\n"));
}

TEST(text_without_a_list_of_leads_has_none) {
  check_no_list("");
  check_no_list("Tea is hot: very.\nMilk is cold.");
  check_no_list("1. Tea is hot.\n2. Milk is cold.\n");
  check_no_list("- Tea\n- Milk\n");
  check_no_list("-Tea: hot");
  check_no_list("1.Tea: hot");
  check_no_list("1 Tea: hot");
  check_no_list("#Tea\nhot");
  check_no_list("####### Tea\nhot");
  check_no_list("**Tea** is hot\n");
  check_no_list("1. **Tea** is hot: very\n");
  check_no_list("123. Tea: hot");
  check_no_list("1. : hot");
  check_no_list("- **: hot**");
  check_no_list("The year was\n1999: a year\n");
  check_no_list("- 10:30 is late");
}

TEST(list_that_does_not_begin_with_one_is_none) {
  check_no_list("2. **Milk**: cold");
  check_no_list("0. **Tea**: hot");
  check_no_list("## 2. Milk\ncold");
}

TEST(list_whose_first_item_has_no_lead_is_none_to_its_end) {
  check_no_list("1. Tea is hot.\n2. Milk is cold.\n1. **Rum**: burns");
  check_no_list("- Tea is hot.\n- **Milk**: cold");
  check_no_list("- Tea is hot.\n  More of it.\n- **Milk**: cold");
  check_no_list("- Tea is hot.\n\n- **Milk**: cold");
  check_list("- Tea is hot.\nDrinks.\n", "- **", "Milk", "**:", " cold", "- **");
  check_list("- Tea is hot.\n\n", "1. **", "Milk", "**:", " cold", "2. **");
}

TEST(list_in_code_is_none) {
  check_no_list("```\n1. **Tea**: hot\n```\n");
  check_no_list("```md\n- Tea: hot\n");
  check_no_list("~~~\n- Tea: hot\n```\n- Milk: cold\n");
  check_no_list("````md\n- Tea: hot\n```\n- Milk: cold\n");
  check_no_list("   ~~~\n- Tea: hot\n       ~~~~~~~\n   ~~~ x\n- Milk: cold\n~~~ x\n- Rum: burns");
  check_no_list("1. x\n\n    ~~~\n- Tea: hot\n");
  for (const std::string code :
       {"```\n1. x\n```\n", "~~~\n```\n~~~\n", "~~~ `a`\n- x\n~~~~\n", "  ```\n- x\n```\n",
        "```x``` is code\n\n", "    ~~~ is far right\n\n", "``\n\n", "~~no~~\n\n"})
    check_list(code, "1. **", "Tea", "**:", " hot", "2. **");
}

TEST(nested_list_is_none) {
  check_no_list("    1. **Tea**: hot");
  check_no_list("   - **Tea**: hot");
  check_no_list("- Drinks\n  - Tea: hot");
  check_list("", " - **", "Tea", "**:", " hot", " - **");
}

TEST(lead_that_is_too_long_is_none) {
  std::string long_lead = "a";
  for (int i = 1; i < 12; ++i) long_lead += " a";
  check_list("", "1. ", long_lead, ":", " hot", "2. ");
  check_no_list("1. " + long_lead + " a: hot");
  check_no_list("1. " + std::string(97, 'a') + ": hot");
  check_list("", "1. ", std::string(96, 'a'), ":", " hot", "2. ");
}

TEST(items_of_a_list_that_was_taken_apart_begin_no_other) {
  const ListRules r = rules();
  ListFinder finder(&r);
  const auto first = finder.push("1. **Tea**: hot");
  REQUIRE(first);
  finder.after_list(first->style);
  CHECK(!finder.push("1. **Milk**: cold\n\n"));
  const auto second = finder.push("Foods.\n\n1. **Bread**: w");
  REQUIRE(second);
  CHECK_EQ(second->lead, std::string("Bread"));
  finder.after_list(second->style);
  CHECK(finder.push("- **Salt**: w").has_value());
}

TEST(finder_knows_the_writing_systems_of_its_text) {
  const ListRules r = rules();
  ListFinder finder(&r);
  CHECK_EQ(finder.scripts(), 0U);
  finder.push("Tea 1");
  CHECK_EQ(finder.scripts(), kLatin);
  finder.push("чай\n");
  CHECK_EQ(finder.scripts(), kLatin | scripts_of("ч"));
}

// --- ItemReader

TEST(item_ends_at_the_next_mark_of_its_list) {
  for (const std::string parted : {"\n", "\n\n", "\n \n"}) {
    check_ends(kBoldNumbers, " hot.", parted + "2. **Milk**: cold");
    check_ends(kBoldNumbers, " hot.", parted + "2. Milk is cold");  // the lead's emphasis is no part of it
    check_ends("1) Tea: hot", " hot.", parted + "2) Milk: cold");
    check_ends(kPlainBullets, " hot.", parted + "- Milk: cold");
    check_ends("- **Tea**: hot", " hot.", parted + "- **Milk**: cold");
    check_ends("* Tea: hot", " hot.", parted + "* Milk: cold");
    check_ends("• Tea: hot", " hot.", parted + "• Milk: cold");
    check_ends("### Tea\n", "Hot.", parted + "### Milk\n");
    check_ends("### 1. Tea\n", "Hot.", parted + "### 2. Milk\n");
    check_ends("**Tea**\n", "Hot.", parted + "**Milk**\ncold");
    check_ends("**1. Tea**\n", "Hot.", parted + "**2. Milk**\ncold");
    check_ends("1、牛奶：冷", "冷的。", parted + "2、茶：热的");
  }
}

TEST(item_may_be_empty) {
  check_ends(kBoldNumbers, "", "\n2. **Milk**: cold");
  check_ends("### Tea\n", "", "\n### Milk\n");
}

TEST(white_space_at_the_end_of_an_item_is_not_its) {
  for (const char* space : {"\n", " ", " \n\n", "\t\n  ", "\r\n"}) {
    const ListStyle style = style_of(kBoldNumbers);
    for (const Pieces& pieces : splits(" hot." + std::string(space)))
      CHECK_EQ(read(style, pieces), (Item{" hot.", false, ""}));
  }
}

TEST(item_ends_where_a_paragraph_does_not_belong_to_it) {
  check_ends(kBoldNumbers, " hot.", "\n\nBoth are good.");
  check_ends(kBoldNumbers, " hot.", "\n\n**Both** are good.");
  check_ends(kPlainBullets, " hot.", "\n\nBoth are good.");
  check_ends(kPlainBullets, " hot.", "\n\n1999 was a year.");
  check_ends("1、牛奶：冷", "冷的。", "\n\n总之，都好。");
  check_stays(kBoldNumbers, " hot.\nIt is good.");  // a paragraph that goes on
}

TEST(item_ends_at_a_heading_or_a_rule) {
  for (const char* behind : {"\n# Foods", "\n\n## Foods\n", "\n---\n", "\n\n***\n", "\n___\nx"}) {
    check_ends(kBoldNumbers, " hot.", behind);
    check_ends(kPlainBullets, " hot.", behind);
    check_ends("**Tea**\n", "Hot.", behind);
  }
  check_stays(kBoldNumbers, " hot.\n#1 of all drinks.");
}

TEST(item_under_a_heading_goes_on_to_the_next_of_its_level_or_above) {
  check_ends("### Tea\n", "Hot.\n\nGood.\n\n- a\n- b\n\n#### Kinds\n\nGreen.", "\n\n### Milk\n");
  check_ends("### Tea\n", "Hot.\n\n**Note**: good.", "\n\n## Foods\n");
  check_ends("### Tea\n", "Hot.", "\n\n---\n\n### Milk");
  check_stays("### Tea\n", "Hot.\n\n1. Green\n2. Black\n\nGood.");
}

TEST(item_under_a_bold_line_goes_on_to_the_next) {
  check_ends("**Tea**\n", "Hot.\n\nGood.\n\n- a\n- b", "\n\n**Milk**\n");
  check_stays("**Tea**\n", "Hot.\n\nIt is **good**.\n\n1. Green\n2. Black");
}

TEST(nested_content_stays_in_the_item) {
  check_ends(kBoldNumbers, "\n   - Green\n   - Black", "\n2. **Milk**: cold");
  check_ends(kBoldNumbers, "\n   1. Green\n   2. Black", "\n2. **Milk**: cold");
  check_ends(kBoldNumbers, " hot.\n\n   It is good.\n\n   - a", "\n\n2. **Milk**: cold");
  check_ends(kBoldNumbers, "\n- Green\n- Black", "\n2. **Milk**: cold");
  check_ends(kBoldNumbers, "\n\n- Green\n- Black", "\n\n2. **Milk**: cold");
  check_ends(kPlainBullets, "\n  - Green\n  - Black", "\n- Milk: cold");
  check_ends(kPlainBullets, "\n    - Green\n\n      hot", "\n\n- Milk: cold");
  check_ends(" - Tea: hot", "\n     - Green", "\n - Milk: cold");
}

TEST(mark_may_be_spaced_unlike_the_first) {
  check_ends(kBoldNumbers, " hot.", "\n2.\t**Milk**: cold");
  check_ends(kBoldNumbers, " hot.", "\n2.  Milk: cold");
  check_ends("1.  **Tea**: hot", " hot.", "\n10. **Milk**: cold");
  check_ends("1.\tTea: hot", " hot.", "\n2. Milk: cold");
  check_ends(kPlainBullets, " hot.", "\n-\tMilk: cold");
  check_ends("*   Tea: hot", " hot.", "\n* Milk: cold");
  check_ends("1.**Tea**: hot", " hot.", "\n2.**Milk**: cold");
  check_stays("1.**Tea**: hot", " hot.\n2.5 litres.\n2.*5*");
}

TEST(mark_may_be_moved_by_less_than_the_width_of_the_item_s_own) {
  for (const std::string indent : {"", " ", "  "}) {
    check_ends(kBoldNumbers, " hot.", "\n" + indent + "2. **Milk**: cold");
    check_ends(kBoldNumbers, " hot.", "\n\n" + indent + "2. **Milk**: cold");
    check_ends(" 1. **Tea**: hot", " hot.", "\n" + indent + "2. **Milk**: cold");
    check_ends("1、牛奶：冷", "冷的。", "\n" + indent.substr(0, 1) + "2、茶：热的");
  }
  check_ends(kPlainBullets, " hot.", "\n - Milk: cold");
  check_ends("*   Tea: hot", " hot.", "\n   * Milk: cold");
  check_ends(" - Tea: hot", " hot.", "\n- Milk: cold");
  check_ends(" - Tea: hot", " hot.", "\n  - Milk: cold");
  check_stays(kBoldNumbers, " so:\n   2. Green");
  check_stays(kPlainBullets, " so:\n  - Green\n   - Black");
  check_stays(" - Tea: hot", " so:\n   - Green");
  check_stays("*   Tea: hot", " so:\n    * Green");
  check_stays(kPlainBullets, " so:\n\t- Green\n\n\tIt is good.");
  check_stays(kBoldNumbers, " so:\n\t2. Green\n\n \t3. Black");
}

TEST(paragraph_that_begins_bold_stays_in_an_item_with_a_bold_lead) {
  check_ends("**Tea**: hot", " hot.\n\n**Note** that it is good.", "\n\n**Milk**: cold");
  check_ends("**Tea**\n", "Hot.\n\n**Note** that it is good.\n**提示**这是茶。", "\n\n**Milk**\ncold");
  check_stays("**Tea**\n", "Hot.\n\n**Note");
  check_stays("**Tea**\n", "Hot.\n\n**" + std::string(97, 'a') + " and more of it");
}

TEST(item_ends_at_the_next_mark_behind_a_sentence_within_a_line) {
  check_ends(kBoldNumbers, " It grows.", " 2. Rum: cold. 3. Gin: clear.");
  check_ends(kBoldNumbers, " It grows!", " 2. **Rum**: cold.");
  check_ends("1) Tea: hot", " It grows?", " 2) Rum: cold.");
  check_ends("1、茶：热", "很热。", " 2、酒：冷");
  check_stays(kBoldNumbers, " It grows. 3. That is all.");
  check_stays(kBoldNumbers, " It grows. 2.5 litres are enough. 2 is less. 2.");
  check_stays(kBoldNumbers, " First: 1. Wash it. 2. Cut it. 3. Eat it.");  // nested within the line
  check_stays(kBoldNumbers, " 1. Wash it. 2. Cut it.");
  check_stays(kPlainBullets, " It grows. 2. That is all. - And more.");
  check_stays("### Tea\n", "It grows. 2. That is all.");
}

TEST(numbers_in_a_body_are_no_marks) {
  check_stays(kBoldNumbers, " In\n1999 and in\n3 of 4 cases,\n2.5 litres.");
  check_stays(kBoldNumbers, " It costs 2. That is all.");
}

TEST(what_may_become_the_next_mark_is_held_back) {
  const ListRules r = rules();
  ItemReader reader(style_of(kBoldNumbers), 1, &r);
  CHECK_EQ(reader.push(" hot."), std::string(" hot."));
  CHECK(!reader.holds());
  CHECK_EQ(reader.push("\n"), std::string());
  CHECK(reader.holds());
  CHECK_EQ(reader.push("2"), std::string());
  CHECK_EQ(reader.held(), std::string("\n2"));
  CHECK_EQ(reader.push("4 hours"), std::string("\n24 hours"));
  CHECK_EQ(reader.push("\n2"), std::string());
  CHECK_EQ(reader.push("."), std::string());
  CHECK(!reader.ended());
  CHECK_EQ(reader.push(" "), std::string());
  CHECK(reader.ended());
  CHECK_EQ(reader.size(), std::string(" hot.\n24 hours").size());
  CHECK_EQ(reader.push("more"), std::string());
  CHECK_EQ(reader.finish(), std::string());
}

TEST(text_that_is_cut_has_what_was_held_back) {
  const ListRules r = rules();
  ItemReader reader(style_of(kBoldNumbers), 1, &r);
  CHECK_EQ(reader.push(" hot.\n2"), std::string(" hot."));
  CHECK_EQ(reader.take_held(), std::string("\n2"));
  CHECK(!reader.ended());
  CHECK(!reader.holds());
  CHECK_EQ(reader.size(), std::string(" hot.\n2").size());
}

TEST(item_that_holds_code_a_table_or_a_calculation_says_so) {
  check_builds_on(kBoldNumbers, " so:\n   ```py\n   x\n   ```", "code");
  check_builds_on(kBoldNumbers, "\n```\n2. **x**\n\nNo end.\n# x\n```", "code");
  check_builds_on("### Tea\n", "```\n### Milk\n```", "code");
  check_builds_on(kBoldNumbers, "\n~~~~\n2. **x**\n\n~~~\n\nNo end.\n# x\n```\n# x\n~~~~~", "code");
  check_builds_on(kBoldNumbers, " so:\n\n~~~\n2. **x**", "code");
  check_builds_on(kBoldNumbers, " so:\n\n| a | b |\n|---|---|\n| 1 | 2 |", "a table");
  check_builds_on(kBoldNumbers, " 2 + 2 = 4", "a calculation");
  check_builds_on(kBoldNumbers, " \\[ x \\]", "a calculation");
  check_builds_on(kBoldNumbers, " \\( x \\)", "a calculation");
  check_builds_on(kBoldNumbers, " $$x$$", "a calculation");
  check_stays(kBoldNumbers, " It costs $2, a|b, `x`, ~~x~~, [x] (x).");
}

TEST(calculation_has_numbers) {
  for (const char* calculation :
       {"x = 5 + 3",       "5 × 4 = 20",   "= 120 €",          "so 2+2=4",     "x=5",
        "2x=10",           "Sum = $1,200", "It is **= 12 %**", "f(x) = x + 2", "3 - 1 = y",
        "(2 + 3)=a",       "x = -1",       "合计＝１２０",     "合计 = ５",    "合计=120",
        "3*4=12",          "३ + ४ = ७",    "٣ × ٤ = ١٢",       "1.5 = 3/2",    "50% = half, so 50 % = 0.5",
        "a >= 5, so b = 5"})
    check_builds_on(kBoldNumbers, std::string(" ") + calculation, "a calculation");
  for (const char* plain : {"a => b",
                            "5 => 6",
                            "x >= 5",
                            "x <= 5",
                            "1 == 1",
                            "x != 5",
                            "5 -> 6",
                            "see https://x.org/?id=5&v=7&q=a+3",
                            "key=value",
                            "width=5",
                            "E-Mail = post, Fax = none",
                            "A = B",
                            "i += 5",
                            "x := 5",
                            "level 2 = high",
                            "=",
                            "= x",
                            "5 =",
                            "a ⇒ 5",
                            "Ton-Art = 茶"})
    check_stays(kBoldNumbers, std::string(" ") + plain);
}

TEST(bytes_of_any_kind_are_read_alike_whatever_the_pieces) {
  const Pieces words = {"\n",  "\n\n", " ",    "   ", "1",   "2",  ". ", "**",  "- ", "-",    "#",
                        "## ", "a",    "tea:", "茶",  "---", "*",  ")",  "| x", "\t", "\r\n", "_",
                        "```", "~~~",  "~",    "`",   "=",   "> ", "２", "  ",  "x:"};
  std::uint64_t state = 1;
  const auto draw = [&](std::size_t n) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<std::size_t>(state >> 33U) % n;
  };
  const Pieces first_lines = {kBoldNumbers,   kPlainBullets,    "- **Tea**: hot", "### Tea\n",
                              "**Tea**\n",    "**1. Tea**\n",   " 1) Tea: hot",   "1、牛奶：冷",
                              "**Tea**: hot", "1.**Tea**: hot", "- 1. Tea: hot",  "*   Tea: hot"};
  for (int run = 0; run < 4000; ++run) {
    const ListStyle style = style_of(first_lines[draw(first_lines.size())]);
    std::string text = "x";
    for (int i = 0; i < 12; ++i) text += words[draw(words.size())];
    const Item whole = read(style, {text});
    CHECK_EQ(text.compare(0, whole.body.size(), whole.body), 0);
    for (const Pieces& pieces : splits(text)) {
      const Item item = read(style, pieces);
      if (item == whole) continue;
      CHECK_EQ(item, whole);
      CHECK_EQ(text, std::string());
      return;
    }
  }
}

// --- OutlineReader

TEST(outline_has_the_leads_it_was_written_with) {
  const Outlined all = outline(kBoldNumbers, {{"2", ".", " **", "Milk", "**:"}, {"3. **", "Rum", "**"}});
  CHECK_EQ(all.leads, (std::vector<std::string>{"Tea", "Milk", "Rum"}));
  CHECK_EQ(all.separator, std::string("\n"));
  CHECK(all.state == State::kMark && all.end == End::kNone);
}

TEST(outline_is_the_same_whatever_its_pieces) {
  struct Case {
    std::string first_line;
    std::string second;
    std::string third;
    std::vector<std::string> leads;
  };
  const std::vector<Case> cases = {
      {"1. **Tea**: hot", "2. **Milk**:", "3. **Dark rum**:", {"Tea", "Milk", "Dark rum"}},
      {"1. **Tea:** hot", "2. **Milk:**", "3. **Dark rum:**", {"Tea", "Milk", "Dark rum"}},
      {"- **Tea** - hot", "- **Milk** -", "- **Dark rum** -", {"Tea", "Milk", "Dark rum"}},
      {"- Tea: hot", "- Milk:", "- Dark rum:", {"Tea", "Milk", "Dark rum"}},
      {"### Tea\n\n", "### Milk\n\n", "### Dark rum\n\n", {"Tea", "Milk", "Dark rum"}},
      {"**1. Tea**\n", "**2. Milk**\n", "**3. Dark rum**\n", {"Tea", "Milk", "Dark rum"}},
      {"1. **茶**：热", "2. **牛奶**：", "3. **酒**：", {"茶", "牛奶", "酒"}},
      {"1、茶：热", "2、牛奶：", "3、酒：", {"茶", "牛奶", "酒"}},
  };
  for (const Case& each : cases) {
    for (const Pieces& second : splits(each.second)) {
      for (const Pieces& third : splits(each.third)) {
        const Outlined all = outline(each.first_line, {second, third}, kLatin | scripts_of("茶"));
        CHECK_EQ(all.leads, each.leads);
        CHECK_EQ(all.separator, std::string("\n"));
        CHECK(all.end == End::kNone);
      }
    }
  }
}

TEST(text_behind_the_list_is_the_outline_s_tail) {
  const Outlined all = outline(kBoldNumbers, {{"2. **Milk**:"}, {"Bo", "th", " are good."}});
  CHECK(all.state == State::kTail && all.end == End::kText);
  CHECK_EQ(all.tail, std::string("Both are good."));
  CHECK_EQ(all.leads.size(), std::size_t{2});
}

TEST(mark_out_of_turn_is_text_behind_the_list) {
  for (const char* other : {"2. **Rum**:", "4. **Rum**:", "33. **Rum**:", "- **Rum**:", "3) Rum"}) {
    const Outlined all = outline(kBoldNumbers, {{"2. **Milk**:"}, {other}});
    CHECK(all.end == End::kText);
    CHECK_EQ(all.leads.size(), std::size_t{2});
  }
}

TEST(lead_that_does_not_count_ends_the_outline_before_it) {
  const auto end = [&](const Pieces& item) {
    const Outlined all = outline(kBoldNumbers, {{"2. **Milk**:"}, item});
    CHECK_EQ(all.leads, (std::vector<std::string>{"Tea", "Milk"}));
    return all.end;
  };
  CHECK(end({"3. **", "**:"}) == End::kGoesOn);                 // empty
  CHECK(end({"3. **", "Rum\n"}) == End::kGoesOn);               // its line ends
  CHECK(end({"3. **", "Rum", "** burns"}) == End::kGoesOn);     // another shape
  CHECK(end({"3. **", "Ром", "**:"}) == End::kGoesOn);          // another writing system
  CHECK(end({"3. **", "12 eggs", "**:"}) == End::kGoesOn);      // a number, unlike the first
  CHECK(end({"3. **", std::string(97, 'a')}) == End::kGoesOn);  // too long
  Pieces words(13, " a");
  words.insert(words.begin(), "3. **");
  CHECK(end(words) == End::kGoesOn);
}

TEST(lead_that_was_said_before_is_written_anew) {
  const ListRules r = rules();
  for (const char* said : {"Milk", "tea", "TEA"}) {
    OutlineReader reader(style_of(kBoldNumbers), "Tea", kLatin, "\n", &r);
    reader.push("2. **Milk**:");
    reader.next_item();
    reader.push("3. **");
    reader.push(said);
    reader.push("**:");
    CHECK(reader.state() == State::kRepeated);
    CHECK_EQ(reader.leads(), (std::vector<std::string>{"Tea", "Milk"}));
    reader.begin_lead_again();
    CHECK(reader.state() == State::kMark || reader.state() == State::kLead);
    reader.push("Rum");
    reader.push("**:");
    CHECK(reader.state() == State::kClosed);
    CHECK_EQ(reader.leads(), (std::vector<std::string>{"Tea", "Milk", "Rum"}));
  }
}

TEST(lead_that_grows_again_is_written_anew) {
  const ListRules r = rules();
  OutlineReader reader(style_of(kBoldNumbers), "Help", kLatin, "\n", &r);
  const auto write = [&](const std::string& item) {
    reader.push(item);
    if (reader.state() != State::kClosed) return false;
    reader.next_item();
    return true;
  };
  CHECK(write("2. **Help for help**:"));  // a lead may say more than the one before
  reader.push("3. **Help for help for help**:");
  CHECK(reader.state() == State::kRepeated);
  reader.begin_lead_again();
  CHECK(write("Help for all**:"));
  CHECK(write("4. **Help for all who ask**:"));
  CHECK(write("5. **Help for all who**:"));  // shorter than the last
  CHECK(write("6. **Help for all who pay**:"));
}

TEST(leads_may_begin_with_numbers_where_the_first_one_does) {
  const Outlined all = outline("1. **1 egg**: hot", {{"2. **", "2 spoons", "**:"}});
  CHECK_EQ(all.leads, (std::vector<std::string>{"1 egg", "2 spoons"}));
}

TEST(outline_stops_behind_the_most_items) {
  std::vector<Pieces> items;
  for (int i = 2; i <= 10; ++i) {
    items.push_back(
        {std::to_string(i) + ". **", "lead " + std::string(1, static_cast<char>('a' + i)), "**:"});
  }
  const Outlined most = outline(kBoldNumbers, items);
  CHECK_EQ(most.leads.size(), std::size_t{10});
  CHECK(most.end == End::kNone);
  items.push_back({"11. **", "another", "**:"});
  const Outlined more = outline(kBoldNumbers, items);
  CHECK_EQ(more.leads.size(), std::size_t{10});
  CHECK(more.end == End::kGoesOn);
}

TEST(outline_allows_what_keeps_it_an_outline) {
  const ListRules r = rules();
  OutlineReader reader(style_of(kBoldNumbers), "Tea", kLatin, "\n", &r);
  CHECK(reader.state() == State::kMark);
  CHECK(reader.allows("2") && reader.allows("Both") && reader.allows("\n"));
  reader.push("2. **");
  CHECK(reader.state() == State::kLead);
  CHECK(reader.allows("Milk") && reader.allows("**") == false && reader.allows("- x") == false);
  CHECK(!reader.allows("12") && !reader.allows("# x") && !reader.allows("Ром") && !reader.allows("酒"));
  reader.push("Milk");
  CHECK(reader.allows("**") && reader.allows(" 12") && reader.allows(" - x") && !reader.allows("酒"));
}

TEST(next_mark_is_likely_where_one_may_come) {
  const ListRules r = rules();
  OutlineReader reader(style_of(kBoldNumbers), "Tea", kLatin, "\n", &r);
  CHECK_EQ(reader.likely_next(), std::string("2. **"));
  reader.push("2.");
  CHECK_EQ(reader.likely_next(), std::string(" **"));
  reader.push(" **Milk");
  CHECK_EQ(reader.likely_next(), std::string());
  reader.push("**:");
  reader.next_item();
  CHECK_EQ(reader.likely_next(), std::string("3. **"));
  reader.push("So");
  CHECK_EQ(reader.likely_next(), std::string());
  OutlineReader bullets(style_of(kPlainBullets), "Tea", kLatin, "\n", &r);
  CHECK_EQ(bullets.likely_next(), std::string("-"));  // the space belongs to the word
}

// --- scripts_of, opens_a_part

TEST(writing_systems_have_a_bit_each_and_digits_none) {
  CHECK_EQ(scripts_of(""), 0U);
  CHECK_EQ(scripts_of("12 .,:-*#\n（：。—"), 0U);
  CHECK_EQ(scripts_of("tea"), scripts_of("É"));
  CHECK_EQ(scripts_of("ắ"), scripts_of("a"));  // Vietnamese
  const Pieces systems = {"a", "β", "ж", "ա", "ש", "ش", "च", "ช", "გ", "ሻ", "ឆ", "か", "茶", "차"};
  std::uint32_t all = 0;
  for (const std::string& each : systems) {
    const std::uint32_t bits = scripts_of(each);
    CHECK(bits != 0 && (bits & (bits - 1)) == 0);
    CHECK_EQ(all & bits, 0U);
    all |= bits;
  }
  std::string text;
  for (const std::string& each : systems) text += each + " ";
  CHECK_EQ(scripts_of(text), all);
  CHECK_EQ(scripts_of("\xE8\x8C"), 0U);  // half a code point
  CHECK_EQ(scripts_of("𠀀"), scripts_of("茶"));
}

TEST(a_main_writing_system_has_a_third_of_the_letters) {
  CHECK_EQ(main_scripts_of(""), 0U);
  CHECK_EQ(main_scripts_of("12?"), 0U);
  CHECK_EQ(main_scripts_of("what is π"), kLatin);
  CHECK_EQ(main_scripts_of("茶 is what"), kLatin);
  CHECK_EQ(main_scripts_of("如何学习Python"), kLatin | scripts_of("茶"));
  CHECK_EQ(main_scripts_of("お茶とPCの話"), scripts_of("お茶"));
  CHECK_EQ(main_scripts_of("чай TV"), kLatin | scripts_of("ч"));
}

TEST(text_says_leads_whatever_their_case) {
  CHECK(says_all("Compare wind energy, Solar Energy and coal.", {"Solar energy", "Wind Energy", "Coal"}));
  CHECK(says_all("Сравни уголь, Ветер и солнце", {"Уголь", "ветер", "Солнце"}));
  CHECK(says_all("请比较成本、时间和质量。", {"成本", "时间", "质量"}));
  CHECK(!says_all("Compare wind and coal.", {"Wind", "Coal", "Sun"}));
  CHECK(!says_all("Compare winds and charcoal.", {"Wind", "Coal"}));  // within words
  CHECK(says_all("Winds, the wind", {"Wind"}));
  CHECK(says_all("用AI写", {"AI"}));
  CHECK(!says_all("", {"A"}));
}

TEST(text_with_another_part_opens_one) {
  const ListRules r = rules();
  for (const char* part : {"## More", "- a", "1. a", "5) a", "So:\n\n- a", "```\nx", "| a | b |", "x\n  * a",
                           "So:\n\n   ```py", "**Foods**\n\nBread", "~~~\nx", "**Foods**: bread"})
    CHECK(opens_a_part(part, r));
  for (const char* plain : {"", "Both are good.", "In 1999\n1999 was a year.", "It is -5 now.\n-5 it is",
                            "Both.\n\nI like both, *really*.", "**Note** that both are good.", "~~no~~"})
    CHECK(!opens_a_part(plain, r));
}
