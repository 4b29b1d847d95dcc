"""`aspd train export`: an adapter, or a whole model that runs natively. Merging itself is the core's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aspd_local import _core
from aspd_local.errors import DataError

Progress = Callable[[str, int, int], None]
_PARTS = 1000  # of a bar


@dataclass(frozen=True, kw_only=True)
class Types:
    """Types of the weights and of the output head, by ggml's names."""

    weights: str
    head: str


def export_adapter(run: Path, base: Path, out: Path) -> None:
    """Writes the adapter of a run's folder. Raises: as write_adapter; DataError for another folder."""
    from aspd_local.train.export import read_weights, write_adapter

    write_adapter(_read_run(run), read_weights(run), base, out)


def _read_run(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "run.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(str(folder), "no training run is here") from error


@dataclass(frozen=True, kw_only=True)
class Export:
    """What becomes a model file.

    Attributes:
        source: the folder of a run, or an adapter file.
        base: the GGUF file that was trained on, or another quantisation of it.
        out: the file to write.
        types: None: what `aspd optimize` chooses here.
    """

    source: Path
    base: Path
    out: Path
    types: Types | None = None


def export_model(wanted: Export, folder: Path, progress: Progress | None = None) -> None:
    """Merges and quantises. folder: for what is written in between, on the disk of the file to write.

    Raises:
        ModelError: adapter and base do not fit each other.
        ValueError: unknown types, or types that the model's rows do not allow.
        DataError, OSError: as export_adapter().
    """
    tell = progress or _silent
    whole, part = folder / "merged.gguf", folder / "out.gguf"
    run = _read_run(wanted.source) if wanted.source.is_dir() else None
    if run is not None and run["config"]["method"] == "full":
        from aspd_local.train.export import read_weights
        from aspd_local.train.whole import write_whole

        tell("writing", 0, _PARTS)
        write_whole(run, read_weights(wanted.source), wanted.base, whole)
    else:
        adapter = wanted.source
        if adapter.is_dir():
            adapter = folder / "adapter.gguf"
            export_adapter(wanted.source, wanted.base, adapter)
        _core.merge(
            str(wanted.base), str(adapter), str(whole), lambda done: tell("merging", _share(done), _PARTS)
        )
    if (types := wanted.types) is not None:
        options = _core.QuantizeOptions()
        options.weights, options.head = types.weights.upper(), types.head.upper()
        _core.quantize(str(whole), str(part), options, lambda done: tell("quantising", _share(done), _PARTS))
    else:
        from aspd_local import optimize

        def told(_label: str, done: float) -> None:
            tell("optimising", _share(done), _PARTS)

        report = optimize.optimize(whole, part, progress=told)
        if report.chosen is None:
            raise DataError(str(wanted.out), "no types stay within the loss; name them with --weights")
    part.replace(wanted.out)


def _share(done: float) -> int:
    return round(_PARTS * done)


def _silent(_what: str, _done: int, _all: int) -> None:
    """Tells nobody."""
