"""Is serial decoding through the engine as fast as llama.cpp's own?

Runs llama-bench and the engine in turn on the same file with the same threads, and prints the medians of
tokens per second and the ratio, pair by pair.

    python bench/serial.py MODEL --llama-bench PATH [--runs 5] [--tokens 128] [--json OUT]

llama-bench: built from the pinned llama.cpp (docs/building.md).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from pathlib import Path

from aspd_local import _core


def ours(engine: _core.Engine, model: _core.Model, n_tokens: int) -> float:
    """Tokens per second of a serial, greedy answer that may not end; Python's loop is included."""
    sampling = _core.SamplingOptions()
    sampling.temperature = 0.0
    never = float("-inf")
    ends = [token for token in range(model.n_vocab) if model.is_eog(token)]
    sampling.logit_bias = [(token, never) for token in ends]
    request = _core.Request()
    request.prompt = _core.Layout([max(model.bos, 0)], [0], [0], [0])
    request.sampling = sampling
    request.max_tokens = n_tokens
    request.retain = False
    engine.submit(request)
    engine.step()  # the prompt
    start = time.perf_counter()
    steps = 0
    while engine.has_work:
        engine.step()
        steps += 1
    return steps / (time.perf_counter() - start)


def theirs(program: Path, model: Path, n_tokens: int, threads: int) -> float:
    """Tokens per second of llama-bench's test tg{n_tokens}."""
    options = {"-m": model, "-p": 0, "-n": n_tokens, "-t": threads, "-r": 1, "-o": "json"}
    command = [str(part) for part in (program, *(word for pair in options.items() for word in pair))]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(json.loads(output)[0]["avg_ts"])


def main() -> None:
    """Measures in turn and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--llama-bench", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    model = _core.Model.load(str(args.model), _core.ModelOptions())
    options = _core.EngineOptions()
    options.n_ctx = max(512, args.tokens + 64)
    engine = _core.Engine(model, options)
    threads = engine.options.n_threads
    pairs = []
    for _ in range(args.runs):
        pairs.append(
            (
                ours(engine, model, args.tokens),
                theirs(args.llama_bench, args.model, args.tokens, threads),
            )
        )
        print(f"engine {pairs[-1][0]:8.2f} tokens/s   llama-bench {pairs[-1][1]:8.2f} tokens/s", flush=True)
    result = {
        "threads": threads,
        "engine": statistics.median(a for a, _ in pairs),
        "llama_bench": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(a / b for a, b in pairs),
    }
    print(json.dumps(result))
    if args.json:
        args.json.write_text(json.dumps({"pairs": pairs, **result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
