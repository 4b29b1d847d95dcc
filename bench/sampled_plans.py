"""Does a model with CONTROL markers ever write a plan that cannot be forked?

Answers prompts of a data set's held-out split at a temperature, several at once, and prints as JSON how many
answers have a block, and every reason why a plan was taken back. A plan that is sound but does not pay is no
fault.

    python bench/sampled_plans.py MODEL SET.jsonl [--n 500] [--temperature 0.8] [--seed 1] [--at-once 8]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from pathlib import Path

from aspd_local import Model, protocol
from aspd_local.results import Answer
from aspd_local.train.examples import read_records


async def answer_all(model: Model, prompts: list[str], args: argparse.Namespace) -> list[Answer]:
    """The answers, a few under way at a time, [n_prompts]."""
    room = asyncio.Semaphore(args.at_once)
    done = 0

    async def one(number: int, prompt: str) -> Answer:
        nonlocal done
        async with room:
            answer = await model.achat(
                prompt, temperature=args.temperature, max_tokens=args.max_tokens, seed=args.seed + number
            )
        done += 1
        print(f"{done} of {len(prompts)}", end="\r", file=sys.stderr, flush=True)
        return answer

    return list(await asyncio.gather(*(one(number, prompt) for number, prompt in enumerate(prompts))))


def main() -> None:
    """Prints the counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--max-tokens", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=8, help="1: titles are decoded before they are chosen")
    args = parser.parse_args()
    held_out = [r.prompt for r in read_records(args.data) if r.split == "test" and r.prompt is not None]
    prompts = [held_out[i % len(held_out)] for i in range(args.n)]
    file = protocol.load("aspd")
    with Model(args.model, n_ctx=8192, n_requests=args.at_once, n_lanes=16) as model:
        markers = protocol.marker_ids(file, model.core).values()
        spellings = {model.core.piece(marker, special=True).decode() for marker in markers}
        answers = asyncio.run(answer_all(model, prompts, args))
    titles = [[b.title for b in block.branches] for answer in answers for block in answer.blocks]
    print(
        json.dumps(
            {
                "answers": len(answers),
                "with_a_block": sum(bool(answer.blocks) for answer in answers),
                "blocks": len(titles),
                "branches": sum(map(len, titles)),
                "fallbacks": Counter(answer.fallback for answer in answers if answer.fallback),
                "with_a_marker": sum(any(s in answer.text for s in spellings) for answer in answers),
                "finish": Counter(answer.finish_reason for answer in answers),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
