"""Is serial decoding through the engine as fast as llama.cpp's own?

Runs the engine and llama-bench (test tg) in turn on the same file with the same threads, and prints the
medians of tokens per second and the median ratio of the pairs. Sampling, and Python's loop around it, are in
the engine's time; llama-bench does not sample.

    python bench/serial.py --model MODEL [--rounds 5] [--tokens 128] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time

import comparison

from aspd_local import _core


def ours(engine: _core.Engine, model: _core.Model, n_tokens: int) -> float:
    """Tokens per second of a serial, greedy answer that may not end."""
    sampling = _core.SamplingOptions()
    sampling.temperature = 0.0
    sampling.logit_bias = comparison.never_ending(model)
    request = _core.Request()
    request.prompt = _core.Layout([max(model.bos, 0)], [0], [0], [0])
    request.sampling = sampling
    request.max_tokens = n_tokens + 1
    request.retain = False
    engine.submit(request)
    engine.step()  # the prompt, and the first token
    start = time.perf_counter()
    steps = 0
    while engine.has_work:
        engine.step()
        steps += 1
    return steps / (time.perf_counter() - start)


def theirs(settings: comparison.Settings, n_tokens: int) -> float:
    """Tokens per second of llama-bench's test tg{n_tokens}. Raises PeerError."""
    test = ["--n-prompt", "0", "--n-gen", str(n_tokens), "--repetitions", "1", "--output", "json"]
    return parse(comparison.run([str(settings.program("llama-bench")), *settings.flags(), *test]))


def parse(output: str) -> float:
    """Tokens per second out of llama-bench's JSON. Raises PeerError for anything else."""
    try:
        (test,) = json.loads(output)
        return float(test["avg_ts"])
    except (ValueError, KeyError, TypeError) as error:
        raise comparison.PeerError(f"llama-bench printed something unexpected: {output[:200]!r}") from error


def main() -> None:
    """Measures in turn and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    comparison.add_settings(parser)
    parser.add_argument("--rounds", type=comparison.count, default=5)
    parser.add_argument("--tokens", type=comparison.count, default=128)
    args = parser.parse_args()

    settings = comparison.read_settings(args)
    settings.program("llama-bench")
    model = comparison.load_model(settings)
    engine = _core.Engine(model, comparison.engine_options(settings, n_ctx=max(512, args.tokens + 64)))
    settings = settings.run_as(engine)
    conditions = settings.conditions()
    pairs = []
    for i in range(args.rounds):
        pairs.append((ours(engine, model, args.tokens), theirs(settings, args.tokens)))
        engine_rate, reference_rate = pairs[-1]
        comparison.progress(
            f"round {i + 1}: engine {engine_rate:.2f}, llama-bench {reference_rate:.2f} tokens/s"
        )
    result = {
        **conditions,
        "reference": "llama-bench",
        "tokens": args.tokens,
        "rounds": args.rounds,
        "pairs": pairs,
        "engine_tokens_per_s": statistics.median(a for a, _ in pairs),
        "reference_tokens_per_s": statistics.median(b for _, b in pairs),
        "ratio": comparison.ratio_of_pairs(pairs),
    }
    line = "engine {engine_tokens_per_s:.2f}, llama-bench {reference_tokens_per_s:.2f} tokens/s: {ratio:.3f}"
    comparison.emit(result, [line.format_map(result)], as_json=args.json)


if __name__ == "__main__":
    sys.exit(comparison.guarded(main))
