"""How long does it take until the package is imported, and until the command has printed its help?

Each way in a process of its own, all in turn, beside an interpreter that does nothing; prints the least and
the median seconds of processor time.

    python bench/startup.py [--rounds 9] [--json]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys

import comparison

WAYS = {
    "nothing": "pass",
    "import aspd_local": "import aspd_local",
    "aspd --help": "from aspd_local.cli.app import app; app(['--help'])",
    "aspd --version": "from aspd_local.cli.app import app; app(['--version'])",
}


def cpu_seconds(code: str) -> float:
    """Seconds of processor time of a process that runs this code."""
    used = [resource.getrusage(resource.RUSAGE_CHILDREN)]
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    used.append(resource.getrusage(resource.RUSAGE_CHILDREN))
    before, after = (each.ru_utime + each.ru_stime for each in used)
    return after - before


def main() -> None:
    """Measures in turn and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=comparison.count, default=9)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(args.rounds):
        for way, code in WAYS.items():
            seconds[way].append(cpu_seconds(code))
    found = {
        way: {"least": round(min(each), 3), "median": round(statistics.median(each), 3)}
        for way, each in seconds.items()
    }
    lines = (
        f"{way}: least {figures['least']:.3f} s, median {figures['median']:.3f} s"
        for way, figures in found.items()
    )
    comparison.emit(found, lines, as_json=args.json)


if __name__ == "__main__":
    main()
