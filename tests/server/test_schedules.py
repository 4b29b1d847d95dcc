"""Random schedules of branches: what a plain client reads, what an aware one folds, and the text are one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

from wire import check_form, chunks, content, folded

from aspd_local import Answer, Block, Branch, Done, End, Event, Fork, Join, Text, Timings, Usage, fold
from aspd_local.server.answering import Wanted, pieces
from aspd_local.server.bodies import Naming
from aspd_local.server.loop import Timed

LETTERS = ["a", "é", "→", "\n", " b", '"', "\\", "𝄞", "[DONE]", "data: ", "\u2028"]


def words(dice: random.Random, most: int) -> list[str]:
    return ["".join(dice.choices(LETTERS, k=dice.randint(1, 3))) for _ in range(dice.randint(0, most))]


def schedule(dice: random.Random) -> Iterator[Event]:
    """Trunks and blocks; the branches of a block are written and end in any order."""
    said = {"trunk": 0}

    def trunk() -> Iterator[Event]:
        for word in words(dice, 4):
            yield Text(None, said["trunk"], word)
            said["trunk"] += len(word)

    yield from trunk()
    for block in range(1, dice.randint(1, 4)):
        names = [f"{block}.{n}" for n in range(1, dice.randint(2, 6))]
        yield Fork(block, tuple(f"title {name}" for name in names))
        left = {name: words(dice, 12) for name in names}
        at = dict.fromkeys(names, 0)
        while left:
            name = dice.choice(list(left))
            if not left[name]:
                del left[name]
                yield End(name, dice.choice(["stop", "length", "cancelled"]))
                continue
            word = left[name].pop(0)
            yield Text(name, at[name], word)
            at[name] += len(word)
        yield Join(block)
        yield from trunk()


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
    async for piece in pieces(Naming("chat", "id", "model", 0), streams, wanted):  # type: ignore[arg-type]
        lines += piece.decode().split("\n")
    return chunks(lines)


def test_ten_thousand_schedules() -> None:
    dice = random.Random(7)
    counted: list[Answer] = []

    async def one() -> None:
        events = list(schedule(dice))
        text = fold(events)
        events.append(Done(answer(text, dice)))
        usage = dice.random() < 0.5
        wanted = Wanted(live=True, usage=usage, logprobs=False, tools=(), told=counted.append, called=len)
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
            events = list(schedule(dice))
            texts.append(fold(events))
            streams.append(Played([*events, Done(answer(texts[-1], dice))], dice))
        wanted = Wanted(
            live=False, usage=True, logprobs=False, tools=(), told=lambda _answer: None, called=len
        )
        found = asyncio.run(read(streams, wanted))
        check_form(found, 3)
        assert [content(found, i) for i in range(3)] == texts
