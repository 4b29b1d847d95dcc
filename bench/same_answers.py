"""Does a change of the code leave the answers as they are? Texts, structures and events, to the byte.

    python bench/same_answers.py ask BEFORE.jsonl      with the package of the commit before
    python bench/same_answers.py ask AFTER.jsonl       with that of the commit after
    python bench/same_answers.py compare BEFORE.jsonl AFTER.jsonl

Questions of bench/corpora/questions.jsonl are asked under each protocol that the model has, each join rule
and two seeds, one at a time. compare ends with 1 and names the answers that differ. The width curve decides
how steps are made up, and with it last bits where wide steps have others; ask runs without one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import comparison
import questions

from aspd_local import Model
from aspd_local.events import Done
from aspd_local.layout import JoinRule
from aspd_local.typing import AnswerOptions

JOIN_RULES: tuple[JoinRule, ...] = ("sum", "longest", "linear", "drop")
SEEDS = (1, 2)


def variants(model: Model, max_tokens: int) -> Iterator[tuple[str, AnswerOptions]]:
    """Name -> options: serial, the model's own protocol under each join rule, lists, plans."""
    for seed in SEEDS:
        common: AnswerOptions = {"max_tokens": max_tokens, "temperature": 0.7 * (seed - 1), "seed": seed}
        yield f"off {seed}", {**common, "parallel": "off"}
        if model.protocol == "aspd":
            for rule in JOIN_RULES:
                yield f"aspd {rule} {seed}", {**common, "parallel": "aspd", "join_rule": rule}
        for protocol in ("intrinsic", "prompted"):
            yield f"{protocol} {seed}", {**common, "parallel": protocol}


def ask(model: Model, question: str, options: AnswerOptions) -> dict[str, Any]:
    """The events and the answer, without times."""
    events: list[dict[str, Any]] = []
    for event in model.stream(question, **options):
        if isinstance(event, Done):
            answer = event.result
            blocks = [
                [(each.title, list(each.span), each.end_reason) for each in block.branches]
                for block in answer.blocks
            ]
            return {"text": answer.text, "blocks": blocks, "fallback": answer.fallback, "events": events}
        events.append({"kind": type(event).__name__, **asdict(event)})
    raise AssertionError("a stream ended without Done")


def record(path: Path, name: str, limit: int, max_tokens: int) -> None:
    with Model(name, profile="off") as model, path.open("w", encoding="utf-8") as file:
        for n, question in enumerate(islice(questions.corpus(), limit)):
            for variant, options in variants(model, max_tokens):
                row = {"id": question.id, "variant": variant, **ask(model, question.text, options)}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            comparison.progress(f"{n + 1} of {limit}")


def read(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {(row["id"], row["variant"]): row for row in rows}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    asking = commands.add_parser("ask")
    asking.add_argument("out", type=Path)
    asking.add_argument("--model", default="smollm2-135m-aspd")
    asking.add_argument("--limit", type=comparison.count, default=40)
    asking.add_argument("--max-tokens", type=comparison.count, default=128)
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    args = parser.parse_args()
    if args.command == "ask":
        record(args.out, args.model, args.limit, args.max_tokens)
        return
    before, after = read(args.before), read(args.after)
    if before.keys() != after.keys():
        parser.exit(2, "error: the files hold answers to other questions\n")
    different = [key for key, row in before.items() if row != after[key]]
    forked = sum(bool(row["blocks"]) for row in before.values())
    print(f"{len(before)} answers, {forked} with branches: {len(different)} differ")
    for key in different:
        print(" ", *key)
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
