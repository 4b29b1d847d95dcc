"""A model for tests of the command line: it tells what it is told, and remembers what it was asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aspd_local.errors import ModelError
from aspd_local.events import Done, End, Event, Fork, Join, Text, branch_name, fold
from aspd_local.results import Answer, Block, Branch, Timings, Usage

Part = str | Mapping[str, str]  # trunk, or a block: body by title


def timings(**given: float) -> Timings:
    whole = [name for name in Timings.__dataclass_fields__ if not name.endswith("_s") and name != "speedup"]
    values: dict[str, Any] = {name: 0 if name in whole else 0.0 for name in Timings.__dataclass_fields__}
    return Timings(**(values | given))


def answer(text: str, blocks: Sequence[Block] = (), **given: Any) -> Answer:
    facts: dict[str, Any] = {
        "finish_reason": "stop",
        "fallback": None,
        "protocol": "prompted" if blocks else "serial",
        "usage": Usage(prompt_tokens=3, completion_tokens=7, total_tokens=10, cached_tokens=0),
        "timings": timings(steps=5, trunk_s=1.0, total_s=2.0),
    }
    return Answer(text=text, blocks=tuple(blocks), **(facts | given))


def tell(*parts: Part, headings: bool = True, **given: Any) -> list[Event]:
    """Events of an answer; branches take turns, word by word. headings: titles show, as under `prompted`."""
    events: list[Event] = []
    trunk = 0
    blocks: list[Block] = []
    for part in parts:
        if isinstance(part, str):
            for piece in pieces(part):
                events.append(Text(None, trunk, piece))
                trunk += len(piece)
        else:
            n_block = len(blocks) + 1
            blocks.append(Block(branches=tuple(_branch(title) for title in part)))
            events.append(Fork(n_block, tuple(part), trunk))
            lead = "\n\n" if events[:-1] else ""
            events += _take_turns(n_block, part, lead, headings)
            events.append(Join(n_block))
    return [*events, Done(answer(fold(events), blocks, **given))]


def pieces(text: str) -> list[str]:
    """A text word by word, each with the space before it."""
    words = text.split(" ")
    return [word for word in [words[0], *(" " + word for word in words[1:])] if word]


def _branch(title: str) -> Branch:
    return Branch(title=title, text="", token_ids=(), span=(0, 0), n_tokens=1, end_reason="stop")


def _take_turns(block: int, bodies: Mapping[str, str], lead: str, headings: bool) -> Iterator[Event]:
    left: dict[str, list[str]] = {}
    for number, (title, body) in enumerate(bodies.items(), 1):
        heading = [f"{lead if number == 1 else chr(10) * 2}**{title}**\n"] if headings else []
        left[branch_name(block, number)] = [*heading, *pieces(body)]
    offsets = dict.fromkeys(left, 0)
    while left:
        for name in list(left):
            if left[name]:
                piece = left[name].pop(0)
                yield Text(name, offsets[name], piece)
                offsets[name] += len(piece)
            else:
                del left[name]
                yield End(name, "stop")


class FakeModel:
    """Answers with `stories`, one after the other, the last one again and again.

    Attributes:
        asked: the messages and options of each question.
        before: called with the number of each event before it is given out; may press Ctrl-C.
    """

    def __init__(
        self, *stories: Sequence[Event], protocol: str = "prompted", session: bytes = b"cells"
    ) -> None:
        self.path = Path("fake.gguf")
        self.protocol = protocol
        self.asked: list[tuple[list[Any], dict[str, Any]]] = []
        self.before: Callable[[int], None] = lambda _: None
        self.error: Exception | None = None
        self.n_resets = 0
        self.closed = False
        self.session = session
        self.loaded: bytes | None = None
        self._stories = list(stories) or [tell("Yes.")]
        self._cancelled = False

    def stream(self, messages: Any, **options: Any) -> Iterator[Event]:
        self.asked.append((list(messages), dict(options)))
        if self.error is not None:
            raise self.error
        self._cancelled = False
        events = self._stories.pop(0) if len(self._stories) > 1 else self._stories[0]
        told: list[Event] = []
        for number, event in enumerate(events):
            self.before(number)
            if self._cancelled:
                yield Done(answer(fold(told), finish_reason="cancelled"))
                return
            told.append(event)
            yield event

    def stream_prompt(self, prompt: str, **options: Any) -> Iterator[Event]:
        return self.stream([prompt], **options)

    def cancel(self) -> None:
        self._cancelled = True

    def reset(self) -> None:
        self.n_resets += 1

    def save_session(self, path: str | os.PathLike[str]) -> None:
        Path(path).write_bytes(self.session)

    def load_session(self, path: str | os.PathLike[str]) -> None:
        data = Path(path).read_bytes()
        if data != self.session:
            raise ModelError("the session was written with another model", os.fspath(path))
        self.loaded = data

    def close(self) -> None:
        self.closed = True
