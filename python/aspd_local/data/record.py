"""One finished example as a line of JSON, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from aspd_local.chat import Message
from aspd_local.data.config import Config
from aspd_local.data.example import BlockText, BranchText, Example, Segment, TrunkText, plain_text

Split = Literal["train", "valid", "test"]
Outcome = Literal["kept", "accepted", "covered", "rejected"]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What became of a run.

    Attributes:
        outcome: kept; accepted but another choice has more in branches; covered by an accepted run; rejected.
        kind, n_branches, begin: of the run; begin is None where extraction refused it.
        stage, reason, evidence: of a rejection.
    """

    outcome: Outcome
    kind: str = ""
    n_branches: int = 0
    begin: int | None = None
    stage: str = ""
    reason: str = ""
    evidence: str = ""


@dataclass(frozen=True, kw_only=True)
class BlockCounts:
    """Lengths of a block's branches and of their titles, [n_branches] each."""

    branches: tuple[int, ...]
    titles: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Lengths of an answer. unit: tokens of the scorer, or words. total: of trunk and branches."""

    unit: str
    total: int
    blocks: tuple[BlockCounts, ...]


@dataclass(frozen=True, kw_only=True)
class Record:
    """A finished example. scores: by run, rounded, for people and reports. cut: as Example has it."""

    prompt: str | None
    messages: tuple[Message, ...]
    answer: str
    structure: tuple[Segment, ...]
    counts: Counts
    decisions: tuple[Decision, ...] = ()
    scores: tuple[Mapping[str, Any], ...] = ()
    split: Split = "train"
    pipeline: Mapping[str, Any] = field(default_factory=dict)
    cut: bool = False

    @property
    def blocks(self) -> tuple[BlockText, ...]:
        return tuple(segment for segment in self.structure if isinstance(segment, BlockText))

    @property
    def question(self) -> str:
        """The text of the last turn before the answer."""
        return self.messages[-1]["content"]


def split_of(example: Example, config: Config) -> Split:
    """The split of an example: by the hash of its prompt and the seed, so equal prompts stay together."""
    digest = sha256(b"%d\0" % config.seed + example.prompt_key()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    if share < config.valid:
        return "valid"
    return "test" if share < config.valid + config.test else "train"


def to_line(record: Record) -> bytes:
    """The record as one line of UTF-8.

    Raises: ValueError when its structure is not the answer: that is never written.
    """
    if plain_text(record.structure) != record.answer:
        raise ValueError("the structure is not the answer")
    fields: dict[str, Any] = {}
    if record.prompt is not None:
        fields["prompt"] = record.prompt
    else:
        fields["messages"] = [{"role": turn["role"], "content": turn["content"]} for turn in record.messages]
    fields["answer"] = record.answer
    if record.cut:
        fields["cut"] = True
    fields["structure"] = [_segment(segment) for segment in record.structure]
    fields["counts"] = {
        "unit": record.counts.unit,
        "total": record.counts.total,
        "blocks": [{"branches": each.branches, "titles": each.titles} for each in record.counts.blocks],
    }
    fields["scores"] = list(record.scores)
    fields["decisions"] = [_decision(decision) for decision in record.decisions]
    fields["split"] = record.split
    fields["pipeline"] = dict(record.pipeline)
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def from_line(line: bytes | str) -> Record:
    """The record of a line. Raises: ValueError for anything else."""
    try:
        fields = json.loads(line)
        prompt = fields.get("prompt")
        turns = fields.get("messages") or [{"role": "user", "content": prompt}]
        messages: list[Message] = [
            {"role": str(turn["role"]), "content": str(turn["content"])} for turn in turns
        ]
        record = Record(
            prompt=prompt,
            messages=tuple(messages),
            answer=fields["answer"],
            structure=tuple(_read_segment(segment) for segment in fields["structure"]),
            counts=_read_counts(fields["counts"]),
            decisions=tuple(Decision(**decision) for decision in fields["decisions"]),
            scores=tuple(fields["scores"]),
            split=fields["split"],
            pipeline=fields["pipeline"],
            cut=fields.get("cut") is True,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no line of `aspd data build`: {error}") from None
    if plain_text(record.structure) != record.answer:
        raise ValueError("no line of `aspd data build`: the structure is not the answer")
    return record


def _segment(segment: Segment) -> dict[str, Any]:
    if isinstance(segment, TrunkText):
        return {"type": "trunk", "text": segment.text}
    branches = [{"title": branch.title, "text": branch.text} for branch in segment.branches]
    return {"type": "block", "branches": branches}


def _read_segment(fields: Mapping[str, Any]) -> Segment:
    if fields["type"] == "trunk":
        return TrunkText(text=fields["text"])
    if fields["type"] != "block":
        raise ValueError(f"unknown segment {fields['type']!r}")
    branches = fields["branches"]
    return BlockText(branches=tuple(BranchText(title=each["title"], text=each["text"]) for each in branches))


def _decision(decision: Decision) -> dict[str, Any]:
    """Only what is said: most fields of most decisions are empty."""
    found: dict[str, Any] = {"outcome": decision.outcome}
    for name in ("kind", "n_branches", "begin", "stage", "reason", "evidence"):
        if (value := getattr(decision, name)) not in ("", 0, None) or (name == "begin" and value == 0):
            found[name] = value
    return found


def _read_counts(fields: Mapping[str, Any]) -> Counts:
    blocks: Sequence[Mapping[str, Any]] = fields["blocks"]
    return Counts(
        unit=fields["unit"],
        total=fields["total"],
        blocks=tuple(
            BlockCounts(branches=tuple(each["branches"]), titles=tuple(each["titles"])) for each in blocks
        ),
    )
