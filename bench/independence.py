"""How well do the tests of `aspd data build` tell dependent from independent blocks?

Scores the planted cases (tests/data/planted.jsonl) with a model, fits the thresholds and prints: the ROC AUC
of the likelihood test with and without the control by foreign siblings; precision and recall of "independent"
for the lexical stage, the likelihood test and both together, with thresholds fitted on all cases and, for
each family of cases, fitted on the other families.

    python bench/independence.py MODEL [--seconds 120] [--cases N] [--scores FILE] [--threads 1]

Token scores are kept in FILE (default: scores-MODEL.jsonl): a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aspd_local import Model
from aspd_local.data import Config, Example, Run, extract, read_line
from aspd_local.data.foreign import draw, siblings_for, stranger
from aspd_local.data.lexical import find_references
from aspd_local.data.likelihood import Dependence, dependence
from aspd_local.data.scoring import BlockScores, BranchScores, ModelScorer

PLANTED = Path(__file__).parents[1] / "tests" / "data" / "planted.jsonl"
CONFIG = Config()
PRECISION = 0.955  # what thresholds are fitted to, a little above the 0.95 that is wanted
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


def both(threshold: float) -> Rule:
    """The lexical stage and the likelihood test."""
    return lambda case: not case.lexical and case.found.gain <= threshold


def fit(cases: Sequence[Case]) -> float:
    """The largest threshold at which both stages together reach PRECISION; else the most precise one."""
    thresholds = sorted({round(case.found.gain, 2) for case in cases})
    precisions = {threshold: precision_recall(cases, both(threshold))[0] for threshold in thresholds}
    enough = [threshold for threshold, precision in precisions.items() if precision >= PRECISION]
    return max(enough) if enough else max(thresholds, key=lambda threshold: precisions[threshold])


def fit_join(cases: Sequence[Case]) -> float:
    """The join that 95 of 100 independent cases with a tail stay below."""
    joins = sorted(case.found.join for case in cases if not case.dependent and case.found.join is not None)
    return round(joins[int(0.95 * len(joins))], 2) if joins else 0.0


def tell(cases: Sequence[Case]) -> None:
    """Prints everything."""
    n_dependent = sum(case.dependent for case in cases)
    print(f"{n_dependent} dependent, {len(cases) - n_dependent} independent cases")
    print(f"ROC AUC of the gain, with the foreign siblings: {auc(cases, lambda found: found.gain):.3f}")
    print(
        f"                  without (against alone only): {auc(cases, lambda found: found.uncontrolled):.3f}"
    )
    print(f"     mean over all tokens, against foreign only: {auc(cases, lambda found: found.mean_gain):.3f}")
    threshold = fit(cases)
    rules: dict[str, Rule] = {
        "lexical": lambda case: not case.lexical,
        "likelihood": lambda case: case.found.gain <= threshold,
        "both": both(threshold),
    }
    print(f"thresholds: gain {threshold:.2f}, join {fit_join(cases):.2f}")
    for name, rule in rules.items():
        print("{:10} precision {:.3f}, recall {:.3f}".format(name, *precision_recall(cases, rule)))
    others = {
        family: both(fit([case for case in cases if case.family != family]))
        for family in {case.family for case in cases}
    }
    found = precision_recall(cases, lambda case: others[case.family](case))
    print("both, fitted on the other families: precision {:.3f}, recall {:.3f}".format(*found))
    print("gain by family, mean (accepted by both / cases):")
    for family in sorted({case.family for case in cases}):
        own = [case for case in cases if case.family == family]
        mean = sum(case.found.gain for case in own) / len(own)
        label = "dependent" if own[0].dependent else "independent"
        print(f"  {label:11} {family:14} {mean:5.2f}  {sum(map(both(threshold), own))} / {len(own)}")


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
