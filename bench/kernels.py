"""What do matrix products with few rows on the right cost, with our kernels and with llama.cpp's own?

Times products of random weights, as a decode step of so many lanes does them, with both in turn in one
process, and holds them against the roofline of this machine: reading the weights once from memory, or the
arithmetic at the rate of our kernel on weights that stay in the cache, whichever takes longer. Then the
attention of a step of a model of 1.5B parameters, all lanes seeing the same cells.

    python bench/kernels.py [--types q4_0,q4_K,q6_K,q8_0,q4_1] [--widths 1-8,12,16] [--cells 512,4096]
        [--rounds 5] [--json]

Figures are medians over rounds. of_one: time against one row by llama.cpp's kernel. ratio: llama.cpp's time
against ours, the median of pairs; above 1 ours is faster. roofline: the roofline's time against ours.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import Any

import comparison
from width import parse_widths

from aspd_local import _core

# The shape of a feed-forward matrix of a model of 1.5B parameters; so many that no cache keeps them.
ROWS, COLUMNS, MATRICES = 8960, 1536, 8
# Of this shape both cores keep their part in the second cache.
CACHED_ROWS = 256
WIDEST = 16
# The heads of such a model.
ATTENTION = {"n_heads": 12, "n_cached": 2, "dk": 128, "dv": 128, "n_layers": 28}
BANDWIDTH_BYTES = 1 << 29
REPACKED = ("q4_0", "q4_K", "iq4_nl")


def time_products(
    kind: str, width: int, threads: int, *, shape: tuple[int, int] = (ROWS, MATRICES), n_times: int = 3
) -> _core.ProductTimes:
    """Products with `width` rows on the right. shape: rows of a matrix, matrices."""
    n_rows, n_matrices = shape
    return _core.time_products(
        kind,
        repack=kind in REPACKED,
        n_rows=n_rows,
        k=COLUMNS,
        n_matrices=n_matrices,
        width=width,
        n_threads=threads,
        n_times=n_times,
    )


def seconds(kind: str, width: int, threads: int, *, on: bool) -> float:
    """Of a product of all matrices, the median of a few."""
    with comparison.kernels(on):
        return statistics.median(time_products(kind, width, threads).seconds)


def arithmetic_s_per_byte(kind: str, threads: int) -> float:
    """Seconds for a byte of cached weights and one row on the right, in a wide product."""
    found = time_products(kind, WIDEST, threads, shape=(CACHED_ROWS, 1), n_times=200)
    return min(found.seconds) / WIDEST / found.weight_bytes


def measure(
    kind: str, widths: list[int], rounds: int, threads: int, bandwidth: float
) -> list[dict[str, Any]]:
    """A row for each width."""
    n_bytes = time_products(kind, 1, threads, n_times=1).weight_bytes
    arithmetic = arithmetic_s_per_byte(kind, threads)
    pairs: dict[int, list[tuple[float, float]]] = {width: [] for width in widths}
    one: list[float] = []
    for _ in range(rounds):
        one.append(seconds(kind, 1, threads, on=False))
        for width in widths:
            theirs = seconds(kind, width, threads, on=False)
            pairs[width].append((theirs, seconds(kind, width, threads, on=True)))
    rows = []
    for width in widths:
        ours = statistics.median(pair[1] for pair in pairs[width])
        theirs = statistics.median(pair[0] for pair in pairs[width])
        roofline = max(n_bytes / bandwidth, width * n_bytes * arithmetic)
        rows.append(
            {
                "type": kind,
                "width": width,
                "ms": 1e3 * ours,
                "reference_ms": 1e3 * theirs,
                "ratio": comparison.ratio_of_pairs(pairs[width]),
                "of_one": statistics.median(
                    pair[1] / first for pair, first in zip(pairs[width], one, strict=True)
                ),
                "reference_of_one": statistics.median(
                    pair[0] / first for pair, first in zip(pairs[width], one, strict=True)
                ),
                "gb_per_s": n_bytes / ours / 1e9,
                "roofline_ms": 1e3 * roofline,
                "roofline": roofline / ours,
            }
        )
        comparison.progress(str(rows[-1]))
    return rows


def attention_s(lanes: int, cells: int, threads: int, *, on: bool) -> float:
    """Of the attention of a step, all layers; the median of a few."""
    with comparison.kernels(on):
        return statistics.median(
            _core.time_attention(
                "f16", n_lanes=lanes, n_cells=cells, n_threads=threads, n_times=3, **ATTENTION
            )
        )


def measure_attention(lanes: list[int], cells: list[int], rounds: int, threads: int) -> list[dict[str, Any]]:
    """A row for each number of lanes and of cells that all of them see."""
    rows = []
    for n_cells in cells:
        for n_lanes in lanes:
            pairs = []
            for _ in range(rounds):
                theirs = attention_s(n_lanes, n_cells, threads, on=False)
                pairs.append((theirs, attention_s(n_lanes, n_cells, threads, on=True)))
            rows.append(
                {
                    "lanes": n_lanes,
                    "cells": n_cells,
                    "ms": 1e3 * statistics.median(pair[1] for pair in pairs),
                    "reference_ms": 1e3 * statistics.median(pair[0] for pair in pairs),
                    "ratio": comparison.ratio_of_pairs(pairs),
                }
            )
            comparison.progress(str(rows[-1]))
    return rows


def parse_cells(text: str) -> list[int]:
    """Numbers of cells of "512,4096". Raises ValueError."""
    cells = [int(part) for part in text.split(",")]
    if min(cells) < 1:
        raise ValueError("at least one cell")
    return cells


def main() -> None:
    """Measures in turn and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--types", default="q4_0,q4_K,q6_K,q8_0,q4_1")
    parser.add_argument("--widths", type=parse_widths, default=parse_widths("1-8,12,16"))
    parser.add_argument("--cells", type=parse_cells, default=parse_cells("512,4096"), help="of attention")
    parser.add_argument("--rounds", type=comparison.count, default=5)
    parser.add_argument("--threads", type=comparison.count, default=_core.physical_cores())
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    args = parser.parse_args()
    if not _core.kernels():
        raise ValueError("this build or processor has no kernels of ours")
    bandwidth = _core.read_bandwidth(BANDWIDTH_BYTES, args.threads)
    result: dict[str, Any] = {
        "kernels": _core.kernels(),
        "threads": args.threads,
        **comparison.machine(),
        "read_gb_per_s": bandwidth / 1e9,
        "shape": {"rows": ROWS, "columns": COLUMNS, "matrices": MATRICES},
        "products": [
            row
            for kind in args.types.split(",")
            for row in measure(kind, list(args.widths), args.rounds, args.threads, bandwidth)
        ],
        "attention": measure_attention(list(args.widths), args.cells, args.rounds, args.threads),
    }
    comparison.emit(result, table(result), as_json=args.json)


def table(result: dict[str, Any]) -> list[str]:
    """The result for a person."""
    lines = [f"{result['kernels']}, {result['threads']} threads, memory {result['read_gb_per_s']:.1f} GB/s"]
    lines.append("type  width       ms  of one  llama.cpp  of one  ratio   GB/s  of roofline")
    row = "{type:5} {width:5}  {ms:7.2f}  {of_one:6.2f}  {reference_ms:9.2f}  {reference_of_one:6.2f}"
    row += "  {ratio:5.2f}  {gb_per_s:5.1f}  {roofline:11.2f}"
    lines += [row.format(**entry) for entry in result["products"]]
    lines.append("attention: lanes  cells       ms  llama.cpp  ratio")
    row = "{lanes:16}  {cells:5}  {ms:7.2f}  {reference_ms:9.2f}  {ratio:5.2f}"
    return lines + [row.format(**entry) for entry in result["attention"]]


if __name__ == "__main__":
    sys.exit(comparison.guarded(main))
