"""A protocol's instructions, read once for each model: their cells are kept in the user's cache.

Every question under `prompted` begins with them, and reading some thousand tokens takes a new process
seconds. A file is 32 bytes of sha256, then the cells in llama.cpp's private format. What they belong to makes
its name: the model's file as it is (path, size, time of change), the engine's build and settings, the tokens.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from aspd_local import _core
from aspd_local.errors import AspdError, ContextFullError, EngineBusyError
from aspd_local.sources.store import Store, write_whole

_log = logging.getLogger("aspd_local")

# Smaller models read them at once.
LEAST_PARAMETERS = 10_000_000
MOST_BYTES = 2**28  # of one file
MOST_FILES = 8
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class CellFile:
    """Where cells are kept."""

    path: Path

    def load(self) -> bytes | None:
        """What save() wrote; None if there is nothing, or it is damaged."""
        try:
            data = self.path.read_bytes()
            os.utime(self.path)  # the file used last goes last
        except OSError:
            return None
        if hashlib.sha256(data[_DIGEST_BYTES:]).digest() == data[:_DIGEST_BYTES]:
            return data[_DIGEST_BYTES:]
        self.drop("it is damaged")
        return None

    def save(self, cells: bytes) -> None:
        """Keeps cells; beyond MOST_FILES, files go that were not used for longest. Raises OSError."""
        write_whole(self.path, hashlib.sha256(cells).digest() + cells)
        files = sorted(self.path.parent.glob("*.cells"), key=lambda path: path.stat().st_mtime)
        for path in files[:-MOST_FILES]:
            path.unlink(missing_ok=True)

    def drop(self, reason: str) -> None:
        """Removes a file that cannot be used."""
        _log.warning("the kept instructions %s are read anew: %s", self.path, reason)
        self.path.unlink(missing_ok=True)


class Instructions:
    """Puts the cells of instructions into an engine before the first question that needs them, and keeps them
    after it where there were none.

    Args:
        engine: of one thread at a time, as its caller sees to.
        model_path: the model's file.
        settings: of the engine, as far as cells depend on them.
        store: None is the user's cache.
    """

    def __init__(
        self, engine: _core.Engine, model_path: Path, settings: str, store: Store | None = None
    ) -> None:
        self._engine = engine
        found = model_path.stat()
        file = (str(model_path.resolve()), found.st_size, found.st_mtime_ns)
        self._facts = (*file, _core.build_info(), settings)
        self._folder = (store or Store()).root / "instructions"

    def before(self, layout: _core.Layout) -> None:
        """Before a question is submitted that begins with `layout`: cells that made room come back.

        Raises:
            EngineBusyError: another thread is inside the engine.
        """
        if self._engine.n_cached(layout) == len(layout):
            return
        file = CellFile(self._path(layout))
        if (cells := file.load()) is None:
            return
        try:
            self._engine.load_state(layout, cells)
        except EngineBusyError:
            raise
        except ContextFullError as error:
            _log.info("the instructions are read anew, as answers under way need the room: %s", error)
        except AspdError as error:
            file.drop(str(error))

    def after(self, layout: _core.Layout) -> None:
        """When that question is answered: what was read is kept."""
        path = self._path(layout)
        if path.exists():
            return
        try:
            cells = self._engine.save_state(layout)
        except EngineBusyError:
            return  # after another answer
        if not 0 < len(cells) <= MOST_BYTES:
            return
        try:
            CellFile(path).save(cells)
        except OSError as error:
            _log.warning("the instructions cannot be kept: %s", error)

    def _path(self, layout: _core.Layout) -> Path:
        facts = json.dumps([*self._facts, layout.token_ids])
        return self._folder / f"{hashlib.sha256(facts.encode()).hexdigest()[:32]}.cells"


def open_instructions(
    model: _core.Model, engine: _core.Engine, model_path: Path, settings: str
) -> Instructions | None:
    """As Instructions; None where reading them anew takes no time, or the model's file cannot be seen."""
    if model.n_params < LEAST_PARAMETERS or not engine.can_join:
        return None
    try:
        return Instructions(engine, model_path, settings)
    except OSError as error:
        _log.warning("the instructions cannot be kept: %s", error)
        return None
