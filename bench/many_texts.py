"""The texts that bench/as_met.py would get, several answers at once and without times: for judging texts, not
speed.

    python bench/many_texts.py --out DIR [--split test] [--at-once 8]

Serial answers are got for those questions only of which another answer has forked: what did not fork is the
serial answer, which bench/as_met.py shows.

An answer's text does not depend on its neighbours (docs/kernels.md, "The same bits in every batch"); whether
a list is taken apart may, since fewer lanes are free. DIR/results.jsonl is as of bench/as_met.py with seconds
of 0, so bench/blind_pairs.py reads it. At the end it says how many answers have forked.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import as_met
import comparison
from as_met import RESULTS, SERIAL
from as_met_summary import faults_of
from questions import OwnQuestion
from shown_lists import has_titled_list
from typing_extensions import Unpack
from visible_faults import KINDS

from aspd_local.chat import Message
from aspd_local.events import Done, Event
from aspd_local.model import Prepared
from aspd_local.typing import AnswerOptions

LANES_OF_ANSWER = 4
CELLS_OF_ANSWER = 2048


class Stepper(Protocol):
    """The part of aspd_local.Model that is used here."""

    def prepare(self, messages: str | Sequence[Message], **options: Unpack[AnswerOptions]) -> Prepared:
        """As Model.prepare()."""

    def submit(self, prepared: Prepared) -> int:
        """As Model.submit()."""

    def step(self) -> list[tuple[int, Event]]:
        """As Model.step()."""

    def tokenize(self, text: str) -> list[int]:
        """As Model.tokenize()."""


def ask_all(
    model: Stepper, asked: Sequence[tuple[OwnQuestion, str]], at_once: int, max_tokens: int
) -> Iterator[dict[str, Any]]:
    """The answers as lines of results.jsonl, in the order in which they end. Raises AspdError."""
    waiting = list(reversed(asked))
    running: dict[int, tuple[OwnQuestion, str]] = {}
    while waiting or running:
        while waiting and len(running) < at_once:
            question, side = waiting.pop()
            prepared = model.prepare(question.text, **as_met.options_of(side, max_tokens))
            running[model.submit(prepared)] = question, side
        for request, event in model.step():
            if isinstance(event, Done):
                question, side = running.pop(request)
                yield as_met.as_row(question, side, event.result, len(model.tokenize(event.result.text)))


def shares(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """As lines: how many of the answers whose serial text has a list with titles forked, by language; why the
    others did not."""
    serial = {row["id"]: row["text"] for row in rows if row["asked"] == SERIAL}
    others = [row for row in rows if row["asked"] != SERIAL]
    found = [f"forked: {sum(bool(row['blocks']) for row in others)} of {len(others)}"]
    titled = [row for row in others if has_titled_list(serial.get(row["id"], row["text"]))]
    for language in ("all", *sorted({row["language"] for row in titled})):
        of = [bool(row["blocks"]) for row in titled if language in ("all", row["language"])]
        found.append(
            f"of those whose serial answer has a list with titles, {language}: {sum(of)} of {len(of)}"
        )
    reasons = Counter(row["fallback"] or "none given" for row in titled if not row["blocks"])
    return [*found, *(f"not forked, {why}: {n}" for why, n in reasons.most_common())]


def faults(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The visible faults of answers that forked and of the serial ones to the same questions, as lines."""
    serial = {row["id"]: dict(row) for row in rows if row["asked"] == SERIAL}
    forked = [dict(row) for row in rows if row["asked"] != SERIAL and row["blocks"] and row["id"] in serial]
    before = Counter(kind for row in forked for kind in faults_of(serial[row["id"]]))
    now = Counter(kind for row in forked for kind in faults_of(row))
    found = [f"visible faults of {len(forked)} forked answers, serial and forked"]
    return found + [f"  {kind}: {before[kind]}, {now[kind]}" for kind in KINDS if before[kind] or now[kind]]


def main() -> None:
    """Asks and records."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    as_met.add_choice(parser)
    parser.add_argument("--model", default="qwen2.5-coder-1.5b", help="a path, or a name")
    parser.add_argument("--protocols", type=as_met.words, default=["auto"], help="besides serial")
    parser.add_argument("--max-tokens", type=comparison.count, default=1024)
    parser.add_argument("--at-once", type=comparison.count, default=8, help="answers under way")
    parser.add_argument("--out", type=Path, required=True, help="a folder; its answers are kept")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    lanes = args.at_once * LANES_OF_ANSWER
    n_ctx = args.at_once * CELLS_OF_ANSWER
    questions = as_met.chosen(args)

    from aspd_local import Model

    with Model(args.model, n_requests=args.at_once, n_lanes=lanes, n_ctx=n_ctx) as model:
        for side in (*args.protocols, SERIAL):
            rows = as_met.read_results(args.out)
            known = {row["id"] for row in rows if row["asked"] == side}
            forked = {row["id"] for row in rows if row["blocks"]}
            asked = [
                (question, side)
                for question in questions
                if question.id not in known and (side != SERIAL or question.id in forked)
            ]
            for n, row in enumerate(ask_all(model, asked, args.at_once, args.max_tokens)):
                with (args.out / RESULTS).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
                comparison.progress(
                    f"{n + 1} of {len(asked)} {row['id']} {side} {row['tokens']} tokens, "
                    f"{len(row['blocks'])} blocks"
                )
    rows = as_met.read_results(args.out)
    print("\n".join([*shares(rows), *faults(rows)]))


if __name__ == "__main__":
    sys.exit(comparison.guarded(main))
