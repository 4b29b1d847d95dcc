"""The thresholds that ship with the package, by scorer."""

from __future__ import annotations

import json
from importlib.resources import files

from aspd_local.data.config import Thresholds


def fitted(scorer: str) -> Thresholds | None:
    """The thresholds that were fitted for a model, by its name or the name of its file; None for another."""
    return _all().get(scorer.rsplit("/", 1)[-1].removesuffix(".gguf").lower())


def strictest() -> Thresholds:
    """For a model that nothing was fitted for: the lowest of all that were."""
    known = list(_all().values())
    return Thresholds(
        scorer="other", gain=min(each.gain for each in known), join=min(each.join for each in known)
    )


def _all() -> dict[str, Thresholds]:
    text = files("aspd_local.data").joinpath("thresholds.json").read_text(encoding="utf-8")
    return {name: Thresholds(scorer=name, **values) for name, values in json.loads(text).items()}
