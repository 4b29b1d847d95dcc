"""Serial and parallel answers side by side for a judge who must not know which is which.

    python bench/blind_pairs.py make DIR OUT [--seed N] [--per-file K] [--protocol auto]
    python bench/blind_pairs.py tally OUT

make: takes the questions of bench/as_met.py whose answer forked and differs from the serial one, and writes
OUT/pairs-NN.md, each with K pairs and the judge's instructions. Each pair stands in two files, with the sides
swapped. Which answer is which stands in OUT/key.json alone. tally: reads OUT/verdicts-NN.jsonl.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import as_met_summary
import comparison
from as_met_summary import Pair

from aspd_local.eval.bootstrap import Estimate, estimate

Side = Literal["serial", "parallel"]
Letter = Literal["a", "b"]

KEY = "key.json"
_INSTRUCTIONS = """\
# Which answer is better?

Each pair below is a question and two answers to it, A and B. Read them as a careful person would who has
asked this question and wants to use the answer. Judge in this order:

1. Is what it says correct?
2. Does it give all that was asked for, and in the form that was asked for?
3. Is it coherent: do its parts fit together, without contradiction, in a sensible order?
4. Does it repeat itself? Count whole items or sentences that say the same again.
5. Is it in the language of the question throughout?
6. Does it begin and end as an answer should: no needless preamble, not cut off, no loose end?

Length alone is no merit: more text is better only where it says more that is right and was asked for. The
place of an answer says nothing about it, and pairs have nothing to do with each other. Say "tie" where you
would not care which of the two you get.

Score each answer from 0 (useless) to 10 (nothing to wish for) and give a verdict with one sentence of reason.
Write one JSON line for each pair, and nothing else, to the file {verdicts} beside this one:

{{"pair": "0000", "a": 7, "b": 5, "verdict": "A", "why": "One sentence."}}

"pair" is the pair's number, "a" and "b" are scores from 0 to 10, "verdict" is "A", "B" or "tie". The
{n_pairs} pairs of this file: {names}.
"""
_PAIR = """
==================== Pair {name} ====================

-------------------- Question --------------------

{question}

-------------------- Answer A --------------------

{a}

-------------------- Answer B --------------------

{b}

==================== End of pair {name} ====================
"""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Where a pair stands, and what its sides are.

    Attributes:
        question: the question's id. protocol: of the parallel side.
        a, b: whose answer is called so.
        file: number of the file, from 1.
    """

    question: str
    protocol: str
    a: Side
    b: Side
    file: int


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A verdict with the sides known.

    Attributes:
        points: of the parallel answer: 1 for a win, 0.5 for a tie, 0 for a loss.
        serial, parallel: scores, 0 to 10.
        why: the judge's reason, with the letters of its file. parallel_letter: what the parallel answer was
            called there.
    """

    points: float
    serial: float
    parallel: float
    why: str
    parallel_letter: str


# --- writing -------------------------------------------------------------------------------------------


def arrange(found: Sequence[Pair], *, seed: int, per_file: int) -> dict[str, tuple[Entry, Pair]]:
    """Each pair twice, in the order of the files: names that tell nothing, entries, and the pairs."""
    rng = random.Random(seed)
    names = iter(rng.sample([f"{number:04}" for number in range(10_000)], 2 * len(found)))
    parallel_is_a = {id(pair): rng.random() < 0.5 for pair in found}
    n_files = -(-len(found) // per_file)
    arranged = {}
    for turn in (0, 1):  # the second time in files of their own, in another order
        for at, pair in enumerate(rng.sample(found, len(found))):
            a: Side = "parallel" if parallel_is_a[id(pair)] != bool(turn) else "serial"
            entry = Entry(
                question=pair.serial["id"],
                protocol=pair.other["asked"],
                a=a,
                b="serial" if a == "parallel" else "parallel",
                file=turn * n_files + at // per_file + 1,
            )
            arranged[next(names)] = (entry, pair)
    return arranged


def make(folder: Path, out: Path, *, protocol: str = "auto", seed: int = 0, per_file: int = 10) -> int:
    """Writes the files and the key; the number of different pairs.

    Raises:
        ValueError: there is nothing to judge, or OUT holds pairs already.
    """
    if (out / KEY).exists():
        raise ValueError(f"{out} holds pairs already; name another folder")
    answers = as_met_summary.read([folder]).get(protocol, [])
    found = [pair for pair in answers if pair.forked and pair.serial["text"] != pair.other["text"]]
    if not found:
        raise ValueError(f"{folder}: no answer of {protocol!r} forked and differs from the serial one")
    arranged = arrange(found, seed=seed, per_file=per_file)
    out.mkdir(parents=True, exist_ok=True)
    for number in sorted({entry.file for entry, _ in arranged.values()}):
        here = {name: both for name, both in arranged.items() if both[0].file == number}
        (out / f"pairs-{number:02}.md").write_text(judging_file(number, here), encoding="utf-8")
    key = {name: asdict(entry) for name, (entry, _) in arranged.items()}
    (out / KEY).write_text(json.dumps(key, indent=1) + "\n", encoding="utf-8")
    return len(found)


def judging_file(number: int, here: dict[str, tuple[Entry, Pair]]) -> str:
    """What a judge reads."""
    head = _INSTRUCTIONS.format(
        verdicts=f"verdicts-{number:02}.jsonl", n_pairs=len(here), names=", ".join(here)
    )
    told = [
        _PAIR.format(
            name=name,
            question=pair.serial["question"],
            a=_text(pair, entry.a),
            b=_text(pair, entry.b),
        )
        for name, (entry, pair) in here.items()
    ]
    return head + "".join(told)


def _text(pair: Pair, side: Side) -> str:
    row = pair.serial if side == "serial" else pair.other
    return str(row["text"]).strip()


# --- counting ------------------------------------------------------------------------------------------


def read_key(out: Path) -> dict[str, Entry]:
    """The key of a folder. Raises OSError."""
    key = json.loads((out / KEY).read_text(encoding="utf-8"))
    return {name: Entry(**entry) for name, entry in key.items()}


def read_verdicts(out: Path, key: dict[str, Entry]) -> dict[str, Judgement]:
    """The judgements by the pair's name. Raises ValueError with file and line for one that is none."""
    found: dict[str, Judgement] = {}
    for path in sorted(out.glob("verdicts-*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                name = str(row["pair"])
                if name in found:
                    raise ValueError(f"pair {name} is judged twice")
                found[name] = _judgement(row, key[name])
            except (KeyError, TypeError, ValueError) as error:
                what = f"no such field or pair: {error}" if isinstance(error, KeyError) else str(error)
                raise ValueError(f"{path}:{number}: {what}") from error
    return found


def _judgement(row: dict[str, Any], entry: Entry) -> Judgement:
    verdict, scores = str(row["verdict"]).lower(), {"a": float(row["a"]), "b": float(row["b"])}
    if verdict not in ("a", "b", "tie"):
        raise ValueError(f"the verdict must be A, B or tie, not {row['verdict']!r}")
    if not all(0 <= score <= 10 for score in scores.values()):
        raise ValueError(f"scores must be between 0 and 10: {row['a']}, {row['b']}")
    parallel: Letter = "a" if entry.a == "parallel" else "b"
    serial: Letter = "b" if parallel == "a" else "a"
    return Judgement(
        points=0.5 if verdict == "tie" else float(verdict == parallel),
        serial=scores[serial],
        parallel=scores[parallel],
        why=str(row["why"]),
        parallel_letter=parallel.upper(),
    )


def tally(out: Path) -> dict[str, Any]:
    """What the verdicts amount to; JSON values. Raises ValueError where there are none."""
    key = read_key(out)
    judged = read_verdicts(out, key)
    if not judged:
        raise ValueError(f"{out}: no verdicts")
    by_question: dict[str, list[Judgement]] = {}
    for name, judgement in judged.items():
        by_question.setdefault(key[name].question, []).append(judgement)
    points = [judgement.points for judgement in judged.values()]
    both = [each for each in by_question.values() if len(each) == 2]
    lost = {
        question: [f"parallel was {j.parallel_letter}: {j.why}" for j in each if j.points == 0]
        for question, each in by_question.items()
        if any(j.points == 0 for j in each)
    }
    return {
        "questions": len(by_question),
        "verdicts": len(judged),
        "missing": len(key) - len(judged),
        "wins": points.count(1.0),
        "ties": points.count(0.5),
        "losses": points.count(0.0),
        "preferred": _json(estimate([_mean([j.points for j in each]) for each in by_question.values()])),
        "score_serial": _json(estimate([_mean([j.serial for j in each]) for each in by_question.values()])),
        "score_parallel": _json(
            estimate([_mean([j.parallel for j in each]) for each in by_question.values()])
        ),
        "judged_both_ways": len(both),
        "agreement": _mean([float(one.points == two.points) for one, two in both]) if both else None,
        "lost": lost,
        "lost_both_ways": [question for question, reasons in lost.items() if len(reasons) == 2],
    }


def lines(told: dict[str, Any]) -> list[str]:
    """The tally for a person."""
    preferred = told["preferred"]
    percent = ", ".join(f"{100 * preferred[each]:.1f}" for each in ("low", "high"))
    found = [
        f"{told['verdicts']} verdicts on {told['questions']} questions, {told['missing']} missing",
        f"parallel: {told['wins']} wins, {told['ties']} ties, {told['losses']} losses",
        f"parallel preferred (a tie is half): {100 * preferred['value']:.1f} % [{percent}]",
    ]
    for side in ("serial", "parallel"):
        score = told[f"score_{side}"]
        found.append(f"mean score {side}: {score['value']:.2f} [{score['low']:.2f}, {score['high']:.2f}]")
    if told["agreement"] is not None:
        found.append(
            f"both orders agree: {100 * told['agreement']:.0f} % of {told['judged_both_ways']} questions"
        )
    found += ["", f"lost: {len(told['lost'])}, of which both ways: {len(told['lost_both_ways'])}"]
    for question, reasons in told["lost"].items():
        found += [f"  {question}: {reason}" for reason in reasons]
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _json(found: Estimate | None) -> dict[str, float] | None:
    return None if found is None else found.to_json()


def main() -> None:
    """Makes files for judges, or counts what they wrote."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="write the pairs")
    making.add_argument("folder", type=Path, metavar="DIR", help="of bench/as_met.py")
    making.add_argument("out", type=Path, metavar="OUT")
    making.add_argument("--seed", type=int, default=0)
    making.add_argument("--per-file", type=comparison.count, default=10)
    making.add_argument("--protocol", default="auto", help="the side that is compared with serial")
    tallying = commands.add_parser("tally", help="count the verdicts")
    tallying.add_argument("out", type=Path, metavar="OUT")
    tallying.add_argument("--json", action="store_true", help="one JSON object on stdout")
    args = parser.parse_args()
    if args.command == "tally":
        told = tally(args.out)
        comparison.emit(told, lines(told), as_json=args.json)
        return
    n_pairs = make(args.folder, args.out, protocol=args.protocol, seed=args.seed, per_file=args.per_file)
    print(f"{n_pairs} pairs, each twice, in {args.out}")


if __name__ == "__main__":
    sys.exit(comparison.guarded(main))
