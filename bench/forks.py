"""How often does a model fork, and is what it forks sound?

Asks every question with parallel="auto" and prints, as JSON: how many answers have a block of two or more
branches, how many show markers in their text or repeat a title, why plans were decoded serially, and the
speed-ups.

    python bench/forks.py MODEL QUESTIONS.jsonl [--json OUT]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import questions

from aspd_local import Model, protocol


def markers(name: str) -> list[str]:
    """What must not be seen in a text: the spelling of all markers of a protocol."""
    file = protocol.load(name)
    spelled = [spelling for spellings in file.vocabulary.values() for spelling in spellings]
    return spelled or ["<plan>", "</plan>", "<part", "</part>"]


def main() -> None:
    """Asks every question and prints the counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("questions", type=Path)
    parser.add_argument("--max-tokens", type=int, default=600)
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    rows: list[dict[str, Any]] = []
    with Model(args.model, n_ctx=4096, n_threads=args.threads, n_threads_batch=args.threads) as model:
        forbidden = markers(model.protocol) if model.protocol != "serial" else []
        for question in questions.read(args.questions)[: args.limit]:
            answer = model.chat(question.text, temperature=0, max_tokens=args.max_tokens)
            titles = [[branch.title for branch in block.branches] for block in answer.blocks]
            row = {
                "question": question.number,
                "category": question.category,
                "titles": titles,
                "forked": any(len(block) >= 2 for block in titles),
                "markers": [marker for marker in forbidden if marker in answer.text],
                "duplicates": any(len({t.lower() for t in block}) < len(block) for block in titles),
                "fallback": answer.fallback,
                "finish_reason": answer.finish_reason,
                "tokens": answer.usage.completion_tokens,
                "steps": answer.timings.steps,
                "speedup": answer.timings.speedup,
                "text": answer.text,
            }
            rows.append(row)
            print(json.dumps({k: row[k] for k in row if k != "text"}), file=sys.stderr, flush=True)
    forked = [row for row in rows if row["forked"]]
    summary = {
        "answers": len(rows),
        "forked": len(forked),
        "with_markers": sum(bool(row["markers"]) for row in rows),
        "with_duplicates": sum(row["duplicates"] for row in rows),
        "fallbacks": Counter(row["fallback"] for row in rows if row["fallback"]),
        "finish": Counter(row["finish_reason"] for row in rows),
        "branches_per_block": statistics.fmean(len(b) for row in forked for b in row["titles"])
        if forked
        else 0,
        "median_speedup_of_forked": statistics.median(row["speedup"] for row in forked) if forked else 0,
    }
    print(json.dumps(summary, indent=1))
    if args.json:
        args.json.write_text(
            json.dumps({"summary": summary, "rows": rows}, indent=1, ensure_ascii=False) + "\n"
        )


if __name__ == "__main__":
    main()
