"""Draws kept blocks of a data set to be read by hand.

    python bench/draw_blocks.py SET.jsonl [--blocks 100] [--seed 0] > blocks.jsonl

One JSON object a block: example (its line, from 1), block (of that example, from 1), question, before (the
last 200 characters), titles, texts. The same seed draws the same blocks of the same set.
"""

from __future__ import annotations

import argparse
import heapq
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from aspd_local.data.example import BlockText, plain_text
from aspd_local.data.report import records


def blocks(data: Path) -> Iterator[dict[str, Any]]:
    """All kept blocks of a set."""
    for example, (_, record) in enumerate(records(data), 1):
        number = 0
        for at, segment in enumerate(record.structure):
            if isinstance(segment, BlockText):
                number += 1
                yield {
                    "example": example,
                    "block": number,
                    "question": record.question,
                    "before": plain_text(record.structure[:at])[-200:],
                    "titles": [branch.title for branch in segment.branches],
                    "texts": [branch.text for branch in segment.branches],
                }


def main() -> None:
    """Prints the blocks that are drawn, in their order."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--blocks", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    def rank(block: dict[str, Any]) -> bytes:
        return sha256(
            f"{args.seed}\0{block['block']}\0{block['question']}\0{block['texts']}".encode()
        ).digest()

    drawn = heapq.nsmallest(args.blocks, blocks(args.data), key=rank)
    for block in sorted(drawn, key=lambda block: (block["example"], block["block"])):
        print(json.dumps(block, ensure_ascii=False))


if __name__ == "__main__":
    main()
