"""How likely are the same held-out answers to a model trained for branches, and to one trained on serial
text?

Both runs are those of `aspd train`, on the same examples with the same budget. Negative log-likelihood a
token of the plain text: in the layout of branches the titles of the plan count, markers do not. Prints JSON:
both means, their ratio with a 95 % interval by resampling examples, and the parts apart; for all examples
and for those with a block and without.

    python bench/held_out.py SET.jsonl --aspd RUN --serial RUN [--base MODEL] [--n 300]
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from aspd_local import protocol
from aspd_local.data.record import Record
from aspd_local.sources import DEFAULT_BASE, resolve
from aspd_local.train import Markers, SampleMaker, TrainConfig, open_vocabulary
from aspd_local.train.config import Branches
from aspd_local.train.examples import read_records, valid_plan
from aspd_local.train.loop import evaluate
from aspd_local.train.losses import CONTENT, Losses
from aspd_local.train.network import choose_device, trained
from aspd_local.train.samples import Kind
from aspd_local.train.verb import open_network

FILE = protocol.load("aspd")


def chosen(data: Path, n: int, *, with_a_block: bool = False) -> list[Record]:
    """Records of the test split that the engine would fork as they stand, at most n, drawn by seed."""
    test = [record for record in read_records(data) if record.split == "test"]
    usable = [record for record in test if record.answer.strip() and valid_plan(record, FILE)]
    if with_a_block:
        usable = [record for record in usable if record.blocks]
    order = np.random.default_rng(0).permutation(len(usable))[:n]
    return [usable[i] for i in sorted(order)]


def losses(run: Path, base: Path, records: list[Record], *, branches: Branches | None = None) -> list[Losses]:
    """The losses of each record under a run's weights, in the run's layout, [n_records].

    branches: what branches see of each other, instead of the run's own.
    """
    said = json.loads((run / "run.json").read_text())
    config = replace(TrainConfig(**said["config"]), device="auto")
    if branches is not None:
        config = replace(config, branches=branches)
    markers = Markers(
        protocol=FILE.name,
        ids=said["markers"],
        spellings=said["spellings"],
        n_vocab=said["n_vocab"],
        how="present",
    )
    device = choose_device(config)
    network = open_network(base, markers, config, device).to(device.name)
    weights = load_file(run / "weights.safetensors")
    with torch.no_grad():
        for name, parameter in trained(network).items():
            parameter.copy_(weights[name])
    maker = SampleMaker(open_vocabulary(base), markers, FILE, config.rule)
    found = []
    for number, record in enumerate(records, 1):
        found.append(evaluate(network, [maker.make(record, config.layout)], config, device))
        print(f"{run.name}: {number} of {len(records)}", end="\r", file=sys.stderr, flush=True)
    return found


def compared(one: list[Losses], other: list[Losses]) -> dict[str, Any]:
    """Means of both, and the first / the second with its interval."""
    sides = np.array([[loss.examples[0] for loss in side] for side in (one, other)])
    return {"n": len(one), **means_and_ratio(("aspd", "serial"), sides)}


def means_and_ratio(names: tuple[str, str], sides: NDArray[np.float64]) -> dict[str, Any]:
    """Means of both sides under their names, and ratio() of them."""
    means = sides[..., 0].sum(1) / sides[..., 1].sum(1)
    return {name: round(float(mean), 4) for name, mean in zip(names, means, strict=True)} | ratio(sides)


def ratio(sides: NDArray[np.float64]) -> dict[str, Any]:
    """Nats a token of one side over those of the other, with its interval by resampling examples.

    sides: (nats, tokens) of each example, [2, n_examples, 2].
    """
    nats, plain = sides[..., 0], sides[..., 1]
    draws = np.random.default_rng(0).integers(0, sides.shape[1], size=(10_000, sides.shape[1]))
    drawn = nats[:, draws].sum(2) / plain[:, draws].sum(2)
    low, high = np.percentile(drawn[0] / drawn[1], [2.5, 97.5])
    means = nats.sum(1) / plain.sum(1)
    return {
        "ratio": round(float(means[0] / means[1]), 4),
        "interval": [round(float(low), 4), round(float(high), 4)],
    }


def apart(side: list[Losses]) -> dict[str, dict[str, float]]:
    """Nats and tokens by kind of token, added up."""
    kinds = [kind for kind in Kind if any(kind in loss.nats for loss in side)]
    found = {}
    for kind in kinds:
        nats = sum(loss.nats.get(kind, 0.0) for loss in side)
        tokens = sum(loss.tokens.get(kind, 0) for loss in side)
        found[kind.name.lower()] = {"nats_a_token": round(nats / tokens, 4), "tokens": tokens}
    return found


def main() -> None:
    """Prints the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--aspd", type=Path, required=True)
    parser.add_argument("--serial", type=Path, required=True)
    parser.add_argument("--base", default=DEFAULT_BASE)
    parser.add_argument("--n", type=int, default=300)
    args = parser.parse_args()
    base = resolve(args.base)
    records = chosen(args.data, args.n)
    aspd, serial = losses(args.aspd, base, records), losses(args.serial, base, records)
    blocks = [i for i, record in enumerate(records) if record.blocks]
    others = [i for i, record in enumerate(records) if not record.blocks]
    print(
        json.dumps(
            {
                "all": compared(aspd, serial),
                "with_a_block": compared([aspd[i] for i in blocks], [serial[i] for i in blocks]),
                "without_a_block": compared([aspd[i] for i in others], [serial[i] for i in others]),
                "apart_with_a_block": {
                    "aspd": apart([aspd[i] for i in blocks]),
                    "serial": apart([serial[i] for i in blocks]),
                },
                "counted": [kind.name.lower() for kind in CONTENT],
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
