"""Models of aspd-local in the `llm` command: one engine in this process for each model that is asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import llm

from aspd_local import Done, Model, ReadingOrder
from aspd_local.chat import Message
from aspd_local.sources import ADAPTED, PACKAGED

_MORE = "ASPD_LLM_MODELS"  # paths and hub names, by commas


@llm.hookimpl
def register_models(register: Any) -> None:
    """All models that aspd-local knows by name, and those of ASPD_LLM_MODELS."""
    more = [name for name in os.environ.get(_MORE, "").split(",") if name]
    for source in [*ADAPTED, *PACKAGED, *more]:
        register(AspdModel(source))


class AspdModel(llm.Model):
    """A GGUF model whose answers may fork."""

    can_stream = True

    class Options(llm.Options):
        """What `-o` takes."""

        temperature: float | None = None
        max_tokens: int | None = None
        seed: int | None = None
        serial: bool = False
        plan: Literal["auto", "always"] = "auto"

    def __init__(self, source: str) -> None:
        self.source = source
        self.model_id = "aspd/" + (Path(source).stem if source.endswith(".gguf") else source)
        self._model: Model | None = None

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any = None) -> Iterator[str]:
        """The text in reading order; what it took goes into the log."""
        if self._model is None:
            self._model = Model(self.source)
        said = prompt.options
        options: Any = {"parallel": "off" if said.serial else "auto", "plan": said.plan}
        for name in ("temperature", "max_tokens", "seed"):
            if (value := getattr(said, name)) is not None:
                options[name] = value
        order = ReadingOrder()
        for event in self._model.stream(messages_of(prompt, conversation), **options):
            if (piece := order.feed(event)) and stream:
                yield piece
            if isinstance(event, Done):
                answer = event.result
                if not stream:
                    yield answer.text
                response.response_json = {k: v for k, v in answer.to_dict().items() if k != "text"}
                response.set_usage(input=answer.usage.prompt_tokens, output=answer.usage.completion_tokens)


def messages_of(prompt: Any, conversation: Any) -> list[Message]:
    """The chat as aspd-local takes it."""
    turns: list[Message] = []
    if prompt.system:
        turns.append({"role": "system", "content": prompt.system})
    for earlier in conversation.responses if conversation is not None else ():
        turns.append({"role": "user", "content": earlier.prompt.prompt})
        turns.append({"role": "assistant", "content": earlier.text_or_raise()})
    return [*turns, {"role": "user", "content": prompt.prompt}]
