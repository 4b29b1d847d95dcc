"""Random schedules of branches: what a plain client reads, what an aware one folds, and the text are one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

from wire import check_form, chunks, content, folded

from aspd_local import Answer, Block, Branch, Done, Event, Timings, Usage
from aspd_local.server.answering import Choices, Wanted
from aspd_local.server.bodies import Naming
from aspd_local.server.loop import Timed
from aspd_local.server.tools import Offered
from schedules import random_schedule

# What could break a line of the stream or a reader of it.
PLAIN: dict[str, Any] = {"logprobs": False, "n": 1, "echo": (), "tools": Offered(), "called": len}
LETTERS = ("a", "é", "→", "\n", " b", '"', "\\", "𝄞", "[DONE]", "data: ", "\u2028")


def answer(text: str, dice: random.Random) -> Answer:
    zeros: dict[str, Any] = dict.fromkeys(Timings.__dataclass_fields__, 0)
    branch = Branch(title="t", text="", token_ids=(), span=(0, 0), n_tokens=0, end_reason="stop")
    return Answer(
        text=text,
        blocks=(Block(branches=(branch,)),),
        finish_reason=dice.choice(["stop", "length", "cancelled"]),
        fallback=None,
        protocol="aspd",
        usage=Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2, cached_tokens=0),
        timings=Timings(**zeros),
    )


class Played:
    """A stream whose batches are what a schedule says."""

    def __init__(self, events: list[Event], dice: random.Random) -> None:
        self._events = events
        self._dice = dice

    async def batches(self) -> AsyncIterator[list[Timed]]:
        left = list(self._events)
        while left:
            n = self._dice.randint(1, 8)
            yield [Timed(event, 0.0) for event in left[:n]]
            del left[:n]

    def cancel(self) -> None:
        """Nothing runs."""


async def read(streams: list[Played], wanted: Wanted) -> list[dict[str, Any]]:
    lines: list[str] = []
    form = Choices(Naming("chat", "id", "model", 0), wanted)
    async for piece in form.pieces(streams):  # type: ignore[arg-type]
        lines += piece.decode().split("\n")
    return chunks(lines)


def test_ten_thousand_schedules() -> None:
    dice = random.Random(7)
    counted: list[Answer] = []

    async def one() -> None:
        told = random_schedule(dice, LETTERS)
        text = told.text
        events = [*told.events, Done(answer(text, dice))]
        usage = dice.random() < 0.5
        wanted = Wanted(live=True, usage=usage, told=counted.append, **PLAIN)
        found = await read([Played(events, dice)], wanted)
        check_form(found)
        assert content(found) == text
        assert folded(found) == text

    async def all_of_them() -> None:
        for _ in range(10_000):
            await one()

    asyncio.run(all_of_them())
    assert len(counted) == 10_000


def test_several_choices_one_after_another() -> None:
    dice = random.Random(8)
    for _ in range(100):
        texts, streams = [], []
        for _ in range(3):
            told = random_schedule(dice, LETTERS)
            texts.append(told.text)
            streams.append(Played([*told.events, Done(answer(told.text, dice))], dice))
        wanted = Wanted(live=False, usage=True, told=lambda _answer: None, **PLAIN)
        found = asyncio.run(read(streams, wanted))
        check_form(found, 3)
        assert [content(found, i) for i in range(3)] == texts
