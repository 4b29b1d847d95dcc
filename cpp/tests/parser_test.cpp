#include "aspd/parser.h"

#include "check.h"

using namespace aspd;

namespace {

enum : Token { kTitle = 1, kTitleEnd, kPara, kParaEnd, kBranch, kBranchEnd, kWord = 100 };

Protocol control() {
  Protocol p;
  p.name = "aspd";
  p.item_open = {"title", kTitle};
  p.item_close = {"/title", kTitleEnd};
  p.plan_close = {"para", kPara};
  p.branch_close = {"/branch", kBranchEnd};
  p.banned_after_join = {{"title", kTitle}};
  p.banned_in_branch = {{"title", kTitle}};
  p.plan.forbid_list_marks = false;
  return p;
}

Protocol text() {
  Protocol p;
  p.name = "prompted";
  p.text_markers = true;
  p.plan_open = {"<plan>"};
  p.plan_close = {"</plan>"};
  p.branch_close = {"</part>"};
  p.banned_in_trunk = {{"</part>"}, {"<part"}};
  p.banned_in_branch = {{"<plan>"}};
  p.max_blocks = 1;
  return p;
}

// Text as it is, markers in angle brackets.
std::string in_words(const std::vector<SeedPart>& parts) {
  std::string words;
  for (const SeedPart& part : parts) {
    words += part.kind == SeedPart::Kind::kMarker ? "<" + part.marker.text + ">" : part.text;
  }
  return words;
}

// Feeds pieces with ids from 100 on; returns the last outcome, all released text in `shown`.
Outcome feed(Parser& parser, const std::vector<std::string>& pieces, std::string& shown) {
  Outcome last;
  Token id = kWord;
  for (const std::string& piece : pieces) {
    last = parser.accept(id++, piece);
    shown += last.text;
  }
  return last;
}

Outcome plan_of(Parser& parser, const std::vector<std::string>& titles) {
  for (const std::string& title : titles) {
    parser.accept(kTitle, "");
    parser.accept(kWord, title);
    parser.accept(kTitleEnd, "");
  }
  return parser.accept(kPara, "");
}

}  // namespace

TEST(control_plan_forks_with_its_titles) {
  const Protocol protocol = control();
  Parser parser(&protocol, Parser::State::kTrunk, 16);
  CHECK_EQ(parser.accept(kWord, "Hello").text, std::string("Hello"));
  const Outcome outcome = plan_of(parser, {" One ", "Two"});
  CHECK(outcome.action == Action::kFork);
  CHECK_EQ(outcome.titles.size(), std::size_t{2});
  CHECK_EQ(outcome.titles[0], std::string(" One"));
  CHECK_EQ(outcome.n_markup, std::size_t{7});
}

TEST(control_plan_of_one_is_rewound_to_its_first_token) {
  const Protocol protocol = control();
  Parser parser(&protocol, Parser::State::kTrunk, 16);
  const Outcome outcome = plan_of(parser, {"One"});
  CHECK(outcome.action == Action::kRewind);
  CHECK_EQ(outcome.n_rewind, std::size_t{4});
  CHECK_EQ(outcome.ban, Token{kTitle});
  CHECK(!outcome.fallback.empty());
  CHECK(parser.banned() == std::vector<Token>{kTitle});
}

TEST(control_plan_with_a_repeated_title_is_rewound) {
  const Protocol protocol = control();
  Parser parser(&protocol, Parser::State::kTrunk, 16);
  CHECK(plan_of(parser, {"One", "one"}).action == Action::kRewind);
}

TEST(control_plan_above_the_caller_s_limit_is_rewound) {
  const Protocol protocol = control();
  Parser parser(&protocol, Parser::State::kTrunk, 2);
  plan_of(parser, {"One", "Two"});
  parser.after_join(1);
  parser.accept(kWord, "x");
  for (const char* title : {"One", "Two"}) {
    parser.accept(kTitle, "");
    parser.accept(kWord, title);
    CHECK(parser.accept(kTitleEnd, "").action == Action::kNone);
  }
  parser.accept(kTitle, "");
  parser.accept(kWord, "Three");
  CHECK(parser.accept(kTitleEnd, "").action == Action::kRewind);
}

TEST(control_plan_allows_only_what_keeps_it_sound) {
  Protocol protocol = control();
  protocol.plan.max_words = 3;
  protocol.plan.max_items = 3;
  Parser parser(&protocol, Parser::State::kTrunk, 16);
  CHECK(parser.allows(kParaEnd, ""));  // outside of a plan
  const auto allowed = [&](Token token, const char* piece) { return parser.allows(token, piece); };
  parser.accept(kTitle, "");
  CHECK(!allowed(kTitleEnd, "") && !allowed(kTitle, "") && !allowed(kPara, ""));  // an empty title
  CHECK(!allowed(kWord, "a\n") && !allowed(kWord, " ") && allowed(kWord, " One two"));
  parser.accept(kWord, "One two thr");
  CHECK(allowed(kWord, "ee") && allowed(kTitleEnd, "") && allowed(kWord, " ") && !allowed(kWord, "  "));
  CHECK(!allowed(kWord, "ee four"));
  CHECK(!allowed(kWord, "ee") && allowed(kTitleEnd, ""));  // it has said its title
  parser.accept(kTitleEnd, "");
  CHECK(allowed(kTitle, "") && !allowed(kPara, "") && !allowed(kWord, " and"));  // one title is no plan
  parser.accept(kTitle, "");
  parser.accept(kWord, "ONE TWO");
  CHECK(allowed(kTitleEnd, ""));
  parser.accept(kWord, " Three");
  parser.accept(kTitleEnd, "");
  CHECK(allowed(kTitle, "") && allowed(kPara, ""));
  parser.accept(kTitle, "");
  parser.accept(kWord, "Last");
  parser.accept(kTitleEnd, "");
  CHECK(!allowed(kTitle, "") && allowed(kPara, ""));  // no more may be
  CHECK(parser.accept(kPara, "").action == Action::kFork);
}

TEST(control_plan_ends_before_a_title_that_was_said) {
  const Protocol protocol = control();
  Parser parser(&protocol, Parser::State::kTrunk, 16);
  const auto write = [&](const char* title) {
    parser.accept(kTitle, "");
    parser.accept(kWord, title);
  };
  write("1. Soil");
  parser.accept(kTitleEnd, "");
  write("2. Seeds");
  parser.accept(kTitleEnd, "");
  write("3. soil");
  CHECK(parser.allows(kWord, "s"));      // the model goes on with it
  CHECK(!parser.allows(kTitleEnd, ""));  // or ends it
  CHECK(!parser.allows(kWord, "s") && !parser.allows(kWord, " and more"));
  const Outcome back = parser.no_way_on("no token is allowed in the plan");
  CHECK(back.action == Action::kRewind);
  CHECK_EQ(back.n_rewind, std::size_t{2});
  CHECK_EQ(back.ban, Token{kTitle});
  CHECK(back.fallback.empty() && parser.state() == Parser::State::kPlan);
  CHECK(parser.allows(kPara, "") && !parser.allows(kWord, "s"));
  const Outcome fork = parser.accept(kPara, "");
  CHECK(fork.action == Action::kFork);
  CHECK_EQ(fork.titles.size(), std::size_t{2});
  CHECK_EQ(fork.n_markup, std::size_t{7});
}

TEST(control_plan_with_nothing_but_one_title_said_twice_is_given_up) {
  const Protocol protocol = control();
  Parser parser(&protocol, Parser::State::kTrunk, 16);
  parser.accept(kTitle, "");
  parser.accept(kWord, "Soil");
  parser.accept(kTitleEnd, "");
  parser.accept(kTitle, "");
  parser.accept(kWord, "Soil");
  CHECK(!parser.allows(kTitleEnd, ""));
  const Outcome back = parser.no_way_on("no token is allowed in the plan");
  CHECK_EQ(back.n_rewind, std::size_t{5});
  CHECK_EQ(back.fallback, std::string("the plan repeats the title 'Soil'"));
  CHECK(parser.state() == Parser::State::kTrunk);
}

TEST(control_titles_are_told_apart_by_what_they_say) {
  const Protocol protocol = control();
  const auto fault = [&](const char* first, const char* second) {
    return title_fault(second, {first}, protocol.plan);
  };
  for (const char* same : {"2. **Soil**:", "2) soil", "- Soil", "* __Soil__",
                           "## 2. Soil:", "\xE2\x80\xA2 Soil.", "> - Soil", "| Soil", "12: Soil", "Soil "})
    CHECK(!fault("1. **Soil**:", same).empty());
  for (const char* other : {"2. **Soils**:", "Soil 2", "2 Soil", "-Soil", "C. Soil"})
    CHECK_EQ(fault("1. **Soil**:", other), std::string());
  for (const char* empty : {"1.", "2) ", "-", "**", "###", "3. **", "...", "| |"})
    CHECK_EQ(fault("Soil", empty), std::string("the plan has an empty title"));
  CHECK_EQ(fault("Soil", "12"), std::string());
  CHECK(!fault("Soil", "1.  Seeds").empty());  // two spaces

  Parser parser(&protocol, Parser::State::kTrunk, 16);
  parser.accept(kTitle, "");
  parser.accept(kWord, "  1.");
  CHECK(!parser.allows(kTitleEnd, ""));  // a number is no title
  parser.accept(kWord, " **Soil**:");
  parser.accept(kTitleEnd, "");
  parser.accept(kTitle, "");
  parser.accept(kWord, "2. **Soil");
  CHECK(parser.allows(kWord, "s") && !parser.allows(kTitleEnd, ""));
  parser.accept(kWord, "s**");
  parser.accept(kTitleEnd, "");
  const Outcome fork = parser.accept(kPara, "");
  CHECK(fork.action == Action::kFork);
  CHECK_EQ(fork.titles.at(0), std::string("  1. **Soil**:"));  // as it was written
  CHECK_EQ(fork.titles.at(1), std::string("2. **Soils**"));
}

TEST(control_plan_without_a_way_on_is_given_up) {
  const Protocol protocol = control();
  Parser parser(&protocol, Parser::State::kTrunk, 16);
  parser.ask_for_plan();
  parser.accept(kTitle, "");
  const Outcome outcome = parser.no_way_on("nothing is allowed");
  CHECK(outcome.action == Action::kRewind);
  CHECK_EQ(outcome.n_rewind, std::size_t{1});
  CHECK_EQ(outcome.fallback, std::string("nothing is allowed"));
}

TEST(control_plan_with_text_between_titles_is_rewound) {
  const Protocol protocol = control();
  Parser parser(&protocol, Parser::State::kTrunk, 16);
  parser.accept(kTitle, "");
  parser.accept(kWord, "One");
  parser.accept(kTitleEnd, "");
  CHECK(parser.accept(kWord, "and").action == Action::kRewind);
}

TEST(ban_after_a_join_holds_for_one_token) {
  const Protocol protocol = control();
  Parser parser(&protocol, Parser::State::kTrunk, 16);
  plan_of(parser, {"One", "Two"});
  parser.after_join(1);
  CHECK(parser.banned() == std::vector<Token>{kTitle});
  parser.accept(kWord, "x");
  CHECK(parser.banned().empty());
}

TEST(plans_are_banned_after_the_last_block) {
  Protocol protocol = control();
  protocol.max_blocks = 1;
  protocol.banned_after_join.clear();
  Parser parser(&protocol, Parser::State::kTrunk, 16);
  plan_of(parser, {"One", "Two"});
  parser.after_join(1);
  parser.accept(kWord, "x");
  CHECK(parser.banned() == std::vector<Token>{kTitle});
}

TEST(branch_ends_at_its_marker_without_showing_it) {
  const Protocol protocol = control();
  Parser parser(&protocol, Parser::State::kBranch, 16);
  CHECK_EQ(parser.accept(kWord, " body").text, std::string(" body"));
  const Outcome outcome = parser.accept(kBranchEnd, "");
  CHECK(outcome.action == Action::kBranchEnd);
  CHECK(outcome.text.empty());
}

TEST(text_plan_forks_whatever_the_token_borders) {
  for (const std::size_t width : {1U, 2U, 3U, 5U, 8U, 100U}) {
    const Protocol protocol = text();
    Parser parser(&protocol, Parser::State::kTrunk, 16);
    const std::string all = "Sure:\n<plan>\nFirst thing\nSecond thing\n</plan>";
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < all.size(); at += width) pieces.push_back(all.substr(at, width));
    std::string shown;
    const Outcome outcome = feed(parser, pieces, shown);
    CHECK(outcome.action == Action::kFork);
    CHECK_EQ(outcome.titles.size(), std::size_t{2});
    CHECK_EQ(shown, std::string("Sure:\n"));
  }
}

TEST(text_that_only_begins_like_a_marker_is_shown) {
  const Protocol protocol = text();
  Parser parser(&protocol, Parser::State::kTrunk, 16);
  std::string shown;
  feed(parser, {"a <pl", "ant> <", "p"}, shown);
  CHECK_EQ(shown, std::string("a <pl"));  // whole tokens only: a step back may have to take one
  CHECK_EQ(shown + parser.flush(), std::string("a <plant> <p"));
}

TEST(banned_text_steps_back_to_the_token_in_which_it_began) {
  const Protocol protocol = text();
  Parser parser(&protocol, Parser::State::kTrunk, 16);
  std::string shown;
  const Outcome outcome = feed(parser, {"ok ", "x <", "/pa", "rt>"}, shown);
  CHECK(outcome.action == Action::kRewind);
  CHECK_EQ(outcome.n_rewind, std::size_t{3});
  CHECK_EQ(outcome.ban, Token{kWord + 1});
  CHECK_EQ(shown, std::string("ok "));
}

TEST(rest_of_a_marker_is_likely_where_one_has_begun) {
  const Protocol protocol = text();
  const auto after = [&](Parser::State state, const std::vector<std::string>& pieces) {
    Parser parser(&protocol, state, 16);
    std::string shown;
    feed(parser, pieces, shown);
    return in_words(parser.likely_next());
  };
  const auto trunk = Parser::State::kTrunk;
  CHECK_EQ(after(trunk, {}), std::string());
  CHECK_EQ(after(trunk, {"<"}), std::string("plan>\n"));
  CHECK_EQ(after(trunk, {"<pl"}), std::string("an>\n"));
  CHECK_EQ(after(trunk, {"x", "<"}), std::string());  // the answer has begun without a plan
  CHECK_EQ(after(trunk, {"<plan>"}), std::string());
  CHECK_EQ(after(trunk, {"<plan>\n", "a\n", "b\n", "</"}), std::string("plan>\n"));
  CHECK_EQ(after(trunk, {"<plan>\n", "a\n", "b\n", "c"}), std::string());
  CHECK_EQ(after(trunk, {"<plan>\n", "a\n", "b\n", "</plan>"}), std::string());
  const auto branch = Parser::State::kBranch;
  CHECK_EQ(after(branch, {"x"}), std::string());
  CHECK_EQ(after(branch, {"x", "</"}), std::string("part"));
  CHECK_EQ(after(branch, {"x", "</part"}), std::string());  // its end takes no cell
  Parser serial(nullptr, trunk, 16);
  CHECK(serial.likely_next().empty());
}

TEST(a_title_is_likely_set_off_as_the_one_before) {
  const Protocol protocol = control();
  const auto after = [&](const std::vector<std::string>& titles, const std::string& begun) {
    Parser parser(&protocol, Parser::State::kTrunk, 16);
    for (const std::string& title : titles) {
      parser.accept(kTitle, "");
      parser.accept(kWord, title);
      parser.accept(kTitleEnd, "");
    }
    if (!begun.empty()) {
      parser.accept(kTitle, "");
      if (begun != "<title>") parser.accept(kWord, begun);
    }
    return in_words(parser.likely_next());
  };
  CHECK_EQ(after({}, ""), std::string());
  CHECK_EQ(after({}, "<title>"), std::string());
  CHECK_EQ(after({}, "1. **Cost"), std::string());
  CHECK_EQ(after({}, "1. **Cost**:"), std::string("</title><title>2. **"));  // most first titles end so
  CHECK_EQ(after({}, "Cost:"), std::string("</title><title>"));
  CHECK_EQ(after({"1. **Cost**:"}, ""), std::string("<title>2. **"));
  CHECK_EQ(after({"1. **Cost**:"}, "2. **"), std::string());  // it has only begun
  CHECK_EQ(after({"1. **Cost**:"}, "2. **Time"), std::string());
  CHECK_EQ(after({"1. **Cost**:"}, "2. **Time**"), std::string(":</title><title>3. **"));
  CHECK_EQ(after({"1. **Cost**:"}, "2. **Time**:"), std::string("</title><title>3. **"));
  CHECK_EQ(after({"9. Cost:"}, ""), std::string("<title>10."));  // the space belongs to the word
  CHECK_EQ(after({"  - *Cost*"}, ""), std::string("<title>  - *"));
  CHECK_EQ(after({"Cost"}, ""), std::string("<title>"));
  CHECK_EQ(after({"Cost"}, "Time"), std::string());
  CHECK_EQ(after({"1234567890123. Cost"}, ""), std::string("<title>1234567890123."));
  CHECK_EQ(after({"Catch 22"}, ""), std::string("<title>"));
  std::vector<std::string> most;
  for (int i = 1; i < protocol.plan.max_items; ++i) most.push_back(std::to_string(i) + ". Cost:");
  CHECK_EQ(after(most, ""), std::string("<title>8."));
  most.emplace_back("last:");
  CHECK_EQ(after(most, ""), std::string());
}

TEST(plan_may_bring_the_newline_that_follows_it) {
  const Protocol protocol = text();
  for (const bool newline : {false, true}) {
    Parser parser(&protocol, Parser::State::kTrunk, 16);
    std::string shown;
    CHECK(!parser.plan_is_empty());
    feed(parser, {"<plan>"}, shown);
    CHECK(parser.plan_is_empty());
    CHECK(parser.needs_newline());
    feed(parser, {"\n"}, shown);
    CHECK(parser.plan_is_empty());
    CHECK(!parser.needs_newline());
    feed(parser, {"a"}, shown);
    CHECK(!parser.plan_is_empty());
    const Outcome outcome = feed(parser, {"\nb\n</plan", newline ? ">\n" : ">"}, shown);
    CHECK(outcome.action == Action::kFork);
    CHECK_EQ(parser.plan_ends_line(), newline);
  }
}

TEST(text_plan_allows_only_what_follows_the_rules) {
  const Protocol protocol = text();
  Parser parser(&protocol, Parser::State::kTrunk, 16);
  std::string shown;
  feed(parser, {"<plan>", "\n"}, shown);
  CHECK(parser.restricts());
  for (const char* fine : {"Eat", "Trends of 2024", "Eat 2 meals"}) CHECK(parser.allows(kWord, fine));
  for (const char* bad : {"- a", "* a", "1. a", "2) a", "1", "2 meals", "10 %", "# a", "", "\n", " a", "a<b",
                          "</", "\xE2\x80\xA2 a"})
    CHECK(!parser.allows(kWord, bad));
  CHECK(!parser.allows(kWord, "Eat  well"));
  CHECK(!parser.allows(kWord, "Eat\twell"));
  CHECK(!parser.allows(kWord, "1 Eat"));
  parser.accept(kWord, "Eat\n");
  CHECK(!parser.allows(kWord, "eat\n"));
  CHECK(!parser.allows(kWord, "</plan>"));
  parser.accept(kWord, "Sleep\n");
  CHECK(parser.allows(kWord, "</plan>"));
  CHECK(parser.allows(kWord, "</pl"));
  for (int i = 0; i < 6; ++i) parser.accept(kWord, "Title " + std::to_string(i) + "\n");
  CHECK(!parser.allows(kWord, "Ninth"));
  CHECK(parser.allows(kWord, "</plan>\n"));
}

TEST(prose_in_a_plan_turns_it_serial) {
  const Protocol protocol = text();
  Parser parser(&protocol, Parser::State::kTrunk, 16);
  std::string shown;
  feed(parser, {"<plan>", "\n", "one two three four five six seven eight nine ten"}, shown);
  CHECK(parser.state() == Parser::State::kPlan);
  const Outcome outcome = parser.accept(kWord, " eleven");
  CHECK(outcome.action == Action::kRewind);
  CHECK_EQ(outcome.n_rewind, std::size_t{4});
  CHECK(!outcome.fallback.empty());
}

TEST(a_title_that_cannot_go_on_is_begun_anew) {
  const Protocol protocol = text();
  Parser parser(&protocol, Parser::State::kTrunk, 16);
  parser.ask_for_plan();
  std::string shown;
  const std::string title = "one two three four five six seven eight nine ten";
  feed(parser, {"<plan>", "\n", title, "\n", "one two three", " four five six seven eight nine ten"}, shown);
  CHECK(!parser.allows(kWord, " eleven"));  // the title is full
  CHECK(!parser.allows(kWord, "\n"));       // and has been there before
  const Outcome again = parser.no_way_on("stuck");
  CHECK(again.action == Action::kRewind);
  CHECK_EQ(again.n_rewind, std::size_t{2});
  CHECK_EQ(again.ban, Token{104});  // the fifth piece
  CHECK(again.fallback.empty());
  CHECK(parser.state() == Parser::State::kPlan);
  feed(parser, {"another title", "\n"}, shown);
  const Outcome fork = parser.accept(kWord, "</plan>");
  CHECK(fork.action == Action::kFork);
  CHECK(fork.titles == (std::vector<std::string>{title, "another title"}));
}

TEST(a_plan_that_leads_nowhere_again_and_again_is_given_up) {
  const Protocol protocol = text();
  Parser parser(&protocol, Parser::State::kTrunk, 16);
  parser.ask_for_plan();
  std::string shown;
  feed(parser, {"<plan>", "\n"}, shown);
  for (int i = 0; i < 4; ++i) {
    feed(parser, {"Sleep"}, shown);
    CHECK_EQ(parser.no_way_on("stuck").n_rewind, std::size_t{1});
  }
  feed(parser, {"Sleep"}, shown);
  const Outcome over = parser.no_way_on("stuck");
  CHECK_EQ(over.fallback, std::string("stuck"));
  CHECK_EQ(over.n_rewind, std::size_t{3});
  CHECK(parser.state() == Parser::State::kTrunk);
}

TEST(a_plan_of_the_models_own_is_given_up_at_once) {
  const Protocol protocol = text();
  Parser parser(&protocol, Parser::State::kTrunk, 16);
  std::string shown;
  feed(parser, {"<plan>", "\n", "Sleep"}, shown);
  CHECK_EQ(parser.no_way_on("stuck").n_rewind, std::size_t{3});
  CHECK(parser.state() == Parser::State::kTrunk);
}

TEST(a_full_title_of_a_plan_that_was_asked_for_ends_at_its_last_word) {
  const Protocol protocol = text();
  Parser parser(&protocol, Parser::State::kTrunk, 16);
  parser.ask_for_plan();
  std::string shown;
  feed(parser, {"<plan>", "\n", "one two three four five six seven eight nine te"}, shown);
  CHECK(parser.allows(kWord, "n"));  // the tenth word is not complete
  CHECK(!parser.allows(kWord, "n eleven"));
  CHECK(!parser.allows(kWord, "n"));  // likelier than this was a new word
  CHECK(parser.allows(kWord, "\n"));
  parser.accept(kWord, "n");
  CHECK(parser.allows(kWord, "ths"));
  CHECK(!parser.allows(kWord, " eleven"));
  CHECK(!parser.allows(kWord, "ths"));
  parser.accept(kWord, "\n");
  CHECK(parser.allows(kWord, "ths"));
  parser.accept(kWord, "ths\n");
  CHECK(parser.accept(kWord, "</plan>").action == Action::kFork);
}

TEST(a_branch_ends_with_a_marker_that_lacks_its_end) {
  const Protocol protocol = text();
  const auto after = [&](const std::vector<std::string>& pieces, bool ends) {
    Parser parser(&protocol, Parser::State::kBranch, 16);
    std::string shown;
    const Outcome outcome = feed(parser, pieces, shown);
    CHECK_EQ(outcome.action == Action::kBranchEnd, ends);
    return shown + parser.flush();
  };
  CHECK_EQ(after({"x", "</part", "\n"}, true), std::string("x"));
  CHECK_EQ(after({"x", "</", "part\n<"}, true), std::string("x"));
  CHECK_EQ(after({"x", "</part"}, false), std::string("x"));
  CHECK_EQ(after({"x", "</pa"}, false), std::string("x"));
  CHECK_EQ(after({"x", "</p"}, false), std::string("x</p"));  // HTML
  CHECK_EQ(after({"x", "</part", "ner"}, false), std::string("x</partner"));
}

// Random tokens with steps back obeyed: whatever comes, no marker is ever shown.
TEST(no_marker_is_shown_whatever_is_written) {
  const std::vector<std::string> pieces = {"<",   "p",      "part", "<part", "\n<",   "/",   "</",     "plan",
                                           ">",   "<plan>", " ",    "ab",    "<p",    "art", "</part", ">\n<",
                                           ">\n", "lan>",   "pa",   "rt",    "t=\">", "x <"};
  Protocol protocol = text();
  protocol.banned_in_trunk = {{"</plan>"}, {"<part"}, {"</part>"}};
  protocol.banned_in_branch = {{"<plan>"}, {"</plan>"}, {"<part"}};
  std::uint64_t state = 1;
  const auto draw = [&] {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<std::size_t>(state >> 33U) % pieces.size();
  };
  for (int run = 0; run < 20000; ++run) {
    const bool branch = run % 2 == 1;
    Parser parser(&protocol, branch ? Parser::State::kBranch : Parser::State::kTrunk, 16);
    if (!branch) parser.after_join(1);
    std::string shown;
    for (int i = 0; i < 30; ++i) {
      const std::size_t k = draw();
      const Outcome outcome = parser.accept(static_cast<Token>(k), pieces[k]);
      shown += outcome.text;
      if (outcome.action == Action::kBranchEnd) break;
    }
    shown += parser.flush();
    for (const char* marker : {"<plan>", "</plan>", "<part", "</part>"}) {
      CHECK(shown.find(marker) == std::string::npos);
    }
  }
}

TEST(branch_marker_inside_a_token_shows_what_comes_before_it) {
  const Protocol protocol = text();
  Parser parser(&protocol, Parser::State::kBranch, 16);
  std::string shown;
  const Outcome outcome = feed(parser, {"Done", ".\n</", "part", ">\n"}, shown);
  CHECK(outcome.action == Action::kBranchEnd);
  CHECK_EQ(shown, std::string("Done.\n"));
  CHECK_EQ(outcome.n_markup, std::size_t{3});
}

TEST(fill_replaces_number_and_title) { CHECK_EQ(fill("{n}. {title}:", "{n}", 3), std::string("3. {n}:")); }
