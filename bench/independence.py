"""How well do the tests of `aspd data build` tell dependent from independent blocks?

Scores the planted cases (tests/data/planted.jsonl) with a model, fits the thresholds and prints: the ROC AUC
of the likelihood test with and without the control by foreign siblings; precision and recall of "independent"
for the lexical stage, the likelihood test and both together, with thresholds fitted on all cases, and for
families that the fit has not seen: each with a fit on all others, and halves of the families drawn at random,
one to fit on and one to judge.

    python bench/independence.py MODEL [--seconds 120] [--cases N] [--scores FILE] [--threads 1]

Token scores are kept in FILE (default: scores-MODEL.jsonl): a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aspd_local import Model
from aspd_local.data import Config, Example, Run, Thresholds, extract, read_line
from aspd_local.data.foreign import draw, siblings_for, stranger
from aspd_local.data.lexical import find_references
from aspd_local.data.likelihood import Dependence, decide, dependence
from aspd_local.data.scoring import BlockScores, BranchScores, ModelScorer

PLANTED = Path(__file__).parents[1] / "tests" / "data" / "planted.jsonl"
CONFIG = Config()
Rule = Callable[["Case"], bool]


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A case as it is committed, with its only run."""

    example: Example
    run: Run
    dependent: bool
    family: str

    def references(self) -> bool:
        """Whether the lexical stage refuses it."""
        before = f"{self.example.question}\n\n{self.example.answer[: self.run.begin]}"
        return bool(
            find_references(before, self.run.texts(self.example.answer), self.run.titles, self.run.kind)
        )


@dataclass(frozen=True, kw_only=True)
class Case:
    """A case with what the stages found. lexical: the words speak against it."""

    family: str
    dependent: bool
    lexical: bool
    found: Dependence


def read_planted() -> list[Planted]:
    """All cases."""
    cases = []
    for line in PLANTED.read_text(encoding="utf-8").splitlines():
        example, fields = read_line(line), json.loads(line)
        if not isinstance(example, Example):
            raise TypeError("a planted case is no example")
        (run,) = extract(example.answer, CONFIG)[0]
        dependent = fields["label"] == "dependent"
        cases.append(Planted(example=example, run=run, dependent=dependent, family=fields["family"]))
    return cases


def score(planted: Sequence[Planted], kept: Path, args: argparse.Namespace) -> None:
    """Scores cases that are not in the file yet, for so many seconds."""
    done = len(kept.read_text().splitlines()) if kept.exists() else 0
    left = planted[done : args.cases]
    if not left:
        return
    pool = draw(stranger(case.example, case.run, CONFIG.seed) for case in planted)
    room = {"n_ctx": 4 * CONFIG.max_tokens, "n_outputs_max": 256, "n_requests": 1, "n_retained": 0}
    threads = {"n_threads": args.threads, "n_threads_batch": args.threads}
    start = time.monotonic()
    with Model(args.model, **room, **threads) as model, kept.open("a") as file:  # type: ignore[arg-type]
        scorer = ModelScorer(model)
        for case in left:
            if time.monotonic() - start > args.seconds:
                return
            foreign = siblings_for(pool, case.example, case.run, CONFIG.seed)
            scores = scorer.score(case.example, case.run, foreign, max_tokens=1536, tail_tokens=64)
            if scores is None:
                raise ValueError("a planted case is too long")
            file.write(json.dumps(as_row(scores)) + "\n")
            file.flush()


def as_row(scores: BlockScores) -> dict[str, Any]:
    """The scores of a block as they are kept."""

    def short(nats: Sequence[float]) -> list[float]:
        return [round(value, 4) for value in nats]

    return {
        "branches": [
            {
                "words": b.words,
                "alone": short(b.alone),
                "true": short(b.true),
                "foreign": short(b.foreign),
            }
            for b in scores.branches
        ],
        "tail_serial": short(scores.tail_serial),
        "tail_joined": short(scores.tail_joined),
    }


def from_row(row: dict[str, Any]) -> BlockScores:
    """The scores of a row."""
    return BlockScores(
        branches=tuple(BranchScores(**branch) for branch in row["branches"]),
        tail_serial=tuple(row["tail_serial"]),
        tail_joined=tuple(row["tail_joined"]),
        n_tokens=0,
    )


# --- what they are worth --------------------------------------------------------------------------


def auc(cases: Sequence[Case], measure: Callable[[Dependence], float]) -> float:
    """Area under the ROC curve: how often a dependent case measures more than an independent one."""
    high = [measure(case.found) for case in cases if case.dependent]
    low = [measure(case.found) for case in cases if not case.dependent]
    return sum((a > b) + 0.5 * (a == b) for a in high for b in low) / (len(high) * len(low))


def precision_recall(cases: Sequence[Case], accepts: Rule) -> tuple[float, float]:
    """Of "independent"."""
    taken = [case for case in cases if accepts(case)]
    right = sum(not case.dependent for case in taken)
    return right / max(1, len(taken)), right / sum(not case.dependent for case in cases)


def likelihood(thresholds: Thresholds) -> Rule:
    """The likelihood test."""
    return lambda case: decide(case.found, thresholds) is None


def both(thresholds: Thresholds) -> Rule:
    """The lexical stage and the likelihood test."""
    return lambda case: not case.lexical and decide(case.found, thresholds) is None


def fit(cases: Sequence[Case]) -> Thresholds:
    """As strict as can be: 90 of 100 independent cases stay below the gain, 95 of 100 below the join.

    So it is independent cases that decide, and what the thresholds let through of the others is measured: a
    block that is refused costs an example, one that is kept wrongly spoils one.
    """
    independent = [case.found for case in cases if not case.dependent]
    joins = [found.join for found in independent if found.join is not None]
    return Thresholds(
        scorer="",
        gain=round(below([found.gain for found in independent], 0.9), 2),
        join=round(below(joins, 0.95), 2) if joins else 0.0,
    )


def below(values: Sequence[float], share: float) -> float:
    """The value that so many stay below or at."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def folds(cases: Sequence[Case]) -> Iterator[tuple[list[Case], list[Case]]]:
    """Every family with all others: (others, its own)."""
    for family in sorted({case.family for case in cases}):
        yield [case for case in cases if case.family != family], [c for c in cases if c.family == family]


def halves(cases: Sequence[Case], n_draws: int = 50) -> Iterator[tuple[list[Case], list[Case]]]:
    """Families of both labels halved at random: (one half, the other)."""
    draw = random.Random(0)
    by_label = [sorted({case.family for case in cases if case.dependent is label}) for label in (True, False)]
    for _ in range(n_draws):
        chosen = {family for names in by_label for family in draw.sample(names, len(names) // 2)}
        yield [case for case in cases if case.family in chosen], [c for c in cases if c.family not in chosen]


def tell_unseen(cases: Sequence[Case]) -> None:
    """Prints what thresholds are worth on families that they were not fitted on."""
    stages = {"likelihood": likelihood, "both": both}
    accepted: dict[str, list[Case]] = {name: [] for name in stages}
    for others, own in folds(cases):
        thresholds = fit(others)
        for name, stage in stages.items():
            accepted[name] += filter(stage(thresholds), own)
    n_independent = sum(not case.dependent for case in cases)
    for name, taken in accepted.items():
        right = sum(not case.dependent for case in taken)
        print(
            f"{name:10} fitted on all other families: precision {right / max(1, len(taken)):.3f}, "
            f"recall {right / n_independent:.3f}"
        )
    drawn = [precision_recall(judged, both(fit(seen))) for seen, judged in halves(cases)]
    for name, values in zip(("precision", "recall"), zip(*drawn, strict=True), strict=True):
        low, *_, high = sorted(values)
        print(
            f"both       fitted on half of the families: {name} on the others, mean of {len(drawn)} draws "
            f"{statistics.fmean(values):.3f}, from {low:.3f} to {high:.3f}"
        )


def tell(cases: Sequence[Case]) -> None:
    """Prints everything."""
    n_dependent = sum(case.dependent for case in cases)
    print(f"{n_dependent} dependent, {len(cases) - n_dependent} independent cases")
    print(f"ROC AUC of the gain, with the foreign siblings: {auc(cases, lambda found: found.gain):.3f}")
    print(
        f"                  without (against alone only): {auc(cases, lambda found: found.uncontrolled):.3f}"
    )
    print(f"     mean over all tokens, against foreign only: {auc(cases, lambda found: found.mean_gain):.3f}")
    thresholds = fit(cases)
    rules: dict[str, Rule] = {
        "lexical": lambda case: not case.lexical,
        "likelihood": likelihood(thresholds),
        "both": both(thresholds),
    }
    print(f"thresholds: gain {thresholds.gain:.2f}, join {thresholds.join:.2f}")
    for name, rule in rules.items():
        print("{:10} precision {:.3f}, recall {:.3f}".format(name, *precision_recall(cases, rule)))
    tell_unseen(cases)
    print("gain by family, mean (accepted by both / cases):")
    for family in sorted({case.family for case in cases}):
        own = [case for case in cases if case.family == family]
        mean = sum(case.found.gain for case in own) / len(own)
        label = "dependent" if own[0].dependent else "independent"
        print(f"  {label:11} {family:14} {mean:5.2f}  {sum(map(both(thresholds), own))} / {len(own)}")


def main() -> None:
    """Scores what is not scored yet, then tells."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--cases", type=int, default=None)
    parser.add_argument("--scores", type=Path, default=None)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    kept: Path = args.scores or Path(f"scores-{Path(args.model).stem}.jsonl")
    planted = read_planted()
    score(planted, kept, args)
    rows = [json.loads(line) for line in kept.read_text().splitlines()]
    cases = [
        Case(
            family=case.family,
            dependent=case.dependent,
            lexical=case.references(),
            found=dependence(from_row(row)),
        )
        for case, row in zip(planted, rows, strict=False)
    ]
    tell(cases)


if __name__ == "__main__":
    main()
