"""Checks what `aspd run --json` printed: `check_answer.py [--forked] FILE`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

KEYS = {"text", "blocks", "finish_reason", "fallback", "protocol", "usage", "timings"}


def check(answer: dict[str, Any], *, forked: bool) -> None:
    """Raises AssertionError."""
    text, blocks = answer["text"], answer["blocks"]
    assert answer.keys() >= KEYS, f"missing: {KEYS - answer.keys()}"
    assert text.strip(), "the text is empty"
    assert answer["finish_reason"] in ("stop", "length"), answer["finish_reason"]
    assert answer["usage"]["completion_tokens"] > 0, "no tokens"
    assert not [marker for marker in ("<plan>", "</plan>", "<part", "</part>") if marker in text], text
    if forked:
        assert answer["fallback"] is None, answer["fallback"]
        assert blocks, "no block, although the plan was asked for"
    for block in blocks:
        branches = block["branches"]
        titles = [branch["title"] for branch in branches]
        assert len(set(titles)) == len(titles) >= 2, titles
        for branch in branches:
            begin, end = branch["span"]
            assert 0 <= begin <= end <= len(text), branch["span"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--forked", action="store_true", help="the answer must have a block")
    parser.add_argument("file", type=Path)
    args = parser.parse_args()
    answer = json.loads(args.file.read_text(encoding="utf-8"))
    print(json.dumps(answer, indent=2, ensure_ascii=False))
    check(answer, forked=args.forked)


if __name__ == "__main__":
    main()
