"""The stages one after another, for one example: extract, lexical, likelihood, judge, select.

A pure function of the example, the configuration, the pool of foreign siblings and what scorer and judge
say; so it runs the same in a loop, in worker processes or under Ray Data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from aspd_local.data import lexical
from aspd_local.data.config import Config
from aspd_local.data.example import BadLine, Example, Rejection, Run, structure
from aspd_local.data.extract import extract
from aspd_local.data.foreign import Stranger, siblings_for
from aspd_local.data.likelihood import Dependence, decide, dependence
from aspd_local.data.read import read_line
from aspd_local.data.record import BlockCounts, Counts, Decision, Record, split_of
from aspd_local.data.scoring import Scorer
from aspd_local.data.select import Weight, select


class Judge(Protocol):
    """What votes on blocks; the pipeline knows no more of an endpoint."""

    def independent(self, example: Example, run: Run) -> Rejection | None:
        """None where all votes call the parts independent."""
        ...

    def same(self, example: Example, runs: Sequence[Run]) -> Rejection | None:
        """None where all votes find the structure well-formed and the answer unchanged."""
        ...


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An example after the stages that need no model.

    Attributes:
        runs: those that nothing speaks against yet, the longest first.
        decisions: on all others.
    """

    example: Example
    runs: tuple[Run, ...]
    decisions: tuple[Decision, ...]


def prepare(example: Example, config: Config) -> Prepared:
    """Extraction and lexical test."""
    found, refused = extract(example.answer, config, cut=example.cut)
    decisions = [_rejected(None, rejection) for rejection in refused]
    runs: list[Run] = []
    for run in found:
        rejection = _references(example, run) if config.lexical else None
        if rejection is None:
            runs.append(run)
        else:
            decisions.append(_rejected(run, rejection))
    runs.sort(key=lambda run: (run.begin - run.end, run.begin))
    return Prepared(example=example, runs=tuple(runs), decisions=tuple(decisions))


def prepare_line(line: bytes | str, number: int, config: Config) -> Prepared | BadLine:
    """read_line() and prepare() in one: what a worker process does."""
    found = read_line(line, number)
    return found if isinstance(found, BadLine) else prepare(found, config)


def finish(
    prepared: Prepared,
    config: Config,
    *,
    scorer: Scorer | None = None,
    pool: Sequence[Stranger] = (),
    judge: Judge | None = None,
) -> Record:
    """Likelihood test, judge and selection: the finished example, with or without blocks.

    Raises: as Scorer.score and the judge.
    """
    example = prepared.example
    state = _State(example=example, config=config, decisions=list(prepared.decisions))
    for run in prepared.runs:
        if any(other.begin <= run.begin and run.end <= other.end for other in state.accepted):
            state.decisions.append(_decision("covered", run))
            continue
        rejection = state.test(run, scorer, pool)
        if rejection is None and judge is not None:
            rejection = judge.independent(example, run)
        if rejection is None:
            state.accepted.append(run)
        else:
            state.decisions.append(_rejected(run, rejection))
    return state.record(scorer, judge)


@dataclass
class _State:
    """What is known of an example while its runs are tested."""

    example: Example
    config: Config
    decisions: list[Decision]
    accepted: list[Run] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)

    def test(self, run: Run, scorer: Scorer | None, pool: Sequence[Stranger]) -> Rejection | None:
        """The likelihood test of a run; None where it passes or there is no scorer."""
        if scorer is None or self.config.thresholds is None:
            return None
        foreign = siblings_for(pool, self.example, run, self.config.seed)
        limits = {"max_tokens": self.config.max_tokens, "tail_tokens": self.config.tail_tokens}
        scored = scorer.score(self.example, run, foreign, **limits)
        if scored is None:
            return Rejection(stage="likelihood", reason="too long to score")
        found = dependence(scored)
        self.scores.append({"begin": run.begin, **_rounded(found)})
        return decide(found, self.config.thresholds)

    def record(self, scorer: Scorer | None, judge: Judge | None) -> Record:
        """Selects among the accepted runs and puts the record together."""
        answer = self.example.answer
        runs = sorted(self.accepted, key=lambda run: run.begin)
        lengths = [tuple(_count(text, scorer) for text in run.texts(answer)) for run in runs]
        weights = [
            Weight(begin=run.begin, end=run.end, lengths=each)
            for run, each in zip(runs, lengths, strict=True)
        ]
        chosen = select(weights)
        refused = None
        if chosen and judge is not None:
            refused = judge.same(self.example, [runs[i] for i in chosen])
        for i, run in enumerate(runs):
            if i not in chosen:
                self.decisions.append(_decision("accepted", run))
            else:
                self.decisions.append(_decision("kept", run) if refused is None else _rejected(run, refused))
        kept = [] if refused is not None else chosen
        blocks = tuple(
            BlockCounts(branches=lengths[i], titles=tuple(_count(title, scorer) for title in runs[i].titles))
            for i in kept
        )
        segments = structure(answer, [runs[i] for i in kept])
        serial = sum(_count(segment.text, scorer) for segment in segments if hasattr(segment, "text"))
        in_branches = sum(sum(block.branches) for block in blocks)
        unit = "words" if scorer is None else "tokens"
        return Record(
            prompt=self.example.prompt,
            messages=self.example.messages,
            answer=answer,
            structure=segments,
            counts=Counts(unit=unit, total=serial + in_branches, blocks=blocks),
            decisions=tuple(sorted(self.decisions, key=_place)),
            scores=tuple(self.scores),
            split=split_of(self.example, self.config),
            pipeline=self.config.to_dict(),
            cut=self.example.cut,
        )


def _references(example: Example, run: Run) -> Rejection | None:
    before = f"{example.question}\n\n{example.answer[: run.begin]}"
    references = lexical.find_references(before, run.texts(example.answer), run.titles, run.kind)
    if not references:
        return None
    first = references[0]
    return Rejection(stage=lexical.STAGE, reason=first.reason, evidence=f"{first.branch}: {first.evidence}")


def _count(text: str, scorer: Scorer | None) -> int:
    return len(text.split()) if scorer is None else scorer.count(text)


def _decision(outcome: Any, run: Run) -> Decision:
    return Decision(outcome=outcome, kind=run.kind, n_branches=len(run.spans), begin=run.begin)


def _rejected(run: Run | None, rejection: Rejection) -> Decision:
    decision = Decision(outcome="rejected") if run is None else _decision("rejected", run)
    return replace(decision, stage=rejection.stage, reason=rejection.reason, evidence=rejection.evidence)


def _place(decision: Decision) -> tuple[int, str, int]:
    return (-1 if decision.begin is None else decision.begin, decision.kind, decision.n_branches)


def _rounded(found: Dependence) -> dict[str, float | None]:
    return {
        "gain": round(found.gain, 4),
        "uncontrolled": round(found.uncontrolled, 4),
        "mean_gain": round(found.mean_gain, 4),
        "join": None if found.join is None else round(found.join, 4),
    }
