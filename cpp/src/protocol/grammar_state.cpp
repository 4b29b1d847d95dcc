// Ways are linked lists of places that share their ends, sets of ways are numbered, and what a code point
// makes of a set is remembered: so a whole vocabulary is asked in milliseconds.
#include <algorithm>
#include <cstddef>
#include <utility>

#include "grammar.h"

namespace aspd {

namespace {

// Work is counted in ways that are looked at.
constexpr std::size_t kWorkOfToken = std::size_t{1} << 18U;
constexpr std::size_t kWorkOfChoice = std::size_t{1} << 22U;
constexpr std::size_t kMostNodes = std::size_t{1} << 18U;
constexpr std::size_t kMostHeld = std::size_t{1} << 21U;
constexpr std::size_t kMostSteps = std::size_t{1} << 18U;
constexpr std::uint32_t kLastCodePoint = 0x10FFFF;

std::uint64_t pair_of(std::uint32_t a, std::uint32_t b) { return (std::uint64_t{a} << 32U) | b; }

std::uint64_t hash_of(const std::vector<std::uint32_t>& ids) {
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const std::uint32_t id : ids) hash = (hash ^ id) * 0x100000001B3U;
  return hash;
}

}  // namespace

GrammarState::GrammarState(std::shared_ptr<const Grammar> grammar) : grammar_(std::move(grammar)) {
  clear();
  begin_choice();
  work_left_ = kWorkOfChoice;
  ++round_;
  std::vector<Id> found;
  for (const std::uint32_t place : grammar_->alternatives(grammar_->root())) {
    expand(grammar_->ends(place) ? 0 : node(place, 0), found);
  }
  now_.ways = set(std::move(found));
}

void GrammarState::clear() {
  nodes_.assign(1, Node());
  node_ids_.clear();
  sets_.assign(1, {});
  set_ids_.clear();
  steps_.clear();
  n_held_ = 0;
  round_ = 0;
}

// Forgets all but where the text is, once much has been gathered.
void GrammarState::compact() {
  if (nodes_.size() < std::max(kMostNodes, 4 * n_live_) &&
      n_held_ < kMostHeld + 4 * sets_[now_.ways].size() && steps_.size() < kMostSteps)
    return;
  const std::vector<Node> old = std::move(nodes_);
  const std::vector<Id> ways = std::move(sets_[now_.ways]);
  clear();
  std::vector<Id> moved(old.size(), 0);
  std::vector<Id> kept;
  std::vector<Id> path;
  for (const Id way : ways) {
    for (Id id = way; id != 0 && moved[id] == 0; id = old[id].parent) path.push_back(id);
    for (; !path.empty(); path.pop_back()) {
      const Node& one = old[path.back()];
      moved[path.back()] = node(one.place, moved[one.parent]);
    }
    kept.push_back(moved[way]);
  }
  n_live_ = nodes_.size();
  now_.ways = set(std::move(kept));
}

GrammarState::Id GrammarState::node(std::uint32_t place, Id parent) {
  const auto [found, is_new] = node_ids_.try_emplace(pair_of(place, parent), static_cast<Id>(nodes_.size()));
  if (is_new) nodes_.push_back({place, parent, 0});
  return found->second;
}

GrammarState::Id GrammarState::set(std::vector<Id> ways) {
  if (ways.empty()) return 0;
  std::sort(ways.begin(), ways.end());
  std::vector<Id>& same_hash = set_ids_[hash_of(ways)];
  for (const Id id : same_hash) {
    if (sets_[id] == ways) return id;
  }
  n_held_ += ways.size();
  sets_.push_back(std::move(ways));
  same_hash.push_back(static_cast<Id>(sets_.size() - 1));
  return same_hash.back();
}

// The way behind the element that is read.
GrammarState::Id GrammarState::behind(Id way) {
  const Node here = nodes_[way];
  return grammar_->ends(here.place + 1) ? here.parent : node(here.place + 1, here.parent);
}

// Opens rules until something must be read; ways that this round has seen are not found again. False: that is
// too much work.
bool GrammarState::expand(Id way, std::vector<Id>& found) {
  std::vector<Id> todo = {way};
  while (!todo.empty()) {
    const Id id = todo.back();
    todo.pop_back();
    if (nodes_[id].seen == round_) continue;
    if (work_left_ == 0) return false;
    --work_left_;
    nodes_[id].seen = round_;
    const Grammar::Element element = grammar_->at(nodes_[id].place);
    if (id == 0 || element.kind != Grammar::Kind::kRule) {
      found.push_back(id);
      continue;
    }
    const Id rest = behind(id);
    for (const std::uint32_t place : grammar_->alternatives(element.value)) {
      todo.push_back(grammar_->ends(place) ? rest : node(place, rest));
    }
  }
  return true;
}

GrammarState::Id GrammarState::step(Id ways, std::uint32_t code_point) {
  const std::uint64_t key = pair_of(ways, code_point);
  if (const auto known = steps_.find(key); known != steps_.end()) return known->second;
  work_left_ -= std::min(work_left_, sets_[ways].size() / 4);
  ++round_;
  std::vector<Id> found;
  for (const Id way : sets_[ways]) {
    if (way == 0 || !grammar_->holds(nodes_[way].place, code_point, code_point)) continue;
    if (!expand(behind(way), found)) return 0;
  }
  return steps_[key] = set(std::move(found));
}

GrammarState::Id GrammarState::step_token(Id ways, Token token) {
  using Kind = Grammar::Kind;
  std::vector<Id> found;
  ++round_;
  for (const Id way : sets_[ways]) {
    if (way == 0) continue;
    const Grammar::Element& element = grammar_->at(nodes_[way].place);
    const bool same = element.value == static_cast<std::uint32_t>(token);
    if (element.kind == Kind::kToken ? !same : element.kind != Kind::kNotToken || same) continue;
    if (!expand(behind(way), found)) return 0;
  }
  return set(std::move(found));
}

GrammarState::Id GrammarState::both(Id a, Id b) {
  if (a == 0 || b == 0) return a + b;
  std::vector<Id> all;
  std::set_union(sets_[a].begin(), sets_[a].end(), sets_[b].begin(), sets_[b].end(), std::back_inserter(all));
  return set(std::move(all));
}

// Whether bytes that are still missing can complete a code point that may stand here.
bool GrammarState::finish_code_point(const Place& place) const {
  const auto n_bits = 6U * static_cast<std::uint32_t>(place.n_missing);
  std::uint32_t low = place.value << n_bits;
  const std::uint32_t high = std::min(kLastCodePoint, low | ((1U << n_bits) - 1U));
  if (low == 0) low = place.n_missing == 3 ? 0x10000 : 0x800;  // no shorter form is valid
  return std::any_of(sets_[place.ways].begin(), sets_[place.ways].end(), [&](Id way) {
    return way != 0 && low <= high && grammar_->holds(nodes_[way].place, low, high);
  });
}

GrammarState::Place GrammarState::read(Token token, std::string_view bytes) {
  const Id by_token = now_.n_missing == 0 ? step_token(now_.ways, token) : 0;
  Place place = now_;
  if (bytes.empty() || bytes.front() == '\0') place.ways = 0;
  for (const char c : bytes) {
    if (place.ways == 0) break;
    const auto byte = static_cast<unsigned char>(c);
    if (place.n_missing > 0) {
      if ((byte & 0xC0U) != 0x80U) {
        place.ways = 0;
        break;
      }
      place.value = (place.value << 6U) | (byte & 0x3FU);
      if (--place.n_missing == 0) place.ways = step(place.ways, place.value);
    } else if (byte < 0x80) {
      place.ways = step(place.ways, byte);
    } else {
      place.n_missing = byte >= 0xC2 && byte <= 0xDF   ? 1
                        : (byte & 0xF0U) == 0xE0U      ? 2
                        : byte >= 0xF0 && byte <= 0xF4 ? 3
                                                       : 0;
      place.value = byte & (0x3FU >> static_cast<unsigned>(place.n_missing));
      if (place.n_missing == 0) place.ways = 0;
    }
  }
  if (place.ways != 0 && place.n_missing > 0 && !finish_code_point(place)) place.ways = 0;
  if (by_token != 0) {
    const Id by_text = place.n_missing == 0 ? place.ways : 0;
    place = Place();
    place.ways = both(by_token, by_text);
  }
  return place;
}

bool GrammarState::may_end() const {
  return now_.n_missing == 0 && !sets_[now_.ways].empty() && sets_[now_.ways].front() == 0;
}

void GrammarState::begin_choice() { choice_left_ = kWorkOfChoice; }

bool GrammarState::allows(Token token, std::string_view bytes) {
  compact();
  const std::size_t given = std::min(kWorkOfToken, choice_left_);
  work_left_ = given;
  const bool allowed = read(token, bytes).ways != 0;
  choice_left_ -= given - work_left_;
  return allowed;
}

void GrammarState::accept(Token token, std::string_view bytes) {
  compact();
  work_left_ = kWorkOfChoice;
  now_ = read(token, bytes);
}

}  // namespace aspd
