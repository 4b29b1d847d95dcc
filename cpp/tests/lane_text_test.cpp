#include "lane_text.h"
#include "utf8.h"

#include "check.h"

using namespace aspd;

TEST(code_points_are_never_split) {
  LaneText text;
  CHECK_EQ(text.push("a\xE2\x82"), std::string("a"));
  CHECK_EQ(text.push("\xAC"), std::string("\xE2\x82\xAC"));
}

TEST(bytes_that_are_no_utf8_become_replacement_characters) {
  LaneText text;
  CHECK_EQ(text.push("a\xFF\xC0\x80"
                     "b"),
           std::string("a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
                       "b"));
  CHECK_EQ(text.push("\xF0\x9F"), std::string(""));
  CHECK_EQ(text.finish(), std::string("\xEF\xBF\xBD\xEF\xBF\xBD"));
}

TEST(nothing_is_shown_behind_a_stop) {
  LaneText text;
  CHECK_EQ(text.push("one "), std::string("one "));
  text.stop();
  CHECK(text.stopped());
  CHECK_EQ(text.push("more") + text.finish(), std::string(""));
}

TEST(a_stripped_paragraph_has_no_white_space_at_its_ends) {
  LaneText text;
  text.begin_paragraph("\n\n", true);
  CHECK_EQ(text.push(" \n "), std::string(""));
  CHECK_EQ(text.push(" a  "), std::string("\n\na"));
  CHECK_EQ(text.push("b \n"), std::string("  b"));
  CHECK_EQ(text.finish(), std::string(""));
}

TEST(an_empty_paragraph_has_no_lead) {
  LaneText text;
  text.begin_paragraph("\n\n", false);
  CHECK_EQ(text.push(" \n"), std::string(""));
  CHECK_EQ(text.finish(), std::string(""));
}

TEST(code_points_are_counted) {
  CHECK_EQ(fold_case("ABZ aé ÀÖØÞ×ß ĀŹŸ ΆΈΌΏΑΩ ЀЙЯҊӐ Ա ƠƯỐ Ə 成 \xC3"),
           std::string("abz aé àöøþ×ß āźŸ άέόώαω ѐйяҋӑ ա ơưố ə 成 \xC3"));
  CHECK_EQ(count_code_points("a\xE2\x82\xAC\xF0\x9F\x98\x80"), std::size_t{3});
}
