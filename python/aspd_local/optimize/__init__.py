"""Requantises a model so that steps of a few lanes are cheap on this machine: the work of `aspd optimize`.

Each candidate is written, timed and scored on a text; the fastest within a stated loss is kept. Knows neither
protocols nor how the engine schedules its steps.
"""

from __future__ import annotations

import importlib.resources
import math
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aspd_local import _core
from aspd_local.errors import DecodeError, DiskFullError, ModelError
from aspd_local.optimize import trial
from aspd_local.optimize.candidates import Measured, Types, candidates, choose, predicted_size
from aspd_local.sources.store import is_disk_full, publish, require_space

__all__ = ["Measured", "Report", "Settings", "Types", "check_out", "optimize", "warnings"]

_STEADY = 1.3  # spread of a curve that is still fit to choose by

# Called with what is being done and the share of the whole that is behind, 0 to 1.
Progress = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What to try and how to measure it.

    Attributes:
        weights, heads: names of types; empty: those that make sense for the source.
        max_loss: largest relative rise of the perplexity that is accepted.
        text: what the perplexity is measured on; None: a text of the package's own.
        max_tokens: tokens of the text that are read, at least 64.
        n_threads: 0: physical cores.
        n_gpu_layers: layers on the GPU, if there is one; negative: all.
    """

    weights: Sequence[str] = ()
    heads: Sequence[str] = ()
    max_loss: float = 0.02
    text: str | None = None
    max_tokens: int = 2048
    n_threads: int = 0
    n_gpu_layers: int = -1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.max_loss) and self.max_loss >= 0):
            raise ValueError(f"max_loss must be a number of at least 0, not {self.max_loss}")
        if self.max_tokens < trial.FEWEST_TOKENS:
            raise ValueError(f"max_tokens must be at least {trial.FEWEST_TOKENS}, not {self.max_tokens}")
        if self.n_threads < 0:
            raise ValueError(f"n_threads must be at least 0, not {self.n_threads}")


@dataclass(frozen=True, kw_only=True)
class Report:
    """What came out.

    Attributes:
        source: the file as it was.
        candidates: in the order in which they were tried.
        failed: candidates that llama.cpp could not write or compute, and why.
        chosen: the one that was written; None: no file was.
        max_loss: that was accepted.
        n_tokens: of the text that the perplexity was measured on.
    """

    source: Measured
    candidates: tuple[Measured, ...]
    failed: tuple[tuple[Types, str], ...]
    chosen: Measured | None
    max_loss: float
    n_tokens: int

    def why_nothing(self) -> str:
        """Why no file was written; empty if one was."""
        if self.chosen is not None:
            return ""
        if not self.candidates:
            return "no candidate could be measured"
        least = min(self.candidates, key=lambda each: each.loss)
        if least.loss > self.max_loss:
            lost = f"{least.types} loses least, {least.loss:.2%}"
            return f"every candidate loses more than {self.max_loss:.2%}; {lost}"
        return "no candidate within the loss is clearly faster than the source"

    def doubts(self) -> list[str]:
        """What speaks against the measured times."""
        spread = max(each.curve.spread for each in (self.source, *self.candidates))
        if spread < _STEADY:
            return []
        return [
            f"times of the same step differed by a factor of up to {spread:.1f}: something else was running; "
            "the choice is doubtful, do it again on a quiet machine"
        ]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "source": self.source.to_dict(),
            "candidates": [each.to_dict() for each in self.candidates],
            "failed": [
                {"weights": types.weights, "head": types.head, "reason": reason}
                for types, reason in self.failed
            ],
            "chosen": None if self.chosen is None else self.chosen.to_dict(),
            "max_loss": self.max_loss,
            "n_tokens": self.n_tokens,
        }


def optimize(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Tries the candidates and writes the best to `out`, whole or not at all.

    Args:
        source: a GGUF file: F32, F16, BF16, or already quantised (see `warnings`).
        out: the file to write. While it works, one candidate at a time lies beside it.
        settings: what to try; None: as they come.
        force: replace `out` if it exists.
        progress: whatever it raises stops the work and leaves nothing behind.

    Raises:
        ValueError: `out` cannot be (see `check_out`); a type that is unknown or does not fit the model's
            rows; a text of less than 64 tokens.
        ModelError: `source` is missing, not GGUF, split into several files, or cannot decode branches.
        DiskFullError: there is no room for a candidate beside `out`.
        DecodeError: llama.cpp could not compute the source.
        OSError: `out` cannot be written.
    """
    settings, source, out = settings or Settings(), Path(source), Path(out)
    check_out(out, source, force=force)
    summary = _core.summarize_weights(str(source))
    plan = candidates(summary, settings.weights, settings.heads)
    largest = max(predicted_size(summary, types) for types in plan)
    require_space(str(out), out.parent, largest)
    conditions = trial.Conditions(
        text=built_in_text() if settings.text is None else settings.text,
        max_tokens=settings.max_tokens,
        n_threads=settings.n_threads,
        n_gpu_layers=settings.n_gpu_layers,
    )
    stages = _Stages(progress, len(plan) + 2)
    start = trial.Source(source, conditions, stages.next(f"measuring {source.name}"))

    found: list[Measured] = []
    failed: list[tuple[Types, str]] = []
    incomplete = out.with_name(f".{out.name[:200]}.{secrets.token_hex(4)}.incomplete")
    try:
        for number, types in enumerate(plan, 1):
            told = stages.next(f"{types} ({number} of {len(plan)})")
            try:
                trial.write(start, incomplete, types, _part(told, 0.0, 0.3))
                found.append(trial.measure(start, incomplete, types, _part(told, 0.3, 0.7)))
            except (ModelError, DecodeError) as error:
                failed.append((types, error.message))
        chosen = choose(start.measured, found, settings.max_loss)
        if chosen is not None:
            trial.write(start, incomplete, chosen.types, stages.next(f"writing {chosen.types}"))
            check_out(out, source, force=force)
            publish(incomplete, out)
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise DiskFullError(str(out), str(out.parent), largest) from error
    finally:
        incomplete.unlink(missing_ok=True)
    return Report(
        source=start.measured,
        candidates=tuple(found),
        failed=tuple(failed),
        chosen=chosen,
        max_loss=settings.max_loss,
        n_tokens=len(start.nll),
    )


def check_out(out: Path, source: Path | None = None, *, force: bool) -> None:
    """Raises ValueError unless `out` may be written: not the source, in a folder, new or with `force`."""
    if not out.name or not out.parent.is_dir():
        raise ValueError(f"{out}: there is no such folder")
    if not os.access(out.parent, os.W_OK):
        raise ValueError(f"{out}: the folder cannot be written")
    if not out.exists():
        return
    if source is not None and source.exists() and out.samefile(source):
        raise ValueError(f"{out}: this is the model itself")
    if not out.is_file():
        raise ValueError(f"{out}: is not a file")
    if not force:
        raise ValueError(f"{out}: exists already")


def warnings(source: str | os.PathLike[str]) -> list[str]:
    """What one should know before this file is requantised. Raises ModelError, as optimize()."""
    summary = _core.summarize_weights(os.fspath(source))
    if not summary.quantised:
        return []
    return [
        f"the file is quantised already ({summary.weights}, head {summary.head}); what that has cost stays "
        "lost, and losses are counted from there; an F16 or BF16 file of the model gives a better result"
    ]


def built_in_text() -> str:
    """The package's own text: about 2,000 tokens of questions and answers of several kinds."""
    return importlib.resources.files(__name__).joinpath("text.txt").read_text(encoding="utf-8")


class _Stages:
    """Turns the share of a stage into that of the whole."""

    def __init__(self, progress: Progress | None, n_stages: int) -> None:
        self._progress = progress
        self._n_stages = n_stages
        self._begun = 0

    def next(self, label: str) -> trial.Told:
        """Begins a stage; what it returns takes the share of it that is done."""
        behind = self._begun
        self._begun += 1

        def told(done: float) -> None:
            if self._progress is not None:
                self._progress(label, (behind + done) / self._n_stages)

        told(0.0)
        return told


def _part(told: trial.Told, begin: float, length: float) -> trial.Told:
    return lambda done: told(begin + length * done)
