"""What is noted of an answer while its events come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from aspd_local import Answer, Block, Branch, Done, End, Event, Fork, Join, Text, Timings, Unfork, Usage
from aspd_local.eval import contestants
from aspd_local.eval.config import EvalConfig


class Told:
    """A model that tells these events, one a second."""

    def __init__(self, events: list[Event]) -> None:
        self._events = events
        self.now = 0.0

    def stream(self, _messages: Any, **_options: Any) -> Iterator[Event]:
        for event in self._events:
            self.now += 1
            yield event

    def tokenize(self, text: str) -> list[int]:
        return list(range(len(text)))


def answer(*titles: str) -> Answer:
    zeros: dict[str, Any] = dict.fromkeys(Timings.__dataclass_fields__, 0)
    branches = tuple(
        Branch(title=title, text="x", token_ids=(), span=(n, n + 1), n_tokens=1, end_reason="stop")
        for n, title in enumerate(titles)
    )
    return Answer(
        text="x" * len(titles),
        blocks=(Block(branches=branches),),
        finish_reason="stop",
        fallback=None,
        protocol="intrinsic",
        usage=Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2, cached_tokens=0),
        timings=Timings(**zeros),
    )


def test_a_branch_begins_when_the_block_that_joins_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Told(
        [
            Fork(1, ("a", "b"), 0),  # at 1 s
            Text("1.1", 0, "x"),
            End("1.2", "stop"),
            Unfork(1),
            Fork(1, ("a", "b"), 0),  # at 5 s
            Fork(1, ("a", "b", "c"), 0),  # at 6 s
            End("1.1", "stop"),
            End("1.3", "stop"),
            End("1.2", "stop"),  # at 9 s
            Join(1),
            Done(answer("a", "b", "c")),
        ]
    )
    monkeypatch.setattr("aspd_local.eval.contestants.time.perf_counter", lambda: model.now)
    config = EvalConfig(model="m", suite="vicuna")
    asked = contestants.EngineContestant(model, config, "intrinsic", None)  # type: ignore[arg-type]
    parts = asked.answer([], 0).parts
    assert [(part.begin_s, part.end_s) for part in parts] == [(5.0, 7.0), (5.0, 9.0), (6.0, 8.0)]
