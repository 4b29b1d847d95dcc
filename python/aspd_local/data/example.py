"""What the stages hand on: an answer with its prompt, the runs in it, the structure chosen. Plain data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from json import dumps
from typing import Literal, TypeAlias

from aspd_local.chat import Message

Kind = Literal["numbered", "bulleted", "headings", "bold", "ordinal", "label", "question", "lead", "table"]
Span: TypeAlias = tuple[int, int]  # [begin, end) in an answer, in code points


@dataclass(frozen=True, kw_only=True)
class Example:
    """One prompt and the ordinary answer to it.

    Attributes:
        number: its line in the file, from 1.
        prompt: the question, where the line had a `prompt`; else None.
        messages: the turns before the answer, as chat() takes them; for a prompt, the one turn.
        answer: the text, never changed.
        cut: the answer ended at a limit of tokens, not where its writer wanted.
    """

    number: int
    prompt: str | None
    messages: tuple[Message, ...]
    answer: str
    cut: bool = False

    def prompt_key(self) -> bytes:
        """What tells prompts apart: the hash of all turns before the answer."""
        turns = [[message["role"], message["content"]] for message in self.messages]
        return sha256(dumps(turns, ensure_ascii=False).encode()).digest()

    @property
    def question(self) -> str:
        """The text of the last turn before the answer."""
        return self.messages[-1]["content"]


@dataclass(frozen=True, kw_only=True)
class BadLine:
    """A line that holds no example. number: from 1. reason: one of few, to be counted."""

    number: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """Sibling parts that could be the branches of a block.

    Attributes:
        kind: how they were told apart.
        spans: [n_parts], ascending, each ends where the next begins.
        titles: [n_parts], all different.
    """

    kind: Kind
    spans: tuple[Span, ...]
    titles: tuple[str, ...]

    @property
    def begin(self) -> int:
        return self.spans[0][0]

    @property
    def end(self) -> int:
        return self.spans[-1][1]

    def texts(self, answer: str) -> list[str]:
        """The texts of the parts, [n_parts]."""
        return [answer[begin:end] for begin, end in self.spans]

    def overlaps(self, other: Run) -> bool:
        """Whether they share text."""
        return self.begin < other.end and other.begin < self.end


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """Why something is not kept.

    Attributes:
        stage: the stage that decided.
        reason: one of few, to be counted.
        evidence: what was found, for a person; may be empty.
    """

    stage: str
    reason: str
    evidence: str = ""


# --- structure ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class TrunkText:
    """Serial text."""

    text: str


@dataclass(frozen=True, kw_only=True)
class BranchText:
    """One independent part, its own markup included."""

    title: str
    text: str


@dataclass(frozen=True, kw_only=True)
class BlockText:
    """Parts that can be written side by side."""

    branches: tuple[BranchText, ...]


Segment: TypeAlias = TrunkText | BlockText


def structure(answer: str, runs: Iterable[Run]) -> tuple[Segment, ...]:
    """The answer as trunk and blocks: the texts of the segments, one after another, are the answer.

    Raises: ValueError when runs overlap or leave the answer.
    """
    segments: list[Segment] = []
    at = 0
    for run in sorted(runs, key=lambda run: run.begin):
        if run.begin < at or run.end > len(answer):
            raise ValueError("runs overlap or leave the answer")
        if run.begin > at:
            segments.append(TrunkText(text=answer[at : run.begin]))
        parts = zip(run.titles, run.texts(answer), strict=True)
        segments.append(
            BlockText(branches=tuple(BranchText(title=title, text=text) for title, text in parts))
        )
        at = run.end
    if at < len(answer) or not segments:
        segments.append(TrunkText(text=answer[at:]))
    return tuple(segments)


def plain_text(segments: Sequence[Segment]) -> str:
    """The text without its structure: the answer, byte for byte."""
    return "".join(
        segment.text
        if isinstance(segment, TrunkText)
        else "".join(branch.text for branch in segment.branches)
        for segment in segments
    )
