"""What does each choice of training change? Short runs of `aspd train`, several seeds of each.

A variant differs from `base` (LoRA, join rule sum, isolated branches, data with the likelihood test) in one
thing; `base/8` learns from an eighth of the examples, eight times as often. All read about as many tokens.
Measured on held-out answers with a block, nats a token of plain text (titles count, markers do not), in the
layout that the engine decodes: branches trained `visible` are measured isolated too. A run that was stopped
goes on; runs that are in FOLDER/results.jsonl are not repeated.

Prints a line for each variant; the gap to `serial` after so many tokens of training; the gap by how many
examples both have learnt from; and the gap in thirds of the held-out answers, by how much siblings tell the
untrained scorer of each other (`mean_gain` of the pipeline: what isolation must cost at least, if nothing is
learnt in its place).

    python bench/ablation.py SET.jsonl --into FOLDER [--unfiltered SET.jsonl] [--seeds 1,2,3]
        [--variants base,serial,base/8,serial/8] [--epochs 0.5] [--n 60]

SET.jsonl of --unfiltered: the same answers built without the likelihood test (`aspd data build --no-score`).
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import held_out
import numpy as np
from numpy.typing import NDArray

from aspd_local.data.record import Record
from aspd_local.sources import DEFAULT_BASE, resolve
from aspd_local.train import TrainConfig
from aspd_local.train.config import Branches
from aspd_local.train.verb import How, train


@dataclass(frozen=True, kw_only=True)
class Variant:
    """changes: fields of TrainConfig.

    unfiltered: learns from the data built without the likelihood test. rate: times the learning rate.
    measured: branches in the measured layout, if not as trained.
    """

    changes: dict[str, Any] = field(default_factory=dict)
    unfiltered: bool = False
    rate: float = 1.0
    measured: Branches | None = None


VARIANTS = {
    "base": Variant(),
    "longest": Variant(changes={"rule": "longest"}),
    "visible": Variant(changes={"branches": "visible"}, measured="isolated"),
    "unfiltered": Variant(unfiltered=True),
    "full": Variant(changes={"method": "full"}, rate=1 / 8),
    "serial": Variant(changes={"layout": "serial"}),
}


def named(name: str) -> tuple[Variant, int]:
    """The variant, and of which part of the examples it learns: of one in so many. Raises ValueError."""
    found = re.fullmatch(r"(\w+)(?:/([1-9][0-9]*))?", name)
    if found is None or found[1] not in VARIANTS:
        raise ValueError(f"unknown variant {name}; known are {', '.join(VARIANTS)}, each with /N")
    return VARIANTS[found[1]], int(found[2] or 1)


def part_of(data: Path, part: int, into: Path) -> Path:
    """A copy of a data set that lacks all but one in `part` of its training examples."""
    if part == 1:
        return data
    lines = data.read_text(encoding="utf-8").splitlines()
    train_lines = [i for i, line in enumerate(lines) if json.loads(line)["split"] == "train"]
    order = np.random.default_rng(0).permutation(len(train_lines))[round(len(train_lines) / part) :]
    dropped = {train_lines[i] for i in order}
    kept = [line for i, line in enumerate(lines) if i not in dropped]
    path = into / f"part-{part}.jsonl"
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return path


def measure(name: str, seed: int, args: argparse.Namespace, records: list[Record]) -> dict[str, Any]:
    """Trains a variant and scores the held-out answers; the weights are not kept."""
    (variant, part), base = named(name), resolve(args.base)
    config = TrainConfig(
        parallel_share=0.65,
        learning_rate=args.learning_rate * variant.rate,
        tokens_per_step=args.tokens_per_step,
        epochs=args.epochs * part,
        seed=seed,
        patience=0,
        eval_every=args.every,
        eval_examples=args.looked_at,
    )
    config = replace(config, **variant.changes)
    data = part_of(args.unfiltered if variant.unfiltered else args.data, part, args.into)
    run = args.into / f"{name.replace('/', '-of-')}-{seed}"
    train(data, base, run, config, How(resume=True))
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    losses = held_out.losses(run, base, records, branches=variant.measured)
    shutil.rmtree(run)
    return {
        "variant": name,
        "seed": seed,
        "tokens": sum(entry.get("tokens", 0) for entry in history),
        "seconds": max(entry.get("seconds", 0) for entry in history),
        "examples": [loss.examples[0] for loss in losses],
        "apart": held_out.apart(losses),
        "curve": curve(history),
    }


def curve(history: list[dict[str, Any]]) -> list[tuple[int, float]]:
    """After so many tokens of training: nats a token of the plain text of the validation split."""
    found, tokens = [], 0
    for entry in history:
        tokens += entry.get("tokens", 0)
        if "per_token" in entry:
            found.append((tokens, round(entry["per_token"], 4)))
    return found


def dependence(record: Record) -> float:
    """How much siblings tell of each other in the blocks that were kept, nats a token, the most told one."""
    kept = {decision.begin for decision in record.decisions if decision.outcome == "kept"}
    return max((score["mean_gain"] for score in record.scores if score["begin"] in kept), default=0.0)


def gap_by_dependence(rows: list[dict[str, Any]], records: list[Record]) -> list[dict[str, Any]]:
    """`base` against `serial`, all seeds that both have, in thirds of the held-out answers."""
    sides = _sides(rows, "base", "serial")
    if sides is None:
        return []
    order = np.argsort([dependence(record) for record in records], kind="stable")
    return [
        {
            "mean_gain": round(statistics.fmean(dependence(records[i]) for i in third), 4),
            "n": len(third),
            **held_out.ratio(sides[:, third]),
        }
        for third in np.array_split(order, 3)
    ]


def gap_by_tokens(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Nats a token of the validation split, `base` over `serial`, at each look: means over seeds."""
    found = []
    curves = {name: [row["curve"] for row in rows if row["variant"] == name] for name in ("base", "serial")}
    if not all(curves.values()):
        return []
    for looks in zip(*curves["base"], *curves["serial"], strict=False):
        own, other = looks[: len(curves["base"])], looks[len(curves["base"]) :]
        base, serial = (statistics.fmean(nats for _, nats in side) for side in (own, other))
        tokens = round(statistics.fmean(tokens for tokens, _ in own))
        found.append({"tokens": tokens, "base": round(base, 4), "serial": round(serial, 4)})
        found[-1]["ratio"] = round(base / serial, 4)
    return found


def gap_by_data(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`base/N` over `serial/N`, for each N that both have: all read as many tokens."""
    found = []
    for part in sorted({named(row["variant"])[1] for row in rows}):
        ending = "" if part == 1 else f"/{part}"
        sides = _sides(rows, f"base{ending}", f"serial{ending}")
        if sides is not None:
            found.append({"one in": part, **held_out.means_and_ratio(("base", "serial"), sides)})
    return found


def _sides(rows: list[dict[str, Any]], one: str, other: str) -> NDArray[np.float64] | None:
    """(nats, tokens) of each held-out answer, means over the seeds that both variants have, [2, n, 2]."""
    of = {(row["variant"], row["seed"]): row["examples"] for row in rows}
    seeds = [seed for name, seed in of if name == one and (other, seed) in of]
    if not seeds:
        return None
    return np.array([np.array([of[name, seed] for seed in seeds]).mean(0) for name in (one, other)])


def table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line for each variant: mean and range over the seeds, and the ratio to `base` with its interval by
    resampling examples.
    """
    found = []
    for name in dict.fromkeys(row["variant"] for row in rows):
        own = [row for row in rows if row["variant"] == name]
        each = [sum(nats for nats, _ in row["examples"]) / sum(n for _, n in row["examples"]) for row in own]
        line: dict[str, Any] = {
            "variant": name,
            "seeds": len(own),
            "tokens": round(statistics.fmean(row["tokens"] for row in own)),
            "nats": round(statistics.fmean(each), 4),
            "from": round(min(each), 4),
            "to": round(max(each), 4),
        }
        for kind in ("title", "body", "tail"):
            values = [row["apart"][kind]["nats_a_token"] for row in own if kind in row["apart"]]
            line[kind] = round(statistics.fmean(values), 4) if values else None
        if name != "base" and (sides := _sides(rows, name, "base")) is not None:
            line |= held_out.ratio(sides)
        found.append(line)
    return found


def main() -> None:
    """Runs what is missing, seed by seed, and prints the table as JSON lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--unfiltered", type=Path)
    parser.add_argument("--base", default=DEFAULT_BASE)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--epochs", type=float, default=0.5)
    parser.add_argument("--learning-rate", type=float, default=8e-4)
    parser.add_argument("--tokens-per-step", type=int, default=1536)
    parser.add_argument("--n", type=int, default=60)
    parser.add_argument("--every", type=int, default=14, help="steps between two points of the curve")
    parser.add_argument("--looked-at", type=int, default=40, help="examples of the validation split")
    args = parser.parse_args()
    names = args.variants.split(",")
    try:
        needs_unfiltered = any(named(name)[0].unfiltered for name in names)
    except ValueError as error:
        parser.error(str(error))
    if args.unfiltered is None and needs_unfiltered:
        parser.error("give the data built without the likelihood test as --unfiltered, or choose --variants")
    args.into.mkdir(parents=True, exist_ok=True)
    kept = args.into / "results.jsonl"
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    records = held_out.chosen(args.data, args.n, with_a_block=True)
    for seed in (int(seed) for seed in args.seeds.split(",")):
        for name in names:
            if any((row["variant"], row["seed"]) == (name, seed) for row in rows):
                continue
            rows.append(measure(name, seed, args, records))
            with kept.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            print(f"{name}, seed {seed}: {rows[-1]['seconds']:.0f} s", file=sys.stderr, flush=True)
    for line in [*table(rows), *gap_by_tokens(rows), *gap_by_data(rows), *gap_by_dependence(rows, records)]:
        print(json.dumps(line))


if __name__ == "__main__":
    main()
