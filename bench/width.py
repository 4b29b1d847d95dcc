"""How many tokens per second do lanes side by side decode, against llama.cpp's own batches?

At every width: the engine answers `width` requests that share one prompt, step by step, sampling included; in
turn with llama-batched-bench on the same prompt length, with a unified cache and a shared prompt, which
decodes given tokens and samples nothing. Its figure is S_TG: width * tokens / seconds of the steps after the
prompt; the engine's is the same. The prompt is in neither; nor are the engine's first step after it, which
builds the graph, and the end of its requests. Prints the medians over the rounds, and the median ratio of the
pairs.

    python bench/width.py --model MODEL [--widths 1-16] [--depth 512] [--tokens 32] [--rounds 3] [--top-k 40]
        [--schedule] [--json]

By default every step has exactly `width` lanes. `--schedule` measures the width curve first and lets the
engine pad steps by it, as aspd_local.Model does.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import comparison

from aspd_local import _core

TEMPERATURE = 0.8  # with top-k; without: 0
SPARE_CELLS = (
    67  # of a lane: 64 that the engine wants free before it admits a request, and three untimed tokens
)
CURVE_STEPS = 6


def parse_widths(text: str) -> list[int]:
    """Widths of "1-16", "1,2,4" or "1-4,8", in order. Raises ArgumentTypeError."""
    widths: set[int] = set()
    for part in text.split(","):
        low, dash, high = part.partition("-")
        try:
            first = int(low)
            last = int(high) if dash else first
        except ValueError:
            raise argparse.ArgumentTypeError(f"{part!r} is neither a number nor a range") from None
        if not 1 <= first <= last <= 128:
            raise argparse.ArgumentTypeError(f"{part!r}: widths go from 1 to 128")
        widths.update(range(first, last + 1))
    return sorted(widths)


def parse(output: str, width: int) -> float:
    """S_TG, tokens per second, out of llama-batched-bench's JSON line. Raises PeerError for anything else."""
    try:
        (line,) = [line for line in output.splitlines() if line.startswith("{")]
        fields = json.loads(line)
        if fields["pl"] == width:
            return float(fields["speed_tg"])
    except (ValueError, KeyError, TypeError):
        pass
    raise comparison.PeerError(f"llama-batched-bench printed something unexpected: {output[:200]!r}")


@dataclass
class Lanes:
    """The engine with a prompt in its cache that the lanes of a run share.

    depth: cells of the shared prompt. tokens: timed steps.
    """

    engine: _core.Engine
    model: _core.Model
    depth: int
    tokens: int
    prompt: list[int] = field(init=False)
    bias: list[tuple[int, float]] = field(init=False)

    def __post_init__(self) -> None:
        draw = random.Random(1)
        self.prompt = [draw.randrange(self.model.n_vocab) for _ in range(self.depth)]
        self.bias = comparison.never_ending(self.model)

    def submit(self, last: int, *, max_tokens: int, retain: bool, top_k: int, seed: int) -> None:
        """A request whose prompt is the shared one with another last token."""
        ids = [*self.prompt[:-1], last]
        request = _core.Request()
        request.prompt = _core.Layout(ids, list(range(len(ids))), [0] * len(ids), [0] * len(ids))
        sampling = _core.SamplingOptions()
        sampling.temperature = TEMPERATURE if top_k else 0.0
        sampling.top_k = top_k
        sampling.top_p, sampling.min_p = 1.0, 0.0
        sampling.seed = seed
        sampling.logit_bias = self.bias
        request.sampling = sampling
        request.max_tokens = max_tokens
        request.retain = retain
        self.engine.submit(request)

    def share_prompt(self) -> None:
        """Leaves the prompt in the cache. A retained sequence that a request uses up whole would leave it."""
        self.engine.clear_retained()
        self.submit(self.prompt[-1], max_tokens=1, retain=True, top_k=0, seed=0)
        while self.engine.has_work:
            self.engine.step()

    def run(self, width: int, top_k: int) -> float:
        """Tokens per second of `width` lanes; top_k 0: greedy.

        Raises PeerError when the lanes did not share the prompt, or did not all run in every step.
        """
        for lane in range(width):
            last = (self.prompt[-1] + 1 + lane) % self.model.n_vocab
            self.submit(last, max_tokens=self.tokens + 2, retain=False, top_k=top_k, seed=lane)
        self.engine.step()  # admits all, and decodes the last token of each prompt
        start = time.perf_counter()
        for _ in range(self.tokens):
            self.engine.step()
        seconds = time.perf_counter() - start
        events = []
        while self.engine.has_work:
            events += self.engine.step()
        done = [event.result.timings for event in events if event.kind == _core.EventKind.DONE]
        if len(done) != width or any(t.cached_tokens != self.depth - 1 for t in done):
            raise comparison.PeerError(f"the {width} lanes do not share the prompt in this engine's cache")
        if any(t.trunk_tokens != self.tokens + 2 for t in done):
            raise comparison.PeerError(f"the {width} lanes did not all run in every step")
        return width * self.tokens / seconds


def set_schedule(engine: _core.Engine, widths: Sequence[int], depth: int) -> None:
    """Measures the width curve at this depth and schedules the steps by it."""
    points = []
    for width in sorted({1, *widths}):
        seconds = statistics.median(engine.measure_step(width, depth, CURVE_STEPS))
        points.append(_core.WidthPoint(width, depth, seconds))
    engine.set_width_curve(_core.WidthCurve(points))


def reference(settings: comparison.Settings, width: int, args: argparse.Namespace) -> float:
    """S_TG of llama-batched-bench, tokens per second. Raises PeerError."""
    cells = args.depth + width * args.tokens
    test = ["--ctx-size", str(cells), "-npp", str(args.depth), "-ntg", str(args.tokens), "-npl", str(width)]
    test += ["-pps", "--kv-unified", "--output-format", "jsonl"]
    command = [str(settings.program("llama-batched-bench")), *settings.flags(), *test]
    return parse(comparison.run(command), width)


def summarise(width: int, rounds: Sequence[tuple[float, float, float]]) -> dict[str, Any]:
    """One entry of `widths`. rounds: (greedy, reference, top-k) tokens per second of each."""
    return {
        "width": width,
        "engine_tokens_per_s": statistics.median(greedy for greedy, _, _ in rounds),
        "reference_tokens_per_s": statistics.median(theirs for _, theirs, _ in rounds),
        "ratio": comparison.ratio_of_pairs((greedy, theirs) for greedy, theirs, _ in rounds),
        "top_k_tokens_per_s": statistics.median(top_k for _, _, top_k in rounds),
        "top_k_ratio": comparison.ratio_of_pairs((top_k, theirs) for _, theirs, top_k in rounds),
    }


def main() -> None:
    """Measures in turn and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    comparison.add_settings(parser)
    parser.add_argument("--widths", type=parse_widths, default=parse_widths("1-16"))
    parser.add_argument("--depth", type=comparison.count, default=512, help="tokens of the shared prompt")
    parser.add_argument("--tokens", type=comparison.count, default=32, help="timed steps of a run")
    parser.add_argument("--rounds", type=comparison.count, default=3)
    parser.add_argument("--top-k", type=comparison.count, default=40)
    parser.add_argument("--schedule", action="store_true", help="pad steps by a width curve measured first")
    args = parser.parse_args()
    if args.depth < 2:
        parser.error("--depth must be at least 2")

    settings = comparison.read_settings(args)
    settings.program("llama-batched-bench")
    widest = max(args.widths)
    model = comparison.load_model(settings)
    options = comparison.engine_options(
        settings, n_ctx=args.depth + widest * (args.tokens + SPARE_CELLS) + 256
    )
    options.n_lanes = options.n_requests = widest
    lanes = Lanes(_core.Engine(model, options), model, args.depth, args.tokens)
    settings = settings.run_as(lanes.engine)
    conditions = settings.conditions()
    if args.schedule:
        set_schedule(lanes.engine, args.widths, args.depth)
    lanes.share_prompt()
    figures: dict[int, list[tuple[float, float, float]]] = {width: [] for width in args.widths}
    for i in range(args.rounds):
        for width in args.widths:
            greedy, theirs = lanes.run(width, 0), reference(settings, width, args)
            figures[width].append((greedy, theirs, lanes.run(width, args.top_k)))
            comparison.progress(
                f"round {i + 1}, width {width}: engine {greedy:.2f}, llama-batched-bench {theirs:.2f}, "
                f"engine with top-k {figures[width][-1][2]:.2f} tokens/s"
            )
    result = {
        **conditions,
        "reference": "llama-batched-bench",
        "depth": args.depth,
        "tokens": args.tokens,
        "rounds": args.rounds,
        "top_k": args.top_k,
        "top_k_temperature": TEMPERATURE,
        "schedule": args.schedule,
        "widths": [summarise(width, rounds) for width, rounds in figures.items()],
    }
    comparison.emit(result, table(result), as_json=args.json)


def table(result: dict[str, Any]) -> list[str]:
    """The result for a person; tokens per second."""
    lines = [f"width    engine  reference  ratio    top-{result['top_k']}  ratio"]
    row = "{width:5}  {engine_tokens_per_s:8.2f}   {reference_tokens_per_s:8.2f}  {ratio:5.2f}  "
    row += "{top_k_tokens_per_s:8.2f}  {top_k_ratio:5.2f}"
    return lines + [row.format(**entry) for entry in result["widths"]]


if __name__ == "__main__":
    sys.exit(comparison.guarded(main))
