"""Losses of examples, apart by what their tokens are. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from aspd_local.train.packing import Row
from aspd_local.train.samples import Kind

CONTENT = (Kind.TRUNK, Kind.TITLE, Kind.BODY, Kind.TAIL)  # markers are no text


@dataclass(kw_only=True)
class Losses:
    """Sums over examples.

    Attributes:
        nats: kind -> sum of negative log-likelihoods. tokens: kind -> how many.
        n_plain: tokens of the plain texts.
        examples: of each example, (nats of its content, tokens of its plain text): for intervals.
    """

    nats: dict[Kind, float] = field(default_factory=dict)
    tokens: dict[Kind, int] = field(default_factory=dict)
    n_plain: int = 0
    examples: list[tuple[float, int]] = field(default_factory=list)

    def add(self, row: Row, log_likelihoods: NDArray[np.float32], plain: list[int]) -> None:
        """A row's [n_learnt] log-likelihoods; plain: tokens of the plain text of each of its examples."""
        content = np.isin(row.kinds, [int(kind) for kind in CONTENT])
        # the end of a serial answer is a marker; so is that of a parallel one
        for kind in Kind:
            chosen = row.kinds == int(kind)
            if chosen.any():
                self.nats[kind] = self.nats.get(kind, 0.0) - float(log_likelihoods[chosen].sum())
                self.tokens[kind] = self.tokens.get(kind, 0) + int(chosen.sum())
        for number, n_plain in enumerate(plain):
            own = content & (row.examples == number)
            self.examples.append((-float(log_likelihoods[own].sum()), n_plain))
        self.n_plain += row.n_plain

    @property
    def per_token(self) -> float:
        """Nats for each token of the plain text: titles count, markers do not."""
        return sum(self.nats.get(kind, 0.0) for kind in CONTENT) / max(1, self.n_plain)

    @property
    def learnt(self) -> float:
        """Nats for each learnt token, markers included: what training lowers."""
        return sum(self.nats.values()) / max(1, sum(self.tokens.values()))

    def apart(self) -> dict[str, float]:
        """Nats for each token, by kind."""
        return {kind.name.lower(): self.nats[kind] / self.tokens[kind] for kind in sorted(self.nats)}
