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
    """The trunk pauses, and the branches of a block are written at once.

    It comes again while the block is open where the block has grown: block and offset are the same, titles
    are added, nothing moves again.

    Attributes:
        block: its number, from 1.
        titles: [n_branches] of all branches so far; those that were told before do not change.
        offset: where in the trunk the block begins, in code points of the trunk's text. Text of the trunk
            from there on has become the beginning of branch 1, whose next text counts on from it. After the
            join the trunk counts on from `offset`.
    """

    block: int
    titles: tuple[str, ...]
    offset: int


@dataclass(frozen=True)
class Unfork:
    """The open block is taken back, before its branch 1 has ended.

    All text of branch 1 is the trunk's, which goes on behind it. The text of the other branches is void.
    The next block has the same number.
    """

    block: int


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


Event: TypeAlias = Text | Fork | Unfork | End | Join | Done


def branch_name(block: int, branch: int) -> str:
    """ "2.1" for branch 1 of block 2. Both count from 1."""
    return f"{block}.{branch}"


class ReadingOrder:
    """Turns events into text in reading order.

    The trunk and the earliest unfinished branch pass at once; later branches are held back until it is their
    turn. Concatenated, the pieces are the text of the answer.
    """

    def __init__(self) -> None:
        self._block: int | None = None  # the open one
        self._n_branches = 0  # of it
        self._waiting: list[tuple[str, list[Text]]] = []  # branches of the open block that are not read yet
        self._over: set[str] = set()

    def feed(self, event: Event) -> str:
        """The text that may be read now; "" if there is none."""
        return "".join(piece.text for piece in self.pieces(event))

    def pieces(self, event: Event) -> list[Text]:
        """The pieces of text that may be read now, as they came."""
        match event:
            case Fork(block, titles):
                if block != self._block:
                    self._close()
                first = self._n_branches + 1
                self._waiting += [(branch_name(block, n), []) for n in range(first, len(titles) + 1)]
                self._block, self._n_branches = block, len(titles)
            case Unfork(_):
                self._close()  # what branch 1 has said was read as it came
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
                pieces = self._advance(everything=True)
                self._close()
                return pieces
        return []

    def _close(self) -> None:
        self._block, self._n_branches = None, 0
        self._waiting.clear()
        self._over.clear()  # the next block may have the same number

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
        ValueError: a piece does not begin where its branch or trunk ends, a block not in the last stretch of
            the trunk, or a block that is not open gets text or is taken back.
    """
    folded = _Folded()
    for event in events:
        folded.take(event)
    return folded.text()


class _Folded:
    """The text of an answer so far: what is settled, then a stretch of trunk, then the open block."""

    def __init__(self) -> None:
        self._settled: list[str] = []
        self._trunk = ""  # since the last block
        self._n_trunk = 0  # code points of the trunk, all of its stretches
        self._block: int | None = None  # the open one
        self._branches: dict[str, str] = {}  # of it

    def text(self) -> str:
        return "".join([*self._settled, self._trunk, *self._branches.values()])

    def take(self, event: Event) -> None:
        match event:
            case Text(branch=None):
                self._settle()
                self._fits(event, self._n_trunk)
                self._say(event.text)
            case Text(branch=branch):
                if branch not in self._branches:
                    raise ValueError(f"text of branch {branch}, which is not open")
                self._fits(event, len(self._branches[branch]))
                self._branches[branch] += event.text
            case Fork(block, titles, offset):
                if block != self._block:
                    self._open(block, offset)
                if offset != self._n_trunk:
                    raise ValueError(f"block {block} cannot begin at offset {offset} of the trunk")
                for n in range(len(self._branches) + 1, len(titles) + 1):
                    self._branches[branch_name(block, n)] = ""
            case Unfork(block):
                if block != self._block:
                    raise ValueError(f"block {block} is taken back, which is not open")
                first = self._branches[branch_name(block, 1)]
                self._block = None
                self._branches.clear()
                self._say(first)
            case Join(_):
                self._settle()

    def _say(self, text: str) -> None:
        self._trunk += text
        self._n_trunk += len(text)

    def _open(self, block: int, offset: int) -> None:
        """Moves what the last stretch of the trunk has from the offset on into branch 1."""
        self._settle()
        n_kept = max(0, len(self._trunk) - (self._n_trunk - offset))
        moved, self._trunk = self._trunk[n_kept:], self._trunk[:n_kept]
        self._n_trunk -= len(moved)
        self._block = block
        self._branches[branch_name(block, 1)] = moved

    def _settle(self) -> None:
        """The open block is over: what comes now stands behind it."""
        if self._block is not None:
            self._settled += [self._trunk, *self._branches.values()]
            self._trunk, self._block = "", None
            self._branches.clear()

    @staticmethod
    def _fits(event: Text, length: int) -> None:
        if event.offset != length:
            raise ValueError(
                f"text at offset {event.offset} of branch {event.branch} leaves a gap or overlaps"
            )
