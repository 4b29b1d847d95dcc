"""How many answers a second does extraction take in, on one core?

Reads the lines, finds the runs, gives them titles and, with --lexical, looks for references; no model. Prints
answers per second of processor time for each file: the best and the median of the rounds.

    python bench/extract.py ANSWERS.jsonl ... [--limit 2000] [--rounds 5] [--lexical]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from pathlib import Path

from aspd_local.data import Config, Example, extract, read_line
from aspd_local.data.stages import prepare


def seconds(lines: list[bytes], *, lexical: bool) -> float:
    """Processor time of one pass."""
    config = Config()
    start = time.process_time()
    for line in lines:
        example = read_line(line)
        if isinstance(example, Example):
            if lexical:
                prepare(example, config)
            else:
                extract(example.answer, config, cut=example.cut)
    return time.process_time() - start


def main() -> None:
    """Measures each file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("answers", type=Path, nargs="+")
    parser.add_argument("--limit", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lexical", action="store_true")
    args = parser.parse_args()
    for path in args.answers:
        with path.open("rb") as file:
            lines = list(itertools.islice(file, args.limit))
        rates = [len(lines) / seconds(lines, lexical=args.lexical) for _ in range(args.rounds)]
        size = sum(map(len, lines)) / len(lines)
        print(
            f"{path.name}: {len(lines)} answers of {size:.0f} bytes, a second: best {max(rates):.0f}, "
            f"median {statistics.median(rates):.0f}"
        )


if __name__ == "__main__":
    main()
