"""Two runs of one suite side by side: what changed beyond chance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aspd_local.errors import DataError
from aspd_local.eval.bootstrap import estimate
from aspd_local.eval.faults import faults
from aspd_local.eval.results import Outcome, Results


def compare(before: Results, after: Results) -> dict[str, Any]:
    """For each contestant of both runs: the change of each figure over the questions that both have.

    `time`: seconds a token of the text, after / before. `right`, `faults`, `nats`: after - before.

    Raises DataError: the runs share no contestant and question.
    """
    found: dict[str, Any] = {}
    for name in before.contestants:
        one, two = before.of(name), after.of(name)
        keys = [key for key in one if key in two]
        if keys:
            pairs = [(one[key], two[key]) for key in keys]
            found[name] = {
                "n": len(keys),
                "equal_texts": sum(a.text == b.text for a, b in pairs),
                **_changes(pairs),
            }
    if not found:
        raise DataError(str(after.said["suite"]), "the runs share no contestant and question")
    return found


def _changes(pairs: list[tuple[Outcome, Outcome]]) -> dict[str, Any]:
    times = [
        (b.seconds / b.n_text_tokens) / (a.seconds / a.n_text_tokens)
        for a, b in pairs
        if a.n_text_tokens and b.n_text_tokens
    ]
    right = [b.right - a.right for a, b in pairs if a.right is not None and b.right is not None]
    counts = [float(_n_faults(b) - _n_faults(a)) for a, b in pairs]
    nats = [
        b.nats / b.n_judged - a.nats / a.n_judged
        for a, b in pairs
        if a.nats is not None and b.nats is not None and a.n_judged and b.n_judged
    ]
    return {
        "time": _said(times, same=1.0),
        "right": _said(right, same=0.0),
        "faults": _said(counts, same=0.0),
        "nats": _said(nats, same=0.0),
    }


def _n_faults(outcome: Outcome) -> int:
    return sum(len(faults(attempt)) for attempt in outcome.attempts)


def _said(values: list[float], *, same: float) -> Mapping[str, Any] | None:
    found = estimate(values)
    if found is None:
        return None
    differs = not found.low <= same <= found.high
    return {**found.to_json(), "verdict": "differs" if differs else "no difference seen at this size"}
