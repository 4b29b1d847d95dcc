#include "bind_chat_template.h"

#include <pybind11/stl.h>

#include <string>
#include <utility>
#include <vector>

#include "aspd/chat_template.h"
#include "bindings.h"

namespace py = pybind11;

void bind_chat_template(py::module_& m) {
  using aspd::ChatTemplate;
  py::class_<ChatTemplate>(m, "ChatTemplate")
      .def(py::init([](const std::string& source, const std::string& bos, const std::string& eos) {
             const py::gil_scoped_release release;
             return ChatTemplate(source, bos, eos);
           }),
           py::arg("source"), py::arg("bos"), py::arg("eos"), "Raises ModelError when it does not parse.")
      .def(
          "render",
          [](const ChatTemplate& self, const std::string& messages_json, bool add_generation_prompt,
             const std::string& extra_json) {
            std::vector<aspd::PromptPart> parts;
            {
              const py::gil_scoped_release release;
              parts = self.render(messages_json, add_generation_prompt, extra_json);
            }
            std::vector<std::pair<py::str, bool>> pairs;
            for (const aspd::PromptPart& part : parts) pairs.emplace_back(to_str(part.text), part.is_input);
            return pairs;
          },
          py::arg("messages_json"), py::arg("add_generation_prompt") = true, py::arg("extra_json") = "{}",
          "The prompt as (text, is_input). Raises ValueError for malformed JSON or too much of it; "
          "ModelError when the "
          "template raises an exception or takes more time or memory than it may.")
      .def_static("is_available", &ChatTemplate::is_available,
                  "False where llama.cpp was built without patches/jinja-budget.patch.");
}
