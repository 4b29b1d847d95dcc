"""Do our kernels change what a model predicts?

Reads a text in pieces, each with our kernels and with llama.cpp's own, and prints both perplexities, and how
far the log probabilities of single tokens are apart.

    python bench/perplexity.py --model MODEL --text FILE.jsonl [--tokens 50000] [--json]

The text is the field `answer` of each line. A piece is read from an empty cache.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from pathlib import Path
from typing import Any

import comparison
import replay

from aspd_local import _core

PIECE = 512  # tokens


def scores(engine: _core.Engine, token_ids: list[int], *, on: bool) -> list[float]:
    """Log probability of each token but the first."""
    trunk = [0] * len(token_ids)
    with comparison.kernels(on):
        found = engine.score(_core.Layout(token_ids, list(range(len(token_ids))), trunk, trunk))
    engine.clear_retained()
    return found[1:]


def main() -> None:
    """Scores and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    comparison.add_settings(parser)
    parser.add_argument("--text", type=Path, required=True, help="JSONL with a field answer")
    parser.add_argument("--tokens", type=comparison.count, default=50_000)
    args = parser.parse_args()
    if not _core.kernels():
        raise ValueError("this build or processor has no kernels of ours")
    settings = comparison.read_settings(args)
    model = comparison.load_model(settings)
    options = comparison.engine_options(settings, n_ctx=2 * PIECE)
    options.n_outputs_max = PIECE
    engine = _core.Engine(model, options)
    settings = settings.run_as(engine)
    token_ids = model.tokenize("\n\n".join(replay.read(args.text)), False)[: args.tokens]
    ours: list[float] = []
    theirs: list[float] = []
    for at in range(0, len(token_ids) - 1, PIECE):
        piece = token_ids[at : at + PIECE]
        ours += scores(engine, piece, on=True)
        theirs += scores(engine, piece, on=False)
        comparison.progress(f"{at + len(piece)} of {len(token_ids)} tokens")
    apart = [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
    result: dict[str, Any] = {
        **settings.conditions(),
        "kernels": _core.kernels(),
        "tokens": len(token_ids),
        "perplexity": math.exp(-statistics.fmean(ours)),
        "reference_perplexity": math.exp(-statistics.fmean(theirs)),
        "mean_difference": statistics.fmean(apart),
        "largest_difference": max(apart),
    }
    line = "{tokens} tokens: perplexity {perplexity:.5f}, llama.cpp's kernels {reference_perplexity:.5f}; "
    line += "log probabilities differ by {mean_difference:.5f} in the mean, {largest_difference:.3f} at most"
    comparison.emit(result, [line.format(**result)], as_json=args.json)


if __name__ == "__main__":
    sys.exit(comparison.guarded(main))
