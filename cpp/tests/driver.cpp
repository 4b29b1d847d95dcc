#include "driver.h"

#include <cstdlib>
#include <map>

#include "check.h"

namespace aspd_test {

using namespace aspd;

std::shared_ptr<const Model> tiny_model(const std::string& name) {
  const char* folder = std::getenv("ASPD_TEST_TINY_DIR");
  if (folder == nullptr)
    SKIP("ASPD_TEST_TINY_DIR is not set; cpp/tests/write_tiny_models.py writes the models");
  return Model::load(std::string(folder) + "/" + name + ".gguf", ModelOptions());
}

EngineOptions exact() {
  EngineOptions options;
  options.n_ctx = 512;
  options.n_threads = 1;
  options.n_threads_batch = 1;
  options.flash_attn = "off";
  options.cache_type = "f32";
  return options;
}

Protocol control_protocol(const Model& model, JoinRule rule) {
  const auto marker = [&](const std::string& text) { return Marker{text, model.find_token(text).value()}; };
  using Kind = SeedPart::Kind;
  Protocol protocol;
  protocol.name = "aspd";
  protocol.item_open = marker("<|title|>");
  protocol.item_close = marker("<|/title|>");
  protocol.plan_close = marker("<|para|>");
  protocol.branch_close = marker("<|/branch|>");
  protocol.branch_seed = {
      {Kind::kMarker, "", marker("<|branch|>")}, {Kind::kTitle, "", {}}, {Kind::kText, ":", {}}};
  protocol.join_seed = {{Kind::kMarker, "", marker("<|/para|>")}};
  protocol.join_rule = rule;
  return protocol;
}

Protocol text_protocol(JoinRule rule) {
  using Kind = SeedPart::Kind;
  Protocol protocol;
  protocol.name = "prompted";
  protocol.text_markers = true;
  protocol.plan_open = {"<plan>", -1};
  protocol.item_close = {"\n", -1};
  protocol.plan_close = {"</plan>", -1};
  protocol.branch_close = {"</part>", -1};
  protocol.branch_seed = {
      {Kind::kText, "\n<part title=\"", {}}, {Kind::kTitle, "", {}}, {Kind::kText, "\">\n", {}}};
  protocol.join_seed = {{Kind::kText, "\n\n", {}}};
  protocol.join_rule = rule;
  protocol.banned_in_trunk = {{"</plan>", -1}, {"<part", -1}, {"</part>", -1}};
  protocol.banned_in_branch = {{"<plan>", -1}, {"</plan>", -1}, {"<part", -1}};
  protocol.max_blocks = 1;
  protocol.text_before = "**{title}**\n";
  protocol.strip_body = true;
  return protocol;
}

Layout trunk(const std::vector<Token>& ids, Pos start) {
  Layout layout;
  for (const Token id : ids) layout.push(id, start++, 0, 0);
  return layout;
}

Request request(const Model& model, const std::string& prompt, std::optional<Protocol> protocol) {
  Request result;
  result.prompt = trunk(model.tokenize(prompt, true));
  result.protocol = std::move(protocol);
  result.sampling.temperature = 0;
  result.retain = false;
  return result;
}

Request story(const Model& model, JoinRule rule) {
  return request(model, kStoryPrompt, control_protocol(model, rule));
}

std::vector<Event> run(Engine& engine) {
  std::vector<Event> events;
  while (engine.has_work()) {
    for (Event& event : engine.step()) events.push_back(std::move(event));
  }
  return events;
}

std::vector<Event> tell(Engine& engine, Request request) {
  const RequestId id = engine.submit(std::move(request));
  std::vector<Event> events = run(engine);
  for (const Event& event : events) REQUIRE(event.request == id);
  REQUIRE(!events.empty() && events.back().kind == EventKind::kDone);
  return events;
}

std::shared_ptr<const Result> answer(Engine& engine, Request request) {
  return tell(engine, std::move(request)).back().result;
}

std::string fold(const std::vector<Event>& events) {
  std::vector<std::string> segments(1);  // in reading order; the trunk goes on in the last one
  std::vector<std::size_t> first_branch = {0};
  std::map<std::pair<std::int32_t, std::int32_t>, std::size_t> n_code_points;
  for (const Event& event : events) {
    if (event.kind == EventKind::kFork) {
      CHECK_EQ(event.block, static_cast<std::int32_t>(first_branch.size()));
      first_branch.push_back(segments.size());
      segments.resize(segments.size() + event.titles.size() + 1);
    }
    if (event.kind != EventKind::kText) continue;
    std::size_t& offset = n_code_points[{event.block, event.branch}];
    CHECK_EQ(event.offset, offset);
    for (const char byte : event.text) offset += (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U ? 1 : 0;
    const std::size_t of_branch =
        first_branch.at(static_cast<std::size_t>(event.block)) + static_cast<std::size_t>(event.branch) - 1;
    segments.at(event.block == 0 ? segments.size() - 1 : of_branch) += event.text;
  }
  std::string text;
  for (const std::string& segment : segments) text += segment;
  return text;
}

void check_empty(Engine& engine, const char* file, int line) {
  if (engine.has_work()) fail(file, line, "the engine has work left");
  engine.clear_retained();
  check_eq(engine.cells_in_use(), std::size_t{0}, "cells in use", file, line);
  check_eq(engine.sequences_free(), engine.n_sequences(), "free sequence ids", file, line);
}

}  // namespace aspd_test
