"""One file at a time: written, loaded, timed, scored. Knows not which of them is best."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aspd_local import _core
from aspd_local.errors import DecodeError, ModelError
from aspd_local.log import drain_log
from aspd_local.optimize.candidates import DEPTH, Curve, Measured, Types, loss_of, perplexity

WIDTHS = (1, 2, 4, 8, 16)
FEWEST_TOKENS = 64

_STEPS, _ROUNDS = 5, 3  # timed steps of a width, and how often the widths take turns
_CHUNK = 512  # tokens of the text that see each other

# Called with the share that is done, 0 to 1.
Told = Callable[[float], None]


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """How files are measured.

    Attributes:
        text: what the perplexity is measured on.
        max_tokens: tokens of it that are read.
        n_threads: 0: physical cores.
        n_gpu_layers: layers on the GPU, if there is one; negative: all.
    """

    text: str
    max_tokens: int
    n_threads: int
    n_gpu_layers: int


class Source:
    """The file to start from, measured.

    Raises:
        ModelError: no model file, or one that cannot decode branches.
        ValueError: the text is too short.
        DecodeError: llama.cpp could not compute it.
    """

    def __init__(self, path: Path, conditions: Conditions, told: Told) -> None:
        summary = _core.summarize_weights(str(path))
        model = _load(path, conditions)
        self.path = path
        self.conditions = conditions
        self.token_ids = model.tokenize(conditions.text, False)[: conditions.max_tokens]
        if len(self.token_ids) < FEWEST_TOKENS:
            raise ValueError(
                f"the text has {len(self.token_ids)} tokens; {FEWEST_TOKENS} are needed at least"
            )
        curve, self.nll = _measure(model, self.token_ids, conditions, told)
        if not math.isfinite(perplexity(self.nll)):
            raise DecodeError(0, f"{path}: the model computes no likelihoods")
        self.measured = Measured(
            types=Types(weights=summary.weights, head=summary.head),
            size_bytes=path.stat().st_size,
            perplexity=perplexity(self.nll),
            loss=0.0,
            loss_error=0.0,
            curve=curve,
        )


def write(source: Source, path: Path, types: Types, told: Told) -> None:
    """Writes the source with other types to `path`; where that fails nothing is left of it.

    Raises:
        ModelError: llama.cpp cannot quantise it.
        OSError: `path` cannot be written.
    """
    options = _core.QuantizeOptions()
    options.weights, options.head, options.n_threads = types.weights, types.head, source.conditions.n_threads
    try:
        _core.quantize(str(source.path), str(path), options, told)
    finally:
        drain_log()


def measure(source: Source, path: Path, types: Types, told: Told) -> Measured:
    """Times and scores a file that was made from the source. Raises: as Source."""
    model = _load(path, source.conditions)
    curve, nll = _measure(model, source.token_ids, source.conditions, told)
    loss, loss_error = loss_of(source.nll, nll)
    return Measured(
        types=types,
        size_bytes=path.stat().st_size,
        perplexity=perplexity(nll),
        loss=loss,
        loss_error=loss_error,
        curve=curve,
    )


def _measure(
    model: _core.Model, token_ids: Sequence[int], conditions: Conditions, told: Told
) -> tuple[Curve, list[float]]:
    curve = measure_curve(model, n_threads=conditions.n_threads, told=lambda done: told(done / 2))
    losses = token_losses(
        model, token_ids, n_threads=conditions.n_threads, told=lambda done: told(0.5 + done / 2)
    )
    return curve, losses


def measure_curve(
    model: _core.Model, widths: Sequence[int] = WIDTHS, *, n_threads: int = 0, told: Told | None = None
) -> Curve:
    """Seconds of a decode step by its width: the median of the quietest of three rounds.

    What else the machine does only adds time; the widths take turns, so that it adds to all of them.

    Raises:
        ModelError: the model cannot decode branches.
        DecodeError: llama.cpp could not compute a step.
    """
    engine = _engine(model, n_lanes=max(widths), n_threads=n_threads)
    if not engine.can_join:
        reason = f"{model.path}: only steps of one token are possible: {engine.cannot_join_reason}"
        raise ModelError(reason, model.path)
    rounds: dict[int, list[float]] = {width: [] for width in widths}
    for behind in range(_ROUNDS):
        for number, width in enumerate(widths, 1):
            rounds[width].append(statistics.median(engine.measure_step(width, DEPTH, _STEPS)))
            if told is not None:
                told((behind + number / len(widths)) / _ROUNDS)
    return Curve(
        seconds={width: min(medians) for width, medians in rounds.items()},
        spread=max(max(medians) / min(medians) for medians in rounds.values()),
    )


def token_losses(
    model: _core.Model, token_ids: Sequence[int], *, n_threads: int = 0, told: Told | None = None
) -> list[float]:
    """Negative log-likelihoods of a text's tokens in chunks of 512, without those that nothing predicts.

    Raises:
        DecodeError: llama.cpp could not compute a chunk.
    """
    engine = _engine(model, n_lanes=1, n_outputs_max=128, n_threads=n_threads)
    bos = [model.bos] if model.add_bos and model.bos >= 0 else []
    size = _CHUNK - len(bos)
    losses: list[float] = []
    for begin in range(0, len(token_ids), size):
        ids = [*bos, *token_ids[begin : begin + size]]
        trunk = [0] * len(ids)
        scores = engine.score(_core.Layout(ids, list(range(len(ids))), trunk, trunk))
        losses += [-score for score in scores[1:]]
        if told is not None:
            told(min(1.0, (begin + size) / len(token_ids)))
    return losses


def _load(path: Path, conditions: Conditions) -> _core.Model:
    options = _core.ModelOptions()
    options.n_gpu_layers = conditions.n_gpu_layers
    try:
        return _core.Model.load(str(path), options)
    finally:
        drain_log()


def _engine(model: _core.Model, *, n_lanes: int, n_threads: int, n_outputs_max: int = 0) -> _core.Engine:
    options = _core.EngineOptions()
    options.n_ctx, options.n_lanes, options.n_requests = 1024, n_lanes, 1
    options.n_threads = options.n_threads_batch = n_threads
    options.n_outputs_max = n_outputs_max
    try:
        return _core.Engine(model, options)
    finally:
        drain_log()
