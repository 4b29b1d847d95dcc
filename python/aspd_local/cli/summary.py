"""An answer's facts in a line: its shape, its times, and what the reader must know about it."""

from __future__ import annotations

import math

from aspd_local.cli.wrap import n_words
from aspd_local.results import Answer
from aspd_local.typing import AnswerOptions


def shape(answer: Answer) -> str:
    """ "4 + 3 branches", or "serial"."""
    widths = " + ".join(str(len(block.branches)) for block in answer.blocks)
    return f"{widths} branches" if widths else "serial"


def facts(answer: Answer) -> list[str]:
    """A few lines for those who want to know."""
    t = answer.timings
    decoded = answer.usage.completion_tokens
    lines = [
        f"{shape(answer)} ({answer.protocol}): {decoded} tokens in {t.steps} steps, {t.decode_s:.2f} s"
        + (f" ({decoded / t.decode_s:.1f} tokens/s)" if t.decode_s > 0 else "")
        + (f", estimated speed-up {t.speedup:.2f}" if answer.blocks else ""),
        f"prompt: {t.prompt_tokens} tokens, {t.cached_tokens} from the cache, {t.prompt_s:.2f} s;"
        f" first token after {t.first_token_s:.2f} s, all after {t.total_s:.2f} s",
    ]
    if answer.fallback:
        lines.append(f"fallback: {answer.fallback}")
    return lines


def warnings(answer: Answer, options: AnswerOptions) -> list[str]:
    """What must not pass in silence: a cut answer, and a plan that was asked for and could not be used."""
    lines = []
    if answer.finish_detail == "loop":
        lines.append("the answer is cut off: it repeated itself for ever (--no-loop-guard lets it)")
    elif answer.finish_reason == "length":
        limit = options.get("max_tokens")
        full = "the context (--n-ctx) is full"
        spent = limit is not None and answer.usage.completion_tokens >= limit
        why = f"its {limit} tokens are spent (--max-tokens -1: no limit)" if spent else full
        lines.append(f"the answer is cut off: {why}")
    forced = options.get("plan") == "always" or options.get("parallel", "auto") not in ("auto", "off")
    if forced and answer.fallback:
        lines.append(f"decoded serially: {answer.fallback}")
    elif forced and not answer.blocks:
        lines.append("decoded serially: no block was opened")
    return lines


def comparison(serial: Answer, parallel: Answer) -> list[tuple[str, str, str]]:
    """Rows of (what, serial, parallel). The texts differ in length, so times are given for 100 words too.

    "writing" is all that follows the prompt: plan, branches, join and trunk. Reading the prompt stands apart:
    a protocol's instructions make it longer, and a chat pays for them once.
    """
    both = (serial, parallel)
    writing = [_per_100_words(answer, answer.timings.decode_s) for answer in both]
    in_all = [_per_100_words(answer, answer.timings.total_s) for answer in both]

    def row(what: str, cells: list[str]) -> tuple[str, str, str]:
        return (what, cells[0], cells[1])

    return [
        row("branches", [" + ".join(str(len(b.branches)) for b in a.blocks) or "-" for a in both]),
        row("ended by", [a.finish_reason for a in both]),
        row("words", [str(n_words(a.text)) for a in both]),
        row("tokens, plan included", [str(a.usage.completion_tokens) for a in both]),
        row("decode steps", [str(a.timings.steps) for a in both]),
        row("seconds: reading the prompt", [f"{a.timings.prompt_s:.2f}" for a in both]),
        row("seconds: writing", [f"{a.timings.decode_s:.2f}" for a in both]),
        row("seconds: in all", [f"{a.timings.total_s:.2f}" for a in both]),
        row("seconds for 100 words: writing", [f"{seconds:.2f}" for seconds in writing]),
        row("seconds for 100 words: in all", [f"{seconds:.2f}" for seconds in in_all]),
        row("speed-up, by the word: writing", ["", _ratio(*writing)]),
        row("speed-up, by the word: in all", ["", _ratio(*in_all)]),
    ]


def _per_100_words(answer: Answer, seconds: float) -> float:
    return 100 * seconds / n_words(answer.text) if n_words(answer.text) else math.nan


def _ratio(serial: float, parallel: float) -> str:
    return f"{serial / parallel:.2f}" if parallel > 0 else "-"
