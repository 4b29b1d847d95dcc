"""Which types of weights to try, and which of those that were measured to take. Pure functions of numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aspd_local import _core

WEIGHTS = ("Q4_0", "IQ4_NL", "Q4_K", "Q8_0")
HEADS = ("Q4_0", "Q4_K", "Q6_K", "Q8_0")
DEPTH = 64  # cells of the prefix of a timed step

_HEAVIER = 4 / 3  # bits per weight over the source's beyond which a type is not worth a try
_FITTING = 0.9  # share of the weights whose rows a type must divide
_NOISE = 0.02  # differences of time below this are chance


@dataclass(frozen=True, kw_only=True)
class Types:
    """Types of a file: of the weights, and of the matrix that gives the logits."""

    weights: str
    head: str

    def __str__(self) -> str:
        return f"{self.weights}, head {self.head}"


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What a decode step costs.

    Attributes:
        seconds: width in lanes -> seconds of a step; with 1.
        spread: slowest round of measuring over the quietest, the largest of all widths; 1: nothing else ran.
    """

    seconds: Mapping[int, float]
    spread: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of a file.

    Attributes:
        size_bytes: of the file.
        perplexity: of the text; infinite where the model is broken.
        loss: relative rise of the perplexity over the source's; 0 for the source.
        loss_error: standard error of the loss.
    """

    types: Types
    size_bytes: int
    perplexity: float
    loss: float
    loss_error: float
    curve: Curve

    @property
    def seconds_per_token(self) -> float:
        """Mean over the widths: what candidates are compared by."""
        return statistics.fmean(seconds / width for width, seconds in self.curve.seconds.items())

    def gain(self, n_branches: int) -> float:
        """Predicted speed-up of a block of so many equal branches over writing them one after the other."""
        seconds = self.curve.seconds
        points = [_core.WidthPoint(width, DEPTH, seconds[width]) for width in sorted(seconds)]
        block = _core.BlockForecast()
        block.n_branches, block.body_tokens = n_branches, 1.0
        block.most, block.depth = max(seconds), DEPTH
        return _core.predicted_gain(_core.WidthCurve(points), block)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; None for what is not finite."""
        seconds = self.curve.seconds
        numbers = {"perplexity": self.perplexity, "loss": self.loss, "loss_error": self.loss_error}
        return {
            "weights": self.types.weights,
            "head": self.types.head,
            "size_bytes": self.size_bytes,
            **{name: value if math.isfinite(value) else None for name, value in numbers.items()},
            "ms_per_step": {str(width): 1e3 * seconds[width] for width in sorted(seconds)},
            "gain": {str(width): self.gain(width) for width in sorted(seconds) if width > 1},
            "ms_per_token": 1e3 * self.seconds_per_token,
            "spread": self.curve.spread,
        }


def candidates(
    summary: _core.WeightSummary, weights: Sequence[str] = (), heads: Sequence[str] = ()
) -> list[Types]:
    """All pairs of a type of the weights and one of the head that could be better than what the source has.

    Args:
        summary: of the source.
        weights, heads: names of types, upper or lower case. Empty: the source's own and those of WEIGHTS and
            HEADS, as far as they fit the rows and are at most a third heavier than the source's: bits that
            are gone do not come back.

    Raises:
        ValueError: an unknown type, one that does not fit the rows, or none left to try.
    """
    n_weights = sum(summary.rows.values())

    def fits_weights(kind: _core.WeightType) -> bool:
        fitting = sum(n for row, n in summary.rows.items() if row % kind.block == 0)
        return fitting >= _FITTING * n_weights

    def fits_head(kind: _core.WeightType) -> bool:
        return summary.head_row % kind.block == 0

    if weights:
        tried = _wanted("weights", weights, fits_weights)
    else:
        tried = _sensible((*WEIGHTS, summary.weights), fits_weights, summary.weight_bits)
    if heads:
        tried_heads = _wanted("head", heads, fits_head)
    else:
        tried_heads = _sensible((*HEADS, summary.head), fits_head, summary.head_bits)
    pairs = [Types(weights=weight, head=head) for weight in tried for head in tried_heads]
    pairs = [types for types in pairs if not _is_source(summary, types)]
    if not pairs:
        raise ValueError("there is nothing to try: no other types fit this model")
    return pairs


def _wanted(part: str, names: Sequence[str], fits: Callable[[_core.WeightType], bool]) -> list[str]:
    """Names that a person gave, each once."""
    known = {kind.name: kind for kind in _core.weight_types()}
    wanted = list(dict.fromkeys(name.upper() for name in names))
    for name in wanted:
        if name not in known:
            raise ValueError(f"unknown type {name!r}: one of {', '.join(known)}")
        if not fits(known[name]):
            raise ValueError(
                f"{name} does not fit the {part}: it needs rows of a multiple of {known[name].block}"
            )
    return wanted


def _sensible(
    names: Sequence[str], fits: Callable[[_core.WeightType], bool], source_bits: float
) -> list[str]:
    known = {kind.name: kind for kind in _core.weight_types()}
    kinds = [known[name] for name in dict.fromkeys(names) if name in known]
    return [kind.name for kind in kinds if kind.bits <= _HEAVIER * source_bits and fits(kind)]


def _is_source(summary: _core.WeightSummary, types: Types) -> bool:
    """Whether the file would be the source again; not where the source mixes types."""
    bits = {kind.name: kind.bits for kind in _core.weight_types()}
    same = (types.weights, types.head) == (summary.weights, summary.head)
    return same and abs(summary.weight_bits - bits[types.weights]) < 0.01


def predicted_size(summary: _core.WeightSummary, types: Types) -> int:
    """Bytes of a file with these types, within some per cent."""
    bits = {kind.name: kind.bits for kind in _core.weight_types()}
    matrices = summary.n_weights * bits[types.weights] + summary.n_head * bits[types.head]
    return int(summary.other_bytes + matrices / 8)


def choose(source: Measured, found: Sequence[Measured], max_loss: float) -> Measured | None:
    """The fastest candidate within the loss; None if none is clearly faster than the source.

    Where the clock cannot tell candidates apart, the one with the least loss is taken, then the smallest.
    """
    limit = (1 - _NOISE) * source.seconds_per_token
    able = [each for each in found if each.loss <= max_loss and each.seconds_per_token < limit]
    if not able:
        return None
    best = min(each.seconds_per_token for each in able)
    level = [each for each in able if each.seconds_per_token <= (1 + _NOISE) * best]
    return min(level, key=lambda each: (each.loss, each.size_bytes))


def loss_of(source_nll: Sequence[float], nll: Sequence[float]) -> tuple[float, float]:
    """The relative rise of the perplexity and its standard error, from the differences token by token.

    Args:
        source_nll, nll: negative log-likelihoods of the same tokens, [n_tokens], at least two.
    """
    rises = [after - before for before, after in zip(source_nll, nll, strict=True)]
    ratio = _exp(statistics.fmean(rises))
    if not math.isfinite(ratio):
        return math.inf, math.inf
    return ratio - 1, ratio * statistics.stdev(rises) / math.sqrt(len(rises))


def perplexity(nll: Sequence[float]) -> float:
    """Of tokens with these negative log-likelihoods, [n_tokens]; infinite for a broken model."""
    return _exp(statistics.fmean(nll))


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf  # NaN too
