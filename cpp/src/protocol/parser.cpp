#include "aspd/parser.h"

#include <algorithm>

#include "utf8.h"

namespace aspd {

namespace {

constexpr std::size_t kNone = std::string_view::npos;
constexpr std::size_t kLongestMarker = 64;  // bytes of shown text that are looked at again
constexpr int kMostRetries = 4;             // titles of one plan that are begun anew

std::string_view without_spaces_behind(std::string_view text) {
  return text.substr(0, text.find_last_not_of(" \t\r\n") + 1);  // npos + 1 is 0
}

// Length of the longest end of `text` that begins `marker` without completing it.
std::size_t partial_match(std::string_view text, std::string_view marker) {
  std::size_t n = std::min(text.size(), marker.size() - 1);
  for (; n > 0; --n) {
    if (text.substr(text.size() - n) == marker.substr(0, n)) return n;
  }
  return 0;
}

}  // namespace

Parser::Parser(const Protocol* protocol, State state, int max_branches)
    : protocol_(protocol), state_(state), max_branches_(max_branches) {
  enter(state);
}

void Parser::enter(State state) {
  state_ = state;
  banned_.clear();
  if (protocol_ == nullptr || protocol_->text_markers) return;
  const auto ban = [this](const std::vector<Marker>& markers) {
    for (const Marker& marker : markers) banned_.push_back(marker.id);
  };
  if (state == State::kPlan) ban(protocol_->banned_in_plan);
  if (state == State::kBranch) ban(protocol_->banned_in_branch);
  if (state == State::kTrunk) {
    ban(protocol_->banned_in_trunk);
    if (first_after_join_) ban(protocol_->banned_after_join);
    if (!plans_allowed_) {
      banned_.push_back(protocol_->plan_open.id >= 0 ? protocol_->plan_open.id : protocol_->item_open.id);
    }
  }
}

Outcome Parser::accept(Token token, std::string_view piece) {
  if (protocol_ == nullptr) {
    Outcome outcome;
    outcome.text = std::string(piece);
    return outcome;
  }
  if (first_after_join_) {
    first_after_join_ = false;
    enter(state_);
  }
  title_full_ = title_said_ = false;
  if (!protocol_->text_markers) return accept_control(token, piece);
  return state_ == State::kPlan ? accept_plan_text(token, piece) : accept_text(token, piece);
}

// --- CONTROL markers: one token is one marker, nothing is ever held back -------------------------------

Outcome Parser::accept_control(Token token, std::string_view piece) {
  const Protocol& p = *protocol_;
  const auto is = [token](const Marker& marker) { return marker.id >= 0 && marker.id == token; };
  Outcome outcome;
  switch (state_) {
    case State::kTrunk:
      if (is(p.plan_open) || (p.plan_open.id < 0 && is(p.item_open))) {
        plan_ = {token};
        items_.clear();
        item_.clear();
        in_item_ = is(p.item_open);
        item_begins_ = 0;
        enter(State::kPlan);
      } else {
        outcome.text = std::string(piece);
      }
      return outcome;
    case State::kPlan:
      plan_.push_back(token);
      if (is(p.plan_close)) return in_item_ ? malformed("the plan ends inside a title") : close_plan();
      if (is(p.item_open)) {
        if (in_item_) return malformed("a title of the plan is not closed");
        in_item_ = true;
        item_begins_ = plan_.size() - 1;
        item_.clear();
      } else if (is(p.item_close)) {
        if (!in_item_) return malformed("the plan closes a title that it did not open");
        in_item_ = false;
        items_.push_back(valid_utf8(without_spaces_behind(item_)));  // an indented list keeps its indents
        // A plan that is already too long will not get better.
        if (static_cast<int>(items_.size()) > std::min(p.plan.max_items, max_branches_)) return close_plan();
      } else if (in_item_) {
        item_ += piece;
        if (item_.size() > static_cast<std::size_t>(p.plan.max_bytes))
          return malformed("a title of the plan is too long");
      } else if (!without_spaces_behind(piece).empty() || piece.empty()) {
        return malformed("the plan has text between its titles");
      }
      return outcome;
    case State::kBranch:
      if (is(p.branch_close)) {
        outcome.action = Action::kBranchEnd;
        outcome.n_markup = 1;
      } else {
        outcome.text = std::string(piece);
      }
      return outcome;
  }
  return outcome;
}

// What keeps the plan sound: titles that are told apart, as many as may be, and nothing between them. The
// sampler asks for what the model chose and, where that is refused, for what it chooses then. A model that
// ends a title which was said before has no more to say; one that begins a word too many has said its title.
bool Parser::allows_control(Token token, std::string_view piece) {
  const Protocol& p = *protocol_;
  const auto n = static_cast<int>(items_.size());
  if (!in_item_) {  // a plan with more branches than the caller wants is taken back, not cut short
    if (token == p.item_open.id) return n < p.plan.max_items;
    return token == p.plan_close.id && n >= p.plan.min_items;
  }
  if (title_said_) return false;
  if (token == p.item_close.id) {
    title_said_ = repeats_title(valid_utf8(item_), items_);
    return title_fault(valid_utf8(item_), items_, p.plan).empty();
  }
  if (piece.empty() || title_full_) return false;
  const std::string title = item_ + std::string(piece);
  title_full_ = is_too_long(without_spaces_behind(title), p.plan);
  const std::size_t first = title.find_first_not_of(' ');
  return !title_full_ && first != kNone && is_tidy(std::string_view(title).substr(first));
}

// --- text markers: bytes are held back as long as they may be the start of a marker ---------------------

Outcome Parser::accept_text(Token token, std::string_view piece) {
  held_.push_back({token, piece.size()});
  held_text_ += piece;

  struct Watched {
    std::string_view text;
    bool banned;
  };
  std::vector<Watched> watched;
  const bool trunk = state_ == State::kTrunk;
  const Marker& wanted = trunk ? protocol_->plan_open : protocol_->branch_close;
  watched.push_back({wanted.text, trunk && !plans_allowed_});
  const std::string unclosed = wanted.text.substr(0, wanted.text.size() - 1) + "\n";
  if (!trunk) watched.push_back({unclosed, false});
  for (const Marker& marker : trunk ? protocol_->banned_in_trunk : protocol_->banned_in_branch) {
    watched.push_back({marker.text, true});
  }

  // A step back may have left the start of a marker at the end of what is shown already.
  const std::size_t n_shown = shown_tail_.size();
  const std::string text = shown_tail_ + held_text_;
  std::size_t found = kNone;
  Watched met{};
  std::size_t partial = 0;
  for (const Watched& marker : watched) {
    const std::size_t at = text.find(marker.text);
    if (at < found) {
      found = at;
      met = marker;
    }
    partial = std::max(partial, partial_match(text, marker.text));
  }

  Outcome outcome;
  if (found < n_shown) return step_back();  // its start cannot be taken back, so its end must not be written
  if (found != kNone) found -= n_shown;
  // Tokens that lie wholly before `end` are safe.
  const std::size_t end = found != kNone ? found : held_text_.size() - std::min(partial, held_text_.size());
  std::size_t n_safe = 0;
  for (std::size_t bytes = 0; n_safe < held_.size() && bytes + held_[n_safe].n_bytes <= end; ++n_safe) {
    bytes += held_[n_safe].n_bytes;
  }
  std::size_t safe_bytes = 0;
  for (std::size_t i = 0; i < n_safe; ++i) safe_bytes += held_[i].n_bytes;
  outcome.text = release(n_safe);
  if (found == kNone) return outcome;

  const std::size_t at = found - safe_bytes;  // of the marker in what is still held
  if (met.banned) {
    Outcome back = step_back();
    back.text = outcome.text;
    return back;
  }
  if (!trunk) {
    outcome.text += held_text_.substr(0, at);
    outcome.action = Action::kBranchEnd;
    outcome.n_markup = held_.size();
    held_.clear();
    held_text_.clear();
    return outcome;
  }
  plan_.clear();
  for (const Held& held : held_) plan_.push_back(held.token);
  plan_lead_ = held_text_.substr(0, at);  // released with the fork: a rewind takes its token back too
  plan_text_ = held_text_.substr(at + met.text.size());
  plan_ends_.assign(plan_.size(), 0);
  plan_ends_.back() = plan_text_.size();
  retried_ = 0;
  held_.clear();
  held_text_.clear();
  enter(State::kPlan);
  Outcome plan = check_plan_text();
  plan.text.insert(0, outcome.text);
  return plan;
}

// All that is held goes: it begins, or completes, a marker that has no place here.
Outcome Parser::step_back() {
  Outcome outcome;
  outcome.action = Action::kRewind;
  outcome.n_rewind = held_.size();
  outcome.ban = held_.front().token;
  held_.clear();
  held_text_.clear();
  return outcome;
}

Outcome Parser::accept_plan_text(Token token, std::string_view piece) {
  plan_.push_back(token);
  plan_text_ += piece;
  plan_ends_.push_back(plan_text_.size());
  return check_plan_text();
}

Outcome Parser::check_plan_text() {
  const PlanText plan = read_plan(plan_text_, *protocol_);
  if (!plan.valid) return malformed("the plan does not follow the rules");
  if (plan.too_long) return malformed("a title of the plan is too long");
  if (!plan.closed) return {};
  items_ = plan.titles;
  for (std::string& title : items_) {
    while (!title.empty() && (title.back() == ':' || title.back() == ' ')) title.pop_back();
  }
  return close_plan();
}

std::vector<SeedPart> Parser::likely_next() const {
  if (protocol_ == nullptr) return {};
  if (!protocol_->text_markers) return likely_frame();
  const std::string rest = likely_marker();
  if (rest.empty()) return {};
  return {{SeedPart::Kind::kText, rest, {}}};
}

std::string Parser::likely_marker() const {
  const auto rest_of = [](const Marker& marker, std::string_view begun) {
    const bool begins = !begun.empty() && begun.size() < marker.text.size() &&
                        marker.text.compare(0, begun.size(), begun) == 0;
    return begins ? marker.text.substr(begun.size()) : "";
  };
  std::string rest;
  switch (state_) {
    case State::kTrunk:
      if (plans_allowed_ && shown_tail_.empty()) rest = rest_of(protocol_->plan_open, held_text_);
      break;
    case State::kPlan:
      rest = rest_of(protocol_->plan_close,
                     std::string_view(plan_text_).substr(plan_text_.find_last_of('\n') + 1));
      break;
    case State::kBranch: {  // the marker's end needs no cell of its own
      rest = rest_of(protocol_->branch_close, held_text_);
      return rest.empty() ? "" : rest.substr(0, rest.size() - 1);
    }
  }
  return rest.empty() ? "" : rest + "\n";
}

// Titles of one plan are set off alike: "1. **Cost**:" is followed by "2. **".
std::vector<SeedPart> Parser::likely_frame() const {
  if (state_ != State::kPlan || static_cast<int>(items_.size()) >= protocol_->plan.max_items) return {};
  std::vector<SeedPart> parts;
  const auto text = [&](std::string more) {
    if (!more.empty()) parts.push_back({SeedPart::Kind::kText, std::move(more), {}});
  };
  const auto marker = [&](const Marker& next) { parts.push_back({SeedPart::Kind::kMarker, "", next}); };
  std::string_view last;
  if (in_item_) {
    last = item_;
    if (says_nothing(last)) return {};
    const std::string_view end = items_.empty() ? ":" : end_of_title(items_.back());
    std::size_t begun = std::min(end.size(), last.size());
    while (begun > 0 && last.substr(last.size() - begun) != end.substr(0, begun)) --begun;
    if (begun == 0) return {};
    text(std::string(end.substr(begun)));
    marker(protocol_->item_close);
  } else {
    if (items_.empty()) return {};
    last = items_.back();
  }
  marker(protocol_->item_open);
  text(start_behind(last));
  return parts;
}

bool Parser::plan_is_empty() const {
  return restricts() && items_.empty() && item_.empty() && (plan_text_.empty() || plan_text_ == "\n");
}

bool Parser::restricts() const { return protocol_ != nullptr && state_ == State::kPlan; }

bool Parser::allows(Token token, std::string_view piece) {
  if (!restricts()) return true;
  if (!protocol_->text_markers) return allows_control(token, piece);
  if (piece.empty()) return false;  // CONTROL, eog: a plan ends with its marker
  const PlanText plan = read_plan(plan_text_ + std::string(piece), *protocol_);
  if (!asked_) return plan.valid;
  title_full_ = title_full_ || plan.too_long;
  return plan.valid && !plan.too_long && (!title_full_ || piece.front() == '\n');
}

// --- both -------------------------------------------------------------------------------------------------

Outcome Parser::close_plan() {
  const std::string fault = plan_fault(items_, protocol_->plan, max_branches_);
  if (!fault.empty()) return malformed(fault);
  for (std::string& title : items_) title = valid_utf8(title);
  Outcome outcome;
  outcome.action = Action::kFork;
  outcome.text = std::move(plan_lead_);
  outcome.titles = std::move(items_);
  outcome.n_markup = plan_.size();
  plan_lead_.clear();
  items_.clear();
  return outcome;
}

Outcome Parser::malformed(const std::string& reason) {
  Outcome outcome;
  outcome.action = Action::kRewind;
  outcome.n_rewind = plan_.size();
  outcome.ban = plan_.empty() ? -1 : plan_.front();
  outcome.fallback = reason;
  plan_.clear();
  plan_lead_.clear();
  plan_text_.clear();
  plan_ends_.clear();
  items_.clear();
  plans_allowed_ = false;
  asked_ = false;
  enter(State::kTrunk);
  return outcome;
}

// A title that repeats an earlier one word by word up to its limit can neither end nor go on, for one.
Outcome Parser::no_way_on(const std::string& reason) {
  if (restricts() && !protocol_->text_markers && in_item_ &&
      static_cast<int>(items_.size()) >= protocol_->plan.min_items) {  // the plan ends before this title
    Outcome outcome;
    outcome.action = Action::kRewind;
    outcome.n_rewind = plan_.size() - item_begins_;
    outcome.ban = protocol_->item_open.id;
    plan_.resize(item_begins_);
    in_item_ = title_full_ = title_said_ = false;
    return outcome;
  }
  if (title_said_) return give_up_plan("the plan repeats the title '" + valid_utf8(item_) + "'");
  const std::size_t newline = plan_text_.rfind('\n');
  const std::size_t line = newline == std::string::npos ? 0 : newline + 1;
  const auto first = std::upper_bound(plan_ends_.begin(), plan_ends_.end(), line);
  const auto kept = static_cast<std::size_t>(first - plan_ends_.begin());
  if (!restricts() || !protocol_->text_markers || !asked_ || retried_ >= kMostRetries ||
      first == plan_ends_.end() || kept == 0)
    return give_up_plan(reason);
  ++retried_;
  Outcome outcome;
  outcome.action = Action::kRewind;
  outcome.n_rewind = plan_.size() - kept;
  outcome.ban = plan_[kept];
  plan_.resize(kept);
  plan_ends_.resize(kept);
  plan_text_.resize(plan_ends_.back());
  title_full_ = false;
  return outcome;
}

Outcome Parser::give_up_plan(const std::string& reason) { return malformed(reason); }

void Parser::after_join(int n_blocks) {
  shown_tail_.clear();
  plan_.clear();
  plan_text_.clear();
  plans_allowed_ = n_blocks < protocol_->max_blocks;
  first_after_join_ = true;
  asked_ = false;
  enter(State::kTrunk);
}

std::string Parser::release(std::size_t n_tokens) {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < n_tokens; ++i) bytes += held_[i].n_bytes;
  std::string text = held_text_.substr(0, bytes);
  held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(n_tokens));
  held_text_.erase(0, bytes);
  shown_tail_ += text;
  if (shown_tail_.size() > kLongestMarker) shown_tail_.erase(0, shown_tail_.size() - kLongestMarker);
  return text;
}

std::string Parser::flush() {
  std::string text = release(held_.size());
  if (protocol_ == nullptr || !protocol_->text_markers || state_ != State::kBranch) return text;
  const std::string_view close = protocol_->branch_close.text;
  const std::size_t n = partial_match(text, close);
  if (n > close.size() / 2) text.resize(text.size() - n);
  return text;
}

}  // namespace aspd
