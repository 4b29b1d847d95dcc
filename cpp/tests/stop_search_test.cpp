#include "stop_search.h"

#include "check.h"

using namespace aspd;

namespace {

using Strings = std::vector<std::string>;

Event text_event(std::int32_t block, std::int32_t branch, const std::string& text, std::size_t offset = 0) {
  Event event;
  event.block = block;
  event.branch = branch;
  event.text = text;
  event.offset = offset;
  return event;
}

Event block_event(EventKind kind, std::int32_t block, std::int32_t branch = 0) {
  Event event;
  event.kind = kind;
  event.block = block;
  event.branch = branch;
  return event;
}

// Events as a short text: "a" said by the trunk, "1.2:a" by a branch, then "fork 1", "end 1.2".
std::string spelt(const std::vector<Event>& events) {
  std::string all;
  for (const Event& event : events) {
    const std::string name =
        event.branch > 0 ? std::to_string(event.block) + "." + std::to_string(event.branch) : "";
    if (!all.empty()) all += "|";
    switch (event.kind) {
      case EventKind::kText: all += (name.empty() ? "" : name + ":") + event.text; break;
      case EventKind::kFork: all += "fork " + std::to_string(event.block); break;
      case EventKind::kUnfork: all += "unfork " + std::to_string(event.block); break;
      case EventKind::kEnd: all += "end " + name; break;
      case EventKind::kJoin: all += "join " + std::to_string(event.block); break;
      case EventKind::kDone: all += "done"; break;
    }
  }
  return all;
}

std::size_t one_byte(Token) { return 1; }

// What leaves of these events, those of each call apart.
Strings pushed(StopSearch& search, const std::vector<Event>& events) {
  Strings all;
  for (const Event& event : events) {
    std::vector<Event> out;
    search.push(event, out);
    all.push_back(spelt(out));
  }
  std::vector<Event> out;
  search.finish(out);
  all.push_back(spelt(out));
  return all;
}

}  // namespace

TEST(stop_string_that_is_whole_first_counts) {
  CHECK_EQ(find_stop("abcd", {"cd", "b"}, 0).stop, std::string("b"));
  CHECK_EQ(find_stop("abcd", {"abcd", "b"}, 0).at, std::size_t{1});
  CHECK_EQ(find_stop("abcd", {"c", "bc", "d"}, 0).stop, std::string("bc"));
  CHECK(!find_stop("abcd", {"e", "abcde"}, 0).found());
  CHECK_EQ(find_stop("xENDEND", {"END"}, 0).at, std::size_t{1});
  CHECK_EQ(find_stop("xENDEND", {"END"}, 4).at, std::size_t{4});
}

TEST(stop_string_ends_the_text_before_itself) {
  StopSearch search({"END", "###"}, one_byte);
  const std::vector<Event> events = {text_event(0, 0, "one E"), text_event(0, 0, "N", 5),
                                     text_event(0, 0, "D two", 6), text_event(0, 0, "more", 11)};
  CHECK_EQ(pushed(search, events), (Strings{"one ", "", "", "", ""}));
  CHECK_EQ(search.match(), std::string("END"));
  CHECK_EQ(search.n_bytes(), std::size_t{4});
}

TEST(what_only_began_like_a_stop_string_leaves) {
  StopSearch search({"END"}, one_byte);
  const std::vector<Event> events = {text_event(0, 0, "EN"), text_event(0, 0, "EX", 2),
                                     text_event(0, 0, "E", 4)};
  CHECK_EQ(pushed(search, events), (Strings{"", "EN|EX", "", "E"}));
  CHECK(!search.met());
  CHECK_EQ(search.n_bytes(), std::size_t{5});
}

TEST(events_wait_behind_text_that_waits) {
  StopSearch search({"END"}, one_byte);
  const std::vector<Event> events = {text_event(0, 0, "xE"), block_event(EventKind::kFork, 1),
                                     text_event(1, 1, "N"), block_event(EventKind::kEnd, 1, 1),
                                     text_event(1, 2, "x")};
  CHECK_EQ(pushed(search, events), (Strings{"x", "", "", "", "E|fork 1|1.1:N|end 1.1|1.2:x", ""}));
  CHECK_EQ(search.n_blocks(), std::size_t{1});
}

TEST(stop_string_across_branches_cuts_the_first_of_them) {
  StopSearch search({"END"}, one_byte);
  const std::vector<Event> events = {block_event(EventKind::kFork, 1),
                                     text_event(1, 1, "oneE"),
                                     block_event(EventKind::kEnd, 1, 1),
                                     text_event(1, 2, "ND"),
                                     block_event(EventKind::kEnd, 1, 2),
                                     block_event(EventKind::kJoin, 1),
                                     text_event(0, 0, "more")};
  CHECK_EQ(pushed(search, events),
           (Strings{"fork 1", "1.1:one", "", "end 1.1", "end 1.2", "join 1", "", ""}));
}

TEST(block_behind_a_stop_string_is_not_told) {
  StopSearch search({"END"}, one_byte);
  const std::vector<Event> events = {text_event(0, 0, "oneE"), block_event(EventKind::kFork, 1),
                                     text_event(1, 1, "ND"), block_event(EventKind::kEnd, 1, 1),
                                     block_event(EventKind::kJoin, 1)};
  CHECK_EQ(pushed(search, events), (Strings{"one", "", "", "", "", ""}));
  CHECK_EQ(search.n_blocks(), std::size_t{0});
}

TEST(block_that_was_taken_back_counts_no_more) {
  StopSearch search({"END"}, one_byte);
  (void)pushed(search,
               {block_event(EventKind::kFork, 1), text_event(1, 1, "x"), block_event(EventKind::kUnfork, 1)});
  CHECK_EQ(search.n_blocks(), std::size_t{0});
}

TEST(next_block_behind_a_stop_string_has_the_number_of_the_one_taken_back_and_is_not_told) {
  StopSearch search({"END"}, one_byte);
  const std::vector<Event> events = {block_event(EventKind::kFork, 1), text_event(1, 1, "xE"),
                                     block_event(EventKind::kUnfork, 1), block_event(EventKind::kFork, 1),
                                     text_event(1, 1, "ND")};
  CHECK_EQ(pushed(search, events), (Strings{"fork 1", "1.1:x", "", "", "unfork 1", ""}));
  CHECK_EQ(search.n_blocks(), std::size_t{0});
}

TEST(likelihoods_leave_with_their_text) {
  StopSearch search({"END"}, one_byte);
  Event event = text_event(0, 0, "#abE");  // "#" is fed
  for (const Token token : {1, 2, 3}) {
    event.likelihoods.emplace_back();
    event.likelihoods.back().token = token;
  }
  std::vector<Event> out;
  search.push(event, out);
  REQUIRE(out.size() == 1);
  CHECK_EQ(out[0].likelihoods.size(), std::size_t{2});
  search.push(text_event(0, 0, "x", 4), out);
  REQUIRE(out.size() == 3);
  CHECK_EQ(out[1].likelihoods.size(), std::size_t{1});
  CHECK_EQ(out[1].offset, std::size_t{3});
}

TEST(stop_string_is_found_in_any_cut_of_the_text) {
  const std::string text = "aabaabaaab";
  for (const std::string stop : {"aaab", "abaaa", "ab", "b"}) {
    for (std::uint32_t cuts = 0; cuts < 1U << (text.size() - 1); ++cuts) {
      StopSearch search({stop}, one_byte);
      std::vector<Event> out;
      std::string piece;
      for (std::size_t i = 0; i < text.size(); ++i) {
        piece += text[i];
        if (i + 1 < text.size() && (cuts >> i & 1U) == 0) continue;
        search.push(text_event(0, 0, piece), out);
        piece.clear();
      }
      std::string said;
      for (const Event& event : out) said += event.text;
      CHECK_EQ(said, text.substr(0, text.find(stop)));
    }
  }
}
