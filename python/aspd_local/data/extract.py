"""Runs of sibling parts in an answer: lists, headings, bold lead-ins, ordinals, labels, questions, tables.

Text is never changed: a run is where the answer could be cut. What the parts say is not looked at here.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import attrgetter

from aspd_local.data.config import Config
from aspd_local.data.example import Kind, Rejection, Run, Span
from aspd_local.data.markdown import Node, parse, protected
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
    kept: dict[tuple[Span, ...], Run] = {}
    rejected: list[Rejection] = []
    never_split = protected(answer, nodes)
    for kind, spans in sibling_groups(answer, nodes):
        found = _run(answer, kind, spans, never_split, config, cut=cut)
        if isinstance(found, Rejection):
            rejected.append(found)
        else:
            kept.setdefault(found.spans, found)
    return sorted(kept.values(), key=lambda run: (run.begin, -run.end)), rejected


def _run(
    answer: str, kind: Kind, spans: Sequence[Span], never_split: Sequence[Span], config: Config, *, cut: bool
) -> Run | Rejection:
    def no(reason: str, evidence: str = "") -> Rejection:
        return Rejection(stage=STAGE, reason=reason, evidence=evidence)

    if len(spans) < config.min_branches:
        return no("too few parts", f"{len(spans)} {kind}")
    if len(spans) > config.max_branches:
        return no("too many parts", f"{len(spans)} {kind}")
    texts = [answer[begin:end] for begin, end in spans]
    lengths = [len(text.split()) for text in texts]
    if min(lengths) < config.min_words:
        return no("a short part", first_of(texts[lengths.index(min(lengths))]))
    if max(lengths) * len(lengths) > config.max_longest * sum(lengths):
        return no("one part is most of it")
    if any(begin < edge < end for begin, end in never_split for edge in (*map(_begin, spans), spans[-1][1])):
        return no("would split code, a quote or a formula")
    if _is_cut(answer, spans, texts, cut=cut):
        return no("the last part is cut off", first_of(texts[-1]))
    found = titles(texts)
    if found is None:
        return no("no different titles", first_of(texts[0]))
    return Run(kind=kind, spans=tuple(spans), titles=found)


def _is_cut(answer: str, spans: Sequence[Span], texts: Sequence[str], *, cut: bool) -> bool:
    """Whether the answer ends inside the last part."""
    if answer[spans[-1][1] :].strip():
        return False
    ends = [_SENTENCE_END.search(text.rstrip()) is not None for text in texts]
    return cut or (all(ends[:-1]) and not ends[-1])


def _begin(span: Span) -> int:
    return span[0]


def first_of(text: str, most: int = 60) -> str:
    """The beginning of a text in one line, for a person."""
    return " ".join(text.split())[:most]
