"""What the answers of bench/as_met.py amount to: how often they fork, how fast they are, what is wrong with
them.

    python bench/as_met_summary.py DIR [DIR...] [--json]

Speed is wall clock and token of text: (serial seconds / serial tokens) / (parallel seconds / parallel
tokens), question by question. Faults are those of bench/visible_faults.py, their rules stand there. Figures
have 95 % intervals from resampling the questions.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import as_met
import comparison
from shown_lists import has_titled_list
from visible_faults import KINDS, visible_faults

from aspd_local.eval.bootstrap import Estimate, Statistic, estimate

Row = dict[str, Any]  # a line of results.jsonl

_STATISTICS: tuple[Statistic, ...] = ("mean", "median", "p10")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A question's serial answer and one of the others."""

    serial: Row
    other: Row

    @property
    def forked(self) -> bool:
        """Whether the other answer has a block of two branches or more."""
        return any(len(block) >= 2 for block in self.other["blocks"])

    @property
    def titled(self) -> bool:
        """Whether the serial answer has a list with titles."""
        return has_titled_list(self.serial["text"])

    def speed(self, tokens: str = "tokens") -> float | None:
        """Times faster a token of text; None where an answer is empty."""
        if not self.serial[tokens] or not self.other[tokens]:
            return None
        per_token = self.serial["seconds"] / self.serial[tokens]
        return float(per_token / (self.other["seconds"] / self.other[tokens]))


def pairs(rows: Sequence[Row]) -> dict[str, list[Pair]]:
    """For each protocol its answers with their serial ones, of one folder."""
    serial = {row["id"]: row for row in rows if row["asked"] == as_met.SERIAL}
    found: dict[str, list[Pair]] = {}
    for row in rows:
        if row["asked"] != as_met.SERIAL and row["id"] in serial:
            found.setdefault(row["asked"], []).append(Pair(serial=serial[row["id"]], other=row))
    return found


def read(folders: Iterable[Path]) -> dict[str, list[Pair]]:
    """The pairs of several folders. Raises ValueError where there are none."""
    found: dict[str, list[Pair]] = {}
    for folder in folders:
        for protocol, its in pairs(as_met.read_results(folder)).items():
            found.setdefault(protocol, []).extend(its)
    if not found:
        raise ValueError("no answers there")
    return found


def summary(found: Sequence[Pair]) -> Row:
    """All figures of one protocol; JSON values. Raises ValueError for answers without times."""
    if not all(pair.serial["seconds"] and pair.other["seconds"] for pair in found):
        raise ValueError("answers without times, of bench/many_texts.py: they are for judging texts")
    forked = [pair for pair in found if pair.forked]
    plain = [pair for pair in found if not pair.forked]
    titled = [pair for pair in found if pair.titled]
    groups = {"forked": forked, "not forked": plain, "all": found}
    return {
        "answers": len(found),
        "cold": sum(pair.serial["cold"] or pair.other["cold"] for pair in found),
        "protocols": dict(Counter(pair.other["protocol"] for pair in found)),
        "forked": _share(found),
        "forked_by_language": _by(found, "language"),
        "forked_by_kind": _by(found, "kind"),
        "titled": {"all": _share(titled), **_by(titled, "language")},
        "speed": {name: _speeds(group, "tokens") for name, group in groups.items()},
        "speed_retokenised": {name: _speeds(group, "text_tokens") for name, group in groups.items()},
        "seconds": {
            name: _ratios(group, "seconds", lambda own, base: base / own) for name, group in groups.items()
        },
        "first_token": {name: _ratios(group, "first_token_s") for name, group in groups.items()},
        "longest_gap_s": {
            "serial": _json(estimate([pair.serial["longest_gap_s"] for pair in found], "median")),
            "other": _json(estimate([pair.other["longest_gap_s"] for pair in found], "median")),
        },
        "equal_to_serial": _json(
            estimate([float(pair.serial["text"] == pair.other["text"]) for pair in plain])
        ),
        "not_forked": len(plain),
        "fallbacks": dict(Counter(pair.other["fallback"] for pair in plain if pair.other["fallback"])),
        "faults": {name: _faults(group) for name, group in (("all", found), ("forked", forked))},
    }


def _share(group: Sequence[Pair]) -> Row:
    """How many of these forked."""
    return {"n": len(group), "share": _json(estimate([float(pair.forked) for pair in group]))}


def _by(group: Sequence[Pair], field: str) -> dict[str, Row]:
    """How many forked, by language or kind, in the order in which they are met."""
    names = dict.fromkeys(pair.other[field] for pair in group)
    return {name: _share([pair for pair in group if pair.other[field] == name]) for name in names}


def _speeds(group: Sequence[Pair], tokens: str) -> Row:
    return _spread([speed for pair in group if (speed := pair.speed(tokens)) is not None])


def _ratios(
    group: Sequence[Pair],
    field: str,
    how: Callable[[float, float], float] = lambda own, base: own / base,
) -> Row:
    """Of a time of both sides."""
    return _spread([how(pair.other[field], pair.serial[field]) for pair in group])


def _spread(values: Sequence[float]) -> Row:
    return {"n": len(values), **{each: _json(estimate(values, each)) for each in _STATISTICS}}


def _faults(group: Sequence[Pair]) -> Row:
    """How many answers of each side have a fault, by rule; and which questions."""
    found: Row = {"n": len(group)}
    for side in ("serial", "other"):
        by_kind: dict[str, list[str]] = {kind: [] for kind in KINDS}
        for pair in group:
            row: Row = getattr(pair, side)
            for kind in faults_of(row):
                by_kind[kind].append(row["id"])
        found[side] = by_kind
    return found


def faults_of(row: Row) -> tuple[str, ...]:
    """The kinds of faults of an answer."""
    return visible_faults(
        row["text"],
        language=row["language"],
        question=row["question"],
        kind=row["kind"],
        finish_reason=row["finish_reason"],
    )


def _json(found: Estimate | None) -> dict[str, float] | None:
    return None if found is None else found.to_json()


# --- for a person --------------------------------------------------------------------------------------


def lines(protocol: str, told: Row) -> list[str]:
    """The summary of one protocol as a table."""
    used = ", ".join(f"{name} {n}" for name, n in told["protocols"].items())
    found = [f"== {protocol} against serial: {told['answers']} answers, {told['cold']} cold ({used})", ""]
    found += [f"{'forked':<38}{'answers':>8}  share"]
    found += [_share_line("all", told["forked"])]
    for field in ("language", "kind"):
        found += [_share_line(name, row) for name, row in told[f"forked_by_{field}"].items()]
    found += ["", f"{'forked where serial has a titled list':<38}{'answers':>8}  share"]
    found += [_share_line(name, row) for name, row in told["titled"].items()]
    heads = {
        "speed": "speed: times faster a token",
        "speed_retokenised": "the same, texts tokenised anew",
        "seconds": "times faster an answer",
        "first_token": "time to the first text / serial",
    }
    for name, head in heads.items():
        found += ["", f"{head:<38}{'answers':>8}  {'mean':<22}{'median':<22}10th percentile"]
        found += [_spread_line(group, row) for group, row in told[name].items()]
    gaps = told["longest_gap_s"]
    found += ["", f"longest wait in the text, median s: serial {_told(gaps['serial'])}"]
    found += [f"{'':<36}{protocol} {_told(gaps['other'])}"]
    found += [f"not forked and equal to serial: {_percent(told['equal_to_serial'])} of {told['not_forked']}"]
    found += [f"not forked because: {reason}: {n}" for reason, n in told["fallbacks"].items()]
    for group, faults in told["faults"].items():
        head = f"faults: answers of {faults['n']} ({group})"
        found += ["", f"{head:<38}{'serial':>8}{protocol:>10}"]
        for kind in KINDS:
            ours = faults["other"][kind]
            only = [each for each in ours if each not in faults["serial"][kind]]
            named = f"  only there: {', '.join(only)}" if only else ""
            found.append(f"  {kind:<36}{len(faults['serial'][kind]):>8}{len(ours):>10}{named}")
    return found


def _share_line(name: str, row: Row) -> str:
    return f"  {name:<36}{row['n']:>8}  {_percent(row['share'])}"


def _spread_line(name: str, row: Row) -> str:
    told = "".join(f"{_told(row[each]):<22}" for each in _STATISTICS)
    return f"  {name:<36}{row['n']:>8}  {told}".rstrip()


def _told(found: dict[str, float] | None) -> str:
    return "-" if found is None else f"{found['value']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def _percent(found: dict[str, float] | None) -> str:
    if found is None:
        return "-"
    return f"{100 * found['value']:.0f} % [{100 * found['low']:.0f}, {100 * found['high']:.0f}]"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    args = parser.parse_args()
    told = {protocol: summary(found) for protocol, found in read(args.folders).items()}
    table = [line for protocol, each in told.items() for line in [*lines(protocol, each), ""]]
    comparison.emit(told, table, as_json=args.json)


if __name__ == "__main__":
    sys.exit(comparison.guarded(main))
