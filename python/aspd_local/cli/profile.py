"""`aspd profile`: what decode steps cost on this machine, by their width."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aspd_local.cli.asking import EXIT_INTERRUPTED
from aspd_local.cli.flags import MeasuringFlags, Repack, spread
from aspd_local.cli.models import fetched, store
from aspd_local.cli.notes import errors_in_one_line, note
from aspd_local.cli.progress import set_log, warn_without_gpu
from aspd_local.cli.shell import complete_model
from aspd_local.cli.working import need_extra, working
from aspd_local.errors import ModelError
from aspd_local.sources import DEFAULT_MODEL

if TYPE_CHECKING:
    from aspd_local.profile import Extent, Profile
    from aspd_local.tuning import Opened

_BRANCHES = (2, 3, 4, 5, 6, 8)  # whose speed-up is told
_POOR = 1.5  # the best of them is less: other types of weights may do better
_NARROW = ("Q4_0", "Q4_K", "Q6_K", "Q8_0")  # types that our kernels are for, the fastest first
_REPACKED = ("Q4_0", "Q4_K")
_ROUNDS = 3
_SPARE = 64  # cells beside what is measured


@dataclass(frozen=True, kw_only=True)
class ProfileFlags(MeasuringFlags):
    """What is measured, and on what."""

    widths: Annotated[str, typer.Option("--widths", help="Lanes to measure, such as 1-16 or 1,2,4.")] = "1-16"
    depths: Annotated[str, typer.Option("--depths", help="Cells in use, such as 256,1536.")] = "256,1536"
    steps: Annotated[
        int, typer.Option("--steps", help="Steps of which a point is the median, in three rounds.", min=1)
    ] = 9
    repack: Annotated[
        Repack, typer.Option("--repack", help="Weights laid out anew for this CPU; auto: the faster way.")
    ] = Repack.AUTO

    def extent(self) -> Extent:
        """As measure() takes it. Raises ValueError for a list that is none."""
        from aspd_local.profile import Extent

        return Extent(
            widths=_numbers("--widths", self.widths, 128),
            depths=_numbers("--depths", self.depths, 1 << 20),
            n_steps=-(-self.steps // _ROUNDS),
            n_rounds=_ROUNDS,
        )


@spread
def profile(
    flags: ProfileFlags,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A GGUF file, hf:owner/repo:Q4_K_M, or a model's name.",
            autocompletion=complete_model,
        ),
    ] = DEFAULT_MODEL,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw the curve: a .png, .svg or .pdf file.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the table.")
    ] = False,
) -> None:
    """Measure the width curve of a model: what a step of several lanes costs against a step of one.

    Kept in the user's cache, where an engine with profile="auto" finds it, if the widths 1 to 8 are in it.
    """
    set_log(verbose=flags.verbose)
    warn_without_gpu(flags.gpu_layers)
    try:
        with errors_in_one_line():
            extent = flags.extent()
            if plot is not None:
                _require_matplotlib()
            path, opened = _measure(model, extent, flags)
            found = _profile_of(opened)
            if plot is not None:
                _draw(found, path.name, plot)
    except KeyboardInterrupt:
        note("aspd: interrupted; nothing is kept")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if not _profile_of(opened).steady:
        from aspd_local.profile import BUSY

        note(f"aspd: warning: {BUSY}; measure again when it is quiet")
    if as_json:
        typer.echo(json.dumps(_as_dict(path, opened)))
    else:
        _print(path, opened)


def _profile_of(opened: Opened) -> Profile:
    assert opened.profile is not None, "measure() has measured"
    return opened.profile


def _measure(model: str, extent: Extent, flags: ProfileFlags) -> tuple[Path, Opened]:
    from aspd_local import _core
    from aspd_local import profile as verb
    from aspd_local.tuning import Tuning

    path = fetched(model)
    options = _core.ModelOptions()
    options.n_gpu_layers = flags.gpu_layers
    settings = _core.EngineOptions()
    settings.n_threads = settings.n_threads_batch = flags.threads
    settings.n_lanes = max(settings.n_lanes, *extent.widths)
    settings.n_ctx = max(extent.depths) + max(extent.widths) * (extent.n_steps + 1) + _SPARE
    how = Tuning(path=path, model_options=options, engine_options=settings, repack=flags.repack.value)
    with working() as tell:
        opened = how.measure(
            extent, lambda done, total: tell(f"loading and measuring {path.name}", done, total)
        )
    try:
        enough = set(verb.SHORT.widths) <= set(extent.widths)  # to schedule by
        if enough and _profile_of(opened).steady:
            verb.save(_profile_of(opened), store())
    except OSError as error:
        note(f"aspd: the profile cannot be kept: {error}")
    return path, opened


def _numbers(flag: str, text: str, most: int) -> tuple[int, ...]:
    """Numbers and ranges of a list such as "1-4,8". Raises ValueError."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"{flag}: {part.strip()!r} is neither a number nor a range")
        low, high = int(first), int(last) if dash else int(first)
        if not 1 <= low <= high <= most:
            raise ValueError(f"{flag}: {part.strip()!r} is not within 1 to {most}")
        found.update(range(low, high + 1))
    return tuple(sorted(found))


def _as_dict(path: Path, opened: Opened) -> dict[str, object]:
    found = _profile_of(opened)
    return {
        "model": str(path),
        **found.to_dict(),
        "bargains": found.bargains(),
        "speedups": {str(n): found.speedup(n) for n in _BRANCHES},
        "other_way": opened.other_way,
    }


def _print(path: Path, opened: Opened) -> None:
    from rich.console import Console
    from rich.table import Table

    found = _profile_of(opened)
    console = Console(width=None if sys.stdout.isatty() else 1000, markup=False, highlight=False)
    typer.echo(f"{path.name}, {found.key.device}, {found.key.n_threads_batch} threads")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("lanes", justify="right")
    seconds = {(point.width, point.depth): point.seconds for point in found.points}
    for depth in found.depths():
        table.add_column(f"ms, {depth} cells", justify="right")
        table.add_column("of one", justify="right")
        table.add_column("tokens/s", justify="right")
    table.add_column("")
    for width in found.widths():
        row = [str(width)]
        for depth in found.depths():
            step = seconds[width, depth]
            row += [f"{1e3 * step:.1f}", f"{step / seconds[1, depth]:.2f}", f"{width / step:.1f}"]
        table.add_row(*row, "bargain" if width in found.bargains() else "")
    console.print(table)
    if opened.other_way is not None:
        this, other = ("repacked", "as they are") if found.repacked else ("as they are", "repacked")
        typer.echo(f"weights {this}; {other} a token takes {opened.other_way:.2f} times as long")
    gains = [(n, found.speedup(n)) for n in _BRANCHES]
    typer.echo(f"a token of a prompt: {1e3 * found.prompt_token_s:.1f} ms")
    typer.echo("speed-up of equal branches: " + ", ".join(f"{n}: {gain:.2f}" for n, gain in gains))
    if (best := max(gain for _, gain in gains)) < _POOR:
        typer.echo(
            f"No number of branches gains more than {best:.2f}: narrow steps are slow with the types of this "
            f"file's weights{_better_types(path)}. `aspd optimize {path.name} -o FILE` tries others."
        )


def _better_types(path: Path) -> str:
    """What the file has, and for which types narrow steps are fast here; empty where that says nothing."""
    from aspd_local import _core

    fast = [name for name in _NARROW if _core.has_kernel(name[0].lower() + name[1:], name in _REPACKED)]
    try:
        has = _core.summarize_weights(str(path))
    except ModelError:  # in several files
        return ""
    if not fast or {has.weights, has.head} <= set(fast):
        return ""
    return f" ({has.weights}, head {has.head}); those of {', '.join(fast)} are not on this processor"


def _require_matplotlib() -> None:
    need_extra("--plot", ["matplotlib"], "plot")


def _draw(found: Profile, name: str, file: Path) -> None:
    """Raises ValueError: matplotlib knows no such kind of file, or it cannot be written."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for depth in found.depths():
        points = [point for point in found.points if point.depth == depth]
        one = next(point.seconds for point in points if point.width == 1)
        times = [point.seconds / one for point in points]
        axes.plot(
            found.widths(), times, marker="o", label=f"{depth} cells in use ({1e3 * one:.1f} ms at one lane)"
        )
    axes.plot(found.widths(), found.widths(), color="grey", linestyle=":", label="no gain")
    axes.set(
        xlabel="lanes in a step", ylabel="time against one lane", title=name, xlim=(0, None), ylim=(0, None)
    )
    axes.legend()
    try:
        figure.savefig(file)
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror or error}") from error
