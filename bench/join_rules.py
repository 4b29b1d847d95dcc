"""Which join rule keeps the closing text of `prompted` best?

For each question the model writes its whole answer serially, plan and parts and closing text, from the
same prompt. Then the closing text is scored again with the parts as branches that do not see each other,
under each join rule. Prints the mean negative log-likelihood of a closing token, and its rise over the
serial one, with a bootstrap interval.

    python bench/join_rules.py MODEL QUESTIONS.jsonl [--json OUT]
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import questions

from aspd_local import Model, _core, chat, protocol
from aspd_local.layout import JOIN_RULES, Block, JoinRule, Layout, Segment, Trunk, lay_out

PART = re.compile(r'\n<part title="[^"]*">\n.*?\n</part>', re.DOTALL)
Ids = list[int]


def split(answer: str) -> tuple[str, list[str], str] | None:
    """Plan, parts and closing text of a serial answer; None where it does not have them all."""
    head, marker, rest = answer.partition("</plan>")
    parts = PART.findall(rest)
    closing = rest[len("".join(parts)) :]
    if not marker or len(parts) < 2 or not rest.startswith("".join(parts)) or not closing.startswith("\n\n"):
        return None
    return head + marker, parts, closing


def nll(engine: _core.Engine, layout: Layout, n_closing: int) -> list[float]:
    """Negative log-likelihoods of the closing tokens but the first, which follows the join seed."""
    core = _core.Layout(
        list(layout.token_ids), list(layout.positions), list(layout.block_ids), list(layout.branch_ids)
    )
    return [-score for score in engine.score(core)[-n_closing:]]


def serial_answer(model: Model, prompt: Ids, max_tokens: int) -> str:
    """What the model writes on its own from these tokens, greedily."""
    request = _core.Request()
    request.prompt = _core.Layout(prompt, list(range(len(prompt))), [0] * len(prompt), [0] * len(prompt))
    sampling = _core.SamplingOptions()
    sampling.temperature = 0.0
    request.sampling = sampling
    request.max_tokens = max_tokens
    engine = model.engine
    engine.submit(request)
    text = ""
    while engine.has_work:
        for event in engine.step():
            if event.kind == _core.EventKind.DONE:
                text = event.result.text
    return text


def interval(values: Sequence[float], n: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    draw = random.Random(1)
    means = sorted(statistics.fmean(draw.choices(values, k=len(values))) for _ in range(n))
    return means[int(0.025 * n)], means[int(0.975 * n)]


def main() -> None:
    """Scores every question and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("questions", type=Path)
    parser.add_argument("--max-tokens", type=int, default=500)
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    threads = args.threads
    model = Model(args.model, n_ctx=4096, n_threads=threads, n_threads_batch=threads, n_outputs_max=512)
    told = protocol.load("prompted").prompt
    assert told is not None, "it has to be told"
    template = chat.compile_template(model.core)
    examples = [(example.user, example.assistant) for example in told.examples]
    rows = []
    for question in questions.read(args.questions)[: args.limit]:
        turns = chat.with_protocol(chat.normalise(question.text), told.system, examples, template)
        prompt = chat.tokenize_parts(model.core, chat.render_prompt(template, turns))
        pieces = split(serial_answer(model, prompt, args.max_tokens))
        if pieces is None:
            continue
        plan, parts, closing = (model.tokenize(pieces[0]), [model.tokenize(p) for p in pieces[1]], pieces[2])
        seed, tail = model.tokenize("\n\n"), model.tokenize(closing[2:])
        if len(tail) < 4:
            continue
        segments: list[Segment] = [Trunk([*prompt, *plan]), Block(parts), Trunk([*seed, *tail])]
        row: dict[str, float] = {}
        rules: tuple[JoinRule, ...] = JOIN_RULES
        for rule in rules:
            row[rule] = statistics.fmean(nll(model.engine, lay_out(segments, rule, reentry=True), len(tail)))
        rows.append({"question": question.number, "branches": len(parts), "closing_tokens": len(tail), **row})
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)

    summary = {}
    for rule in JOIN_RULES:
        rises = [row[rule] - row["linear"] for row in rows]
        low, high = interval(rises)
        summary[rule] = {
            "nll": statistics.fmean(row[rule] for row in rows),
            "rise": statistics.fmean(rises),
            "rise_interval": [low, high],
        }
        mean = summary[rule]
        print(f"{rule:8} nll {mean['nll']:.4f}  rise {mean['rise']:+.4f} [{low:+.4f}, {high:+.4f}]")
    print(f"{len(rows)} answers with a plan, two or more parts and a closing text")
    if args.json:
        args.json.write_text(json.dumps({"rows": rows, "summary": summary}, indent=1) + "\n")


if __name__ == "__main__":
    main()
