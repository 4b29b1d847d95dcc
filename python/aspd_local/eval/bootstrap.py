"""Intervals of statistics over questions, by resampling the questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Statistic = Literal["mean", "median", "p10", "p90"]
_PERCENTILES = {"median": 50, "p10": 10, "p90": 90}
N_RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """Rounded: an interval has no more digits."""
        return {name: round(getattr(self, name), 5) for name in ("value", "low", "high")}


def estimate(values: Sequence[float], statistic: Statistic = "mean") -> Estimate | None:
    """A statistic of values, one a question, with its interval; None without values.

    The resamples are the same at every call, so that a summary can be rebuilt.
    """
    if not values:
        return None
    array = np.asarray(values, dtype=np.float64)
    rows = array[_draws(len(array))]
    low, high = np.percentile(_of(rows, statistic), [2.5, 97.5])
    return Estimate(float(_of(array[None], statistic)[0]), float(low), float(high))


def ratio(parts: Sequence[float], wholes: Sequence[float]) -> Estimate | None:
    """Sum of parts / sum of wholes, with its interval; None where the wholes are nothing."""
    if not sum(wholes):
        return None
    above, below = np.asarray(parts, dtype=np.float64), np.asarray(wholes, dtype=np.float64)
    draws = _draws(len(above))
    sums = below[draws].sum(1)
    found = above[draws].sum(1)[sums > 0] / sums[sums > 0]
    low, high = np.percentile(found, [2.5, 97.5])
    return Estimate(float(above.sum() / below.sum()), float(low), float(high))


def _draws(n: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(0, n, size=(N_RESAMPLES, n))


def _of(rows: NDArray[np.float64], statistic: Statistic) -> NDArray[Any]:
    if statistic == "mean":
        return np.asarray(rows.mean(1))
    return np.asarray(np.percentile(rows, _PERCENTILES[statistic], axis=1))
