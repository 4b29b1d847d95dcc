"""Runs of sibling parts in an answer: lists, headings, bold lead-ins, ordinals, labels, questions, tables.

Text is never changed: a run is where the answer could be cut. What the parts say is not looked at here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from aspd_local.data.config import Config
from aspd_local.data.example import Kind, Rejection, Run, Span
from aspd_local.data.markdown import parse, protected
from aspd_local.data.siblings import sibling_groups
from aspd_local.data.titles import titles

STAGE = "extract"
_SENTENCE_END = re.compile(r"[.!?:;)\]}\"'`*_|…”’>~]$")  # noqa: RUF001


def extract(answer: str, config: Config, *, cut: bool = False) -> tuple[list[Run], list[Rejection]]:
    """The runs of an answer that could be blocks, by their begin, and why others could not.

    Runs may overlap: a list inside a section competes with the sections.

    Args:
        cut: the answer ended at a limit of tokens.
    """
    if "\n" not in answer.strip():
        return [], []
    nodes = parse(answer)
    checks = _Checks(answer=answer, never_split=protected(answer, nodes), config=config, cut=cut)
    kept: dict[tuple[Span, ...], Run] = {}
    rejected: list[Rejection] = []
    for kind, spans in sibling_groups(answer, nodes):
        found = checks.run(kind, spans)
        if isinstance(found, Rejection):
            rejected.append(found)
        else:
            kept.setdefault(found.spans, found)
    return sorted(kept.values(), key=lambda run: (run.begin, -run.end)), rejected


@dataclass(frozen=True, kw_only=True)
class _Checks:
    """What a group of parts must stand to be a run."""

    answer: str
    never_split: Sequence[Span]
    config: Config
    cut: bool

    def run(self, kind: Kind, spans: Sequence[Span]) -> Run | Rejection:
        """The group as a run, or why it is none."""
        texts = [self.answer[begin:end] for begin, end in spans]
        if (why := self._size(kind, texts) or self._cuts(spans, texts)) is not None:
            return why
        found = titles(texts)
        if found is None:
            return _no("no different titles", first_of(texts[0]))
        return Run(kind=kind, spans=tuple(spans), titles=found)

    def _size(self, kind: Kind, texts: Sequence[str]) -> Rejection | None:
        if len(texts) < self.config.min_branches:
            return _no("too few parts", f"{len(texts)} {kind}")
        if len(texts) > self.config.max_branches:
            return _no("too many parts", f"{len(texts)} {kind}")
        lengths = [len(text.split()) for text in texts]
        if min(lengths) < self.config.min_words:
            return _no("a short part", first_of(texts[lengths.index(min(lengths))]))
        if max(lengths) * len(lengths) > self.config.max_longest * sum(lengths):
            return _no("one part is most of it", first_of(texts[lengths.index(max(lengths))]))
        return None

    def _cuts(self, spans: Sequence[Span], texts: Sequence[str]) -> Rejection | None:
        edges = [begin for begin, _ in spans] + [spans[-1][1]]
        if any(begin < edge < end for begin, end in self.never_split for edge in edges):
            return _no("would split code, a quote or a formula")
        if _is_cut(self.answer, spans, texts, cut=self.cut):
            return _no("the last part is cut off", first_of(texts[-1]))
        return None


def _no(reason: str, evidence: str = "") -> Rejection:
    return Rejection(stage=STAGE, reason=reason, evidence=evidence)


def _is_cut(answer: str, spans: Sequence[Span], texts: Sequence[str], *, cut: bool) -> bool:
    """Whether the answer ends inside the last part."""
    if answer[spans[-1][1] :].strip():
        return False
    ends = [_SENTENCE_END.search(text.rstrip()) is not None for text in texts]
    return cut or (all(ends[:-1]) and not ends[-1])


def first_of(text: str, most: int = 60) -> str:
    """The beginning of a text in one line, for a person."""
    return " ".join(text.split())[:most]
