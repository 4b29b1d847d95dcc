"""Do branches cost a reader the first word, or the machine its memory?

Replays answers with a list (as replay.py does) in processes of their own, in turn serially and with the items
as branches, behind a prompt of the same length, and compares the time to the first token and the peak of the
memory that each process had. The cache has room for both; branches need their cells beyond the serial answer.

    python bench/footprint.py --model MODEL --answers FILE.jsonl [--branches 5] [--rounds 5] [--json]

first_token: seconds from the request to the first token, parallel / serial, the median of pairs.
memory: peak resident memory, parallel / serial, the median of pairs.
branch_cells_bytes: of the cells that the parallel answer filled beyond the serial one.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import comparison
import replay

from aspd_local import _core

PROMPT_TOKENS = 256
ANSWERS = 3
CELLS = 2048


def choose(path: Path, n_branches: int) -> list[tuple[replay.Structure, str]]:
    """The first answers of a file with one block of so many branches. Raises ValueError: too few."""
    found = []
    for answer in replay.read(path):
        structure = replay.split(answer)
        if structure is not None and [len(block) for block in structure.blocks] == [n_branches]:
            found.append((structure, answer))
        if len(found) == ANSWERS:
            return found
    raise ValueError(f"{path}: fewer than {ANSWERS} answers with one block of {n_branches} branches")


def child(settings: comparison.Settings, way: str, answers: Sequence[tuple[replay.Structure, str]]) -> None:
    """Answers in one way and prints what it cost."""
    model = comparison.load_model(settings)
    engine = _core.Engine(model, comparison.engine_options(settings, n_ctx=CELLS))
    prompt = [(max(model.bos, 0) + i) % model.n_vocab for i in range(PROMPT_TOKENS)]
    replayer = replay.Replayer(engine, model, prompt)
    replayer.serial(answers[0][1])  # all weights have been read once
    results = [
        replayer.parallel(structure) if way == "parallel" else replayer.serial(answer)
        for structure, answer in answers
    ]
    row = {
        "first_token_s": statistics.median(result.timings.first_token_s for result in results),
        "cells": max(len(result.layout.token_ids) for result in results),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(row))


def run(way: str) -> dict[str, Any]:
    """The row that a child of this script prints. Raises PeerError."""
    command = [sys.executable, __file__, *sys.argv[1:], "--child", way]
    row: dict[str, Any] = json.loads(comparison.run(command))
    return row


def cell_bytes(settings: comparison.Settings) -> int:
    """Bytes of one cell of the cache, by the model's metadata."""
    meta = comparison.load_model(settings).metadata()
    architecture = meta["general.architecture"]

    def number(key: str) -> int:
        return int(meta[f"{architecture}.{key}"])

    n_heads = number("attention.head_count")
    head = number("embedding_length") // n_heads
    each = {"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32}[settings.cache_type]
    return round(2 * number("block_count") * number("attention.head_count_kv") * head * each)


def main() -> None:
    """Measures in turn and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    comparison.add_settings(parser)
    parser.add_argument("--answers", type=Path, required=True, help="JSONL with a field answer")
    parser.add_argument("--branches", type=comparison.count, default=5)
    parser.add_argument("--rounds", type=comparison.count, default=5)
    parser.add_argument("--child", choices=["serial", "parallel"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    settings = comparison.read_settings(args)
    answers = choose(args.answers, args.branches)
    if args.child:
        child(settings, args.child, answers)
        return
    pairs = []
    for i in range(args.rounds):
        pairs.append((run("parallel"), run("serial")))
        comparison.progress(f"round {i + 1}: {pairs[-1]}")

    def ratio(name: str) -> float:
        return comparison.ratio_of_pairs((ours[name], theirs[name]) for ours, theirs in pairs)

    more_cells = pairs[0][0]["cells"] - pairs[0][1]["cells"]
    result = {
        **settings.conditions(),
        "branches": args.branches,
        "prompt_tokens": PROMPT_TOKENS,
        "first_token": ratio("first_token_s"),
        "memory": ratio("peak_bytes"),
        "serial_peak_bytes": statistics.median(serial["peak_bytes"] for _, serial in pairs),
        "branch_cells_bytes": more_cells * cell_bytes(settings),
        "pairs": pairs,
    }
    line = "of serial: first token {first_token:.3f}, memory {memory:.4f}; cells {branch_cells_bytes} bytes"
    comparison.emit(result, [line.format_map(result)], as_json=args.json)


if __name__ == "__main__":
    sys.exit(comparison.guarded(main))
