#include "../src/lane_text.h"
#include "../src/utf8.h"

#include "check.h"

using namespace aspd;

namespace {

const std::vector<std::string> kNone;

}  // namespace

TEST(code_points_are_never_split) {
  LaneText text(&kNone);
  CHECK_EQ(text.push("a\xE2\x82"), std::string("a"));
  CHECK_EQ(text.push("\xAC"), std::string("\xE2\x82\xAC"));
}

TEST(bytes_that_are_no_utf8_become_replacement_characters) {
  LaneText text(&kNone);
  CHECK_EQ(text.push("a\xFF\xC0\x80"
                     "b"),
           std::string("a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
                       "b"));
  CHECK_EQ(text.push("\xF0\x9F"), std::string(""));
  CHECK_EQ(text.finish(), std::string("\xEF\xBF\xBD\xEF\xBF\xBD"));
}

TEST(a_stop_string_ends_the_text_before_itself) {
  const std::vector<std::string> stops = {"END", "###"};
  LaneText text(&stops);
  CHECK_EQ(text.push("one E"), std::string("one "));
  CHECK_EQ(text.push("N"), std::string(""));
  CHECK(!text.stopped());
  CHECK_EQ(text.push("D two"), std::string(""));
  CHECK(text.stopped());
  CHECK_EQ(text.stop_match(), std::string("END"));
  CHECK_EQ(text.push("more"), std::string(""));
}

TEST(what_only_began_like_a_stop_string_is_shown_at_the_end) {
  const std::vector<std::string> stops = {"END"};
  LaneText text(&stops);
  CHECK_EQ(text.push("EN"), std::string(""));
  CHECK_EQ(text.push("EX"), std::string("ENEX"));
  CHECK_EQ(text.push("E"), std::string(""));
  CHECK_EQ(text.finish(), std::string("E"));
}

TEST(the_earliest_stop_string_counts) {
  const std::vector<std::string> stops = {"cd", "b"};
  LaneText text(&stops);
  CHECK_EQ(text.push("abcd"), std::string("a"));
  CHECK_EQ(text.stop_match(), std::string("b"));
}

TEST(a_stripped_paragraph_has_no_white_space_at_its_ends) {
  LaneText text(&kNone);
  text.begin_paragraph("\n\n", true);
  CHECK_EQ(text.push(" \n "), std::string(""));
  CHECK_EQ(text.push(" a  "), std::string("\n\na"));
  CHECK_EQ(text.push("b \n"), std::string("  b"));
  CHECK_EQ(text.finish(), std::string(""));
}

TEST(an_empty_paragraph_has_no_lead) {
  LaneText text(&kNone);
  text.begin_paragraph("\n\n", false);
  CHECK_EQ(text.push(" \n"), std::string(""));
  CHECK_EQ(text.finish(), std::string(""));
}

TEST(code_points_are_counted) {
  CHECK_EQ(count_code_points("a\xE2\x82\xAC\xF0\x9F\x98\x80"), std::size_t{3});
}
