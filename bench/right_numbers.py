"""How many answers to problems of gsm8k that bench/many_texts.py has recorded are right?

    python bench/right_numbers.py DIR

An answer is right if it ends with the problem's number (aspd_local.eval.exact.right_share). What did not fork
counts as the serial answer, too: it is the same computation.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import as_met
import comparison
from as_met import SERIAL

from aspd_local.eval import suites
from aspd_local.eval.exact import right_share


def main() -> None:
    """Counts and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of results.jsonl")
    args = parser.parse_args()
    problems = {f"gsm8k-{each.key}": each for each in suites.load("gsm8k").questions}
    rows = as_met.read_results(args.folder)
    serial = {row["id"]: row for row in rows if row["asked"] == SERIAL}
    others = [row for row in rows if row["asked"] != SERIAL]
    if not others:
        raise ValueError(f"{args.folder}: no answers")
    missing = [row["id"] for row in others if row["blocks"] and row["id"] not in serial]
    if missing:
        raise ValueError(f"no serial answers yet: {', '.join(missing)}")
    n_forked = sum(bool(row["blocks"]) for row in others)

    def n_right(answers: Sequence[Mapping[str, Any]]) -> int:
        return sum(right_share(problems[row["id"]], row["text"]) == 1 for row in answers)

    n_serial = n_right([serial.get(row["id"], row) for row in others])
    print(
        f"{len(others)} problems, {n_forked} in branches; right: serial {n_serial}, others {n_right(others)}"
    )


if __name__ == "__main__":
    sys.exit(comparison.guarded(main))
