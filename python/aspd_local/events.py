"""What happens while an answer is decoded, and two ways to read it: folded into text, or in reading order.

Knows nothing of engines: any source of events will do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from aspd_local.results import Answer, FinishReason, TokenLogprob


@dataclass(frozen=True)
class Text:
    """A piece of text.

    Attributes:
        branch: "2.1" for branch 1 of block 2; None for the trunk.
        offset: where it belongs within its branch or trunk, in code points.
        text: whole code points, never empty.
        logprobs: where they were asked for: of the sampled tokens that have become text by now; text that the
            protocol writes, such as headings, has none.
    """

    branch: str | None
    offset: int
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Fork:
    """The trunk pauses; `titles`: [n_branches] of block number `block`, from 1."""

    block: int
    titles: tuple[str, ...]


@dataclass(frozen=True)
class End:
    """A branch is over."""

    branch: str
    reason: FinishReason


@dataclass(frozen=True)
class Join:
    """All branches of the block are over; the trunk goes on."""

    block: int


@dataclass(frozen=True)
class Done:
    """The answer is over."""

    result: Answer


Event: TypeAlias = Text | Fork | End | Join | Done


def branch_name(block: int, branch: int) -> str:
    """ "2.1" for branch 1 of block 2. Both count from 1."""
    return f"{block}.{branch}"


class ReadingOrder:
    """Turns events into text in reading order.

    The trunk and the earliest unfinished branch pass at once; later branches are held back until it is their
    turn. Concatenated, the pieces are the text of the answer.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[str, list[Text]]] = []  # branches of the open block that are not read yet
        self._over: set[str] = set()

    def feed(self, event: Event) -> str:
        """The text that may be read now; "" if there is none."""
        return "".join(piece.text for piece in self.pieces(event))

    def pieces(self, event: Event) -> list[Text]:
        """The pieces of text that may be read now, as they came."""
        match event:
            case Fork(block, titles):
                self._waiting = [(branch_name(block, n), []) for n in range(1, len(titles) + 1)]
            case Text(branch=None):
                return [event]
            case Text(branch=branch):
                if self._waiting and self._waiting[0][0] == branch:
                    return [event]
                next(held for name, held in self._waiting if name == branch).append(event)
            case End(branch, _):
                self._over.add(branch)
                return self._advance(everything=False)
            case Join(_) | Done(_):
                return self._advance(everything=True)
        return []

    def _advance(self, *, everything: bool) -> list[Text]:
        pieces: list[Text] = []
        while self._waiting and (everything or self._waiting[0][0] in self._over):
            self._waiting.pop(0)
            if self._waiting:
                pieces += self._waiting[0][1]
                self._waiting[0][1].clear()
        return pieces


def fold(events: Iterable[Event]) -> str:
    """The text of the answer, from its events in any order of the branches.

    Raises:
        ValueError: a piece does not begin where its branch or trunk ends.
    """
    stretches: list[tuple[str | None, list[str]]] = []  # in reading order
    lengths: dict[str | None, int] = {}
    for event in events:
        if isinstance(event, Fork):
            stretches += [(branch_name(event.block, n), []) for n in range(1, len(event.titles) + 1)]
        elif isinstance(event, Text):
            if event.offset != lengths.get(event.branch, 0):
                raise ValueError(
                    f"text at offset {event.offset} of branch {event.branch} leaves a gap or overlaps"
                )
            lengths[event.branch] = event.offset + len(event.text)
            if event.branch is None:
                if not stretches or stretches[-1][0] is not None:
                    stretches.append((None, []))
                stretches[-1][1].append(event.text)
            else:
                next(pieces for name, pieces in stretches if name == event.branch).append(event.text)
    return "".join("".join(pieces) for _, pieces in stretches)
