// Drives an engine over a tiny model: exact options, requests in one line, events folded. The models are
// those that write_tiny_models.py has written into the folder named by ASPD_TEST_TINY_DIR.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "aspd/engine.h"

namespace aspd_test {

// As tests/tiny/stories.py has it: what the model "storyteller" answers to kStoryPrompt.
constexpr const char* kStoryPrompt = "Tell me: 1";
constexpr const char* kStory = "Hmonetwo\xE2\x86\x92\x32!\xC3\xA9So.";
constexpr aspd::JoinRule kJoinRules[] = {aspd::JoinRule::kSum, aspd::JoinRule::kLongest,
                                         aspd::JoinRule::kLinear, aspd::JoinRule::kDrop};

// Skips the test when ASPD_TEST_TINY_DIR is not set.
std::shared_ptr<const aspd::Model> tiny_model(const std::string& name);
// F32 cache, no flash attention, one thread, 512 cells: logits are exact.
aspd::EngineOptions exact();
// The protocols `aspd` and `prompted`, as far as these tests need them.
aspd::Protocol control_protocol(const aspd::Model& model, aspd::JoinRule rule);
aspd::Protocol text_protocol(aspd::JoinRule rule);

// A serial text, laid out from a position on.
aspd::Layout trunk(const std::vector<aspd::Token>& ids, aspd::Pos start = 0);
// Greedy; nothing of the answer is retained. Special tokens that the prompt spells out become ids.
aspd::Request request(const aspd::Model& model, const std::string& prompt,
                      std::optional<aspd::Protocol> protocol = std::nullopt);
aspd::Request story(const aspd::Model& model, aspd::JoinRule rule);

// Steps until nothing is left; all events.
std::vector<aspd::Event> run(aspd::Engine& engine);
// Events of a request submitted to an idle engine.
std::vector<aspd::Event> tell(aspd::Engine& engine, aspd::Request request);
// The result at the end of them.
std::shared_ptr<const aspd::Result> answer(aspd::Engine& engine, aspd::Request request);
// Puts a request's text together from its events; fails the test where an offset is wrong.
std::string fold(const std::vector<aspd::Event>& events);
// No work, no retained answer, no cell and no sequence id in use.
void check_empty(aspd::Engine& engine, const char* file, int line);

}  // namespace aspd_test

#define CHECK_EMPTY(engine) aspd_test::check_empty((engine), __FILE__, __LINE__)
