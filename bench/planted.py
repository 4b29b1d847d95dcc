"""Writes the planted cases: lists whose items use an earlier item's result, against lists that do not.

    python bench/planted.py > tests/data/planted.jsonl

The same seed gives the same bytes; tests/data/test_planted.py compares. One JSON object a line: prompt,
answer, label (dependent or independent) and the family that made it.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator, Sequence

import planted_dependent
import planted_independent
from planted_dependent import Case

N_EACH = 240
_TAILS = (
    "Let me know if you would like more detail on any of them.",
    "I hope that gives you a good idea.",
    "",
    "",
    "All of it can be adapted to your own situation.",
)
_Style = Callable[[Sequence[tuple[str, str]]], str]


def numbered(items: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"{i}. {title}: {text}" for i, (title, text) in enumerate(items, 1))


def numbered_bold(items: Sequence[tuple[str, str]]) -> str:
    return "\n\n".join(f"{i}. **{title}**: {text}" for i, (title, text) in enumerate(items, 1))


def bulleted(items: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"- **{title}** - {text}" for title, text in items)


def sections(items: Sequence[tuple[str, str]]) -> str:
    return "\n\n".join(f"### {title}\n\n{text}" for title, text in items)


def bold(items: Sequence[tuple[str, str]]) -> str:
    return "\n\n".join(f"**{title}.** {text}" for title, text in items)


def untitled(items: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"{i}. {text}" for i, (_, text) in enumerate(items, 1))


STYLES: tuple[_Style, ...] = (numbered, numbered_bold, bulleted, sections, bold, untitled)


def cases(seed: int = 2026) -> Iterator[dict[str, str]]:
    """All cases, both labels in turn, no prompt with the same answer twice."""
    draw = random.Random(seed)
    makers = {
        "dependent": planted_dependent.FAMILIES,
        "independent": planted_independent.FAMILIES,
    }
    seen: set[str] = set()
    for i in range(N_EACH):
        for label, families in makers.items():
            family = families[i % len(families)]
            while True:
                case = _case(draw, family(draw))
                if case["answer"] not in seen:
                    break
            seen.add(case["answer"])
            yield {**case, "label": label, "family": family.__name__}


def _case(draw: random.Random, made: Case) -> dict[str, str]:
    question, lead, items = made
    style = draw.choice(STYLES)
    tail = "" if style in (sections, bold) else draw.choice(_TAILS)
    answer = f"{lead}\n\n{style(items)}" + (f"\n\n{tail}" if tail else "")
    return {"prompt": question, "answer": answer}


def main() -> None:
    """Prints the cases."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=2026)
    for case in cases(parser.parse_args().seed):
        print(json.dumps(case, ensure_ascii=False))


if __name__ == "__main__":
    main()
