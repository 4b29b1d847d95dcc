"""The pictures of a report, as PNG files."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any

from aspd_local.data.titles import body_of, clean
from aspd_local.eval.attempt import Attempt
from aspd_local.eval.config import SERIAL
from aspd_local.eval.results import Outcome, Results
from aspd_local.eval.summary import speedups

_COLOURS = ("#3b7dd8", "#d8703b", "#3ba36b", "#8a5cc2", "#b0883a", "#c24f6f")


def draw(results: Results, summary: dict[str, Any], folder: Path) -> dict[str, Path]:
    """Writes the pictures; returns caption -> file. Raises OSError."""
    others = [name for name in results.contestants if name != SERIAL]
    found: dict[str, Path] = {}
    if others:
        colours = {SERIAL: "0.4", **dict(zip(others, cycle(_COLOURS), strict=False))}  # in every picture
        found["Speed-up by category, mean with its 95 % interval"] = _by_category(
            summary, others, colours, folder
        )
        found["Speed-ups of single answers"] = _distribution(results, others, colours, folder)
        found["Quality against speed"] = _quality(results, summary, colours, folder)
    best = _most_parallel(results)
    if best is not None:
        question, attempt = best
        found[f"One answer on the time axis: question {question}"] = _waterfall(attempt, folder)
    return found


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=110)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _legend(figure: Any, names: list[str], colours: dict[str, str]) -> None:
    """Beside the axes, where no bar can lie below it."""
    from matplotlib.patches import Patch

    handles = [Patch(color=colours[name], label=name) for name in names]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(names), frameon=False)


def _by_category(summary: dict[str, Any], others: list[str], colours: dict[str, str], folder: Path) -> Path:
    categories = list(summary["contestants"][SERIAL]["speedup_by_category"])
    figure, axes = _figure(7.5, 1.4 + 0.32 * len(categories) * max(1, len(others)))
    height = 0.8 / len(others)
    for number, name in enumerate(others):
        by_category = summary["contestants"][name]["speedup_by_category"]
        for row, category in enumerate(categories):
            if (estimate := by_category[category]) is None:
                continue
            at = row + (number - (len(others) - 1) / 2) * height
            axes.barh(at, estimate["value"], height=0.9 * height, color=colours[name])
            axes.plot([estimate["low"], estimate["high"]], [at, at], color="black", lw=1)
    axes.axvline(1, color="0.4", lw=0.8, ls="--")
    axes.set_yticks(range(len(categories)), [category or "all" for category in categories])
    axes.invert_yaxis()
    axes.set_xlabel("times as fast as serial, per token of the text")
    _legend(figure, others, colours)
    return _save(figure, folder / "speedup_by_category.png")


def _distribution(results: Results, others: list[str], colours: dict[str, str], folder: Path) -> Path:
    figure, axes = _figure(7.5, 3.4)
    serial = results.of(SERIAL)
    values = {name: list(speedups(results.of(name), serial).values()) for name in others}
    top = max((value for found in values.values() for value in found), default=1.0)
    bins = [0.1 * i for i in range(int(10 * min(top, 8.0)) + 3)]
    for name in others:
        axes.hist(values[name], bins=bins, histtype="stepfilled", alpha=0.45, color=colours[name])
    axes.axvline(1, color="0.4", lw=0.8, ls="--")
    axes.set_xlabel("times as fast as serial")
    axes.set_ylabel("answers")
    _legend(figure, others, colours)
    return _save(figure, folder / "speedups.png")


def _quality(results: Results, summary: dict[str, Any], colours: dict[str, str], folder: Path) -> Path:
    """Right answers where they are known, else answers without a visible fault."""
    figure, axes = _figure(6, 4)
    known = any(outcome.right is not None for outcome in results.outcomes)
    shown = []
    for name in results.contestants:
        said = summary["contestants"][name]
        speed = said["speedup"]["mean"]
        quality = said["quality"]["right"] if known else None
        if speed is None or (known and quality is None):
            continue
        shown.append(name)
        if quality is not None:
            at = quality["value"]
            axes.plot([speed["value"]] * 2, [quality["low"], quality["high"]], color=colours[name], lw=1)
        else:
            at = -said["quality"]["faults_total"] / max(1, said["answers"])
        axes.plot([speed["low"], speed["high"]], [at, at], color=colours[name], lw=1)
        axes.plot(speed["value"], at, "o", color=colours[name])
    axes.set_xlabel("times as fast as serial, mean")
    axes.set_ylabel("share of what is known that is right" if known else "visible faults an answer, negative")
    _legend(figure, shown, colours)
    return _save(figure, folder / "quality_and_speed.png")


def _most_parallel(results: Results) -> tuple[str, Attempt] | None:
    """The answer with the most branches that was decoded with reuse of the cache, and its question."""
    forked: list[Outcome] = [
        outcome
        for outcome in results.outcomes
        if outcome.forked and outcome.contestant not in (SERIAL, "skeleton", "reprefill")
    ]
    if not forked:
        return None
    best = max(forked, key=lambda outcome: max(len(attempt.parts) for attempt in outcome.attempts))
    return best.key, max(best.attempts, key=lambda attempt: len(attempt.parts))


def _waterfall(attempt: Attempt, folder: Path) -> Path:
    """The trunk above, below it a bar for each branch from its fork to its end."""
    figure, axes = _figure(8.5, 1.3 + 0.3 * (len(attempt.parts) + 1))
    at = attempt.phases.get("prompt", 0.0)
    axes.barh(0, at, color="0.8")
    for block in attempt.blocks:
        begin, end = min(part.begin_s for part in block), max(part.end_s for part in block)
        axes.barh(0, begin - at, left=at, color="0.45")
        at = end
    axes.barh(0, attempt.seconds - at, left=at, color="0.45")
    labels = ["prompt (light), trunk and plan"]
    for row, part in enumerate(attempt.parts, 1):
        colour = _COLOURS[(part.number - 1) % len(_COLOURS)]
        axes.barh(row, part.end_s - part.begin_s, left=part.begin_s, color=colour)
        axes.text(part.end_s, row, f" {part.n_tokens} tokens", va="center", fontsize=8)
        title = clean(body_of(part.title))
        labels.append(title if len(title) <= 40 else f"{title[:39]}…")
    axes.set_yticks(range(len(labels)), [label.replace("$", r"\$") for label in labels], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("seconds after the question")
    return _save(figure, folder / "waterfall.png")


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path)
    return path
