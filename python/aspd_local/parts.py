"""What a model is made of: its file is found, loaded and measured, and its parts are put together."""

from __future__ import annotations

import difflib
import functools
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from aspd_local import _core, protocol
from aspd_local.conversation import Conversation
from aspd_local.history import History
from aspd_local.log import drain_log
from aspd_local.loop import Loop
from aspd_local.prompting import Prompting
from aspd_local.schedule import Schedule
from aspd_local.steps import Steps
from aspd_local.typing import EngineSettings

_log = logging.getLogger("aspd_local")

_Word = TypeVar("_Word", bound=str)
Progress = Callable[[int, int | None, str], None]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of a model; each is told of in its own module.

    Attributes:
        path: the model's file. core: its vocabulary and metadata.
    """

    path: Path
    core: _core.Model
    steps: Steps
    schedule: Schedule
    prompting: Prompting
    conversation: Conversation
    loop: Loop


def find(source: str | os.PathLike[str], *, offline: bool, progress: Progress | None) -> Path:
    """The file of a source, fetched if need be. Raises: as Model()."""
    from aspd_local.sources import resolve

    with _shown(progress) as fetching:
        return resolve(os.fsdecode(source), offline=offline, progress=fetching)


def find_in(repo_id: str, pattern: str, *, offline: bool, progress: Progress | None) -> Path:
    """The file of a repository on the hub. Raises: as Model()."""
    from aspd_local.sources import resolve_pattern

    with _shown(progress) as fetching:
        return resolve_pattern(repo_id, pattern, offline=offline, progress=fetching)


def open_parts(
    path: Path, settings: EngineSettings, options: _core.ModelOptions, progress: Progress | None
) -> Parts:
    """Loads a model's file. progress: of the measuring of its steps. Raises: as Model()."""
    from aspd_local import tuning
    from aspd_local.instructions import open_instructions

    measured = _one_of("profile", settings.pop("profile", "auto"), ("auto", "off")) == "auto"
    repack = _one_of("repack", settings.pop("repack", "auto"), ("auto", "on", "off"))
    keep = _one_of("instructions", settings.pop("instructions", "kept"), ("kept", "read")) == "kept"
    given = _given(settings.pop("protocol", None))
    n_gpu_layers = options.n_gpu_layers
    try:
        how = tuning.Tuning(
            path=path, model_options=options, engine_options=_engine_options(settings), repack=repack
        )
        told = None if progress is None else functools.partial(_measuring, progress)
        opened = how.open(measure=measured, progress=told)
    finally:
        drain_log()
    if n_gpu_layers and (reason := _core.missing_gpu()):
        _log.warning("%s; the CPU computes", reason)
    core, engine = opened.model, opened.engine
    steps, history = Steps(engine), History()
    conversation = Conversation(core, path, steps, history)
    own = given or protocol.choose(core)
    bind = functools.partial(protocol.bind, own, core)
    if given is not None:
        bind()  # whether it fits the vocabulary
    schedule = Schedule(steps, opened.profile, bind)
    cells_of = f"{how.settings}, repacked {opened.repacked}"
    kept = open_instructions(core, engine, path, cells_of) if keep else None
    prompting = Prompting(core, steps, schedule, history, own=own, keeps_instructions=kept is not None)
    return Parts(
        path=path,
        core=core,
        steps=steps,
        schedule=schedule,
        prompting=prompting,
        conversation=conversation,
        loop=Loop(core, steps, schedule, conversation, kept),
    )


def _engine_options(settings: EngineSettings) -> _core.EngineOptions:
    options = _core.EngineOptions()
    known = sorted(EngineSettings.__annotations__)
    for key, value in settings.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
            raise ValueError(f"there is no setting {key!r}; {hint}")
        if value is None:
            continue
        try:
            setattr(options, key, value)
        except TypeError as error:
            raise ValueError(f"{key} cannot be {value!r}") from error
    return options


def _given(name: object) -> protocol.ProtocolFile | None:
    """The protocol of a setting. Raises ValueError, ProtocolError."""
    if name is None:
        return None
    if not isinstance(name, str | os.PathLike):
        raise ValueError(f"protocol must be a protocol's name or the path of its file, not {name!r}")
    return protocol.find(os.fsdecode(name))


@contextmanager
def _shown(progress: Progress | None) -> Iterator[Progress | None]:
    """What is told while a file is fetched: a bar, where nobody else shows it and stderr is a terminal."""
    from aspd_local.sources.bar import on_terminal, progress_bar

    if progress is not None or not on_terminal():
        yield progress
        return
    with progress_bar() as bar:
        yield bar


def _measuring(progress: Progress, done: int, total: int) -> None:
    progress(done, total, "measuring")


def _one_of(name: str, value: _Word, words: tuple[_Word, ...]) -> _Word:
    if value not in words:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, words))}, not {value!r}")
    return value
