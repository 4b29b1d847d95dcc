"""Models by the names that requests use: loaded when they are asked for, given up when they are idle."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from aspd_local import _core
from aspd_local.embedder import Embedder
from aspd_local.errors import DownloadError, ModelError, ProtocolError
from aspd_local.log import drain_log
from aspd_local.model import Model
from aspd_local.server.config import ServerConfig
from aspd_local.server.loop import EngineLoop
from aspd_local.server.problems import Problem, busy
from aspd_local.sources import resolve
from aspd_local.typing import EngineSettings

_log = logging.getLogger("aspd_local.server")


@dataclass
class Entry:
    """A model that requests may name.

    Attributes:
        name: of requests. source: as Model() takes it.
        engine, embedder: while it is loaded, to write and to embed. n_users: requests that use it now.
        used: when the last one ended.
    """

    name: str
    source: str
    created: int
    engine: EngineLoop | None = None
    embedder: Embedder | None = None
    n_users: int = 0
    used: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def n_bytes(self) -> int:
        """In memory: weights and cache."""
        written = 0 if self.engine is None else memory_of(self.engine.model)
        return written + (0 if self.embedder is None else self.embedder.size_bytes)

    @property
    def loaded(self) -> bool:
        """Whether anything of it is in memory."""
        return self.engine is not None or self.embedder is not None


class Pool:
    """All models of a server. On one event loop."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        now = int(time.time())
        self.entries = {name: Entry(name, source, now) for name, source in config.models.items()}
        self._sweeper: asyncio.Task[None] | None = None

    def entry(self, name: str | None) -> Entry:
        """The model of this name; the first for None. Raises Problem (404)."""
        found = self.entries.get(self._config.default_model if name is None else name)
        if found is None:
            why = f"there is no model {name!r} here; there are: {', '.join(self.entries)}"
            raise Problem(404, why[:1000], param="model", code="model_not_found")
        return found

    @asynccontextmanager
    async def use(self, name: str | None) -> AsyncIterator[EngineLoop]:
        """A loaded model; it stays loaded inside.

        Raises:
            Problem: there is none of this name (404), it makes embeddings only (400), it cannot be loaded, or
                memory is missing (503).
        """
        async with self._held(name) as entry:
            async with entry.lock:
                engine = entry.engine or await self._load(entry)
            yield engine

    @asynccontextmanager
    async def use_embedder(self, name: str | None) -> AsyncIterator[Embedder]:
        """A loaded model that makes embeddings. Raises: as use(); 400 where it makes none."""
        async with self._held(name) as entry:
            async with entry.lock:
                embedder = entry.embedder or await self._load_embedder(entry)
            yield embedder

    @asynccontextmanager
    async def _held(self, name: str | None) -> AsyncIterator[Entry]:
        entry = self.entry(name)
        entry.n_users += 1
        try:
            yield entry
        finally:
            entry.n_users -= 1
            entry.used = time.monotonic()

    async def _load(self, entry: Entry) -> EngineLoop:
        if entry.embedder is not None and not entry.embedder.can_write:
            raise _embeds_only(entry)
        begun = time.monotonic()
        config = self._config
        await self._make_room_for(entry, lambda: _expected(entry.source, config.engine))
        try:
            with _told(entry):
                model = await asyncio.to_thread(self._open, entry.source)
        except Problem:
            with suppress(Problem):  # it may be an embedding model
                await self._load_embedder(entry)
            if entry.embedder is None or entry.embedder.can_write:
                raise
            raise _embeds_only(entry) from None
        need = memory_of(model)
        if config.memory_bytes is not None and not await self._make_room(config.memory_bytes - need):
            await asyncio.to_thread(model.close)
            raise _no_room(entry, need)
        entry.engine = EngineLoop(model, config.limits.n_waiting)
        _log.info("%s: loaded in %.1f s, %d MiB", entry.name, time.monotonic() - begun, need >> 20)
        return entry.engine

    async def _load_embedder(self, entry: Entry) -> Embedder:
        begun = time.monotonic()
        config = self._config
        threads = config.engine.get("n_threads_batch") or config.engine.get("n_threads", 0)
        source = entry.source if entry.engine is None else entry.engine.model
        if entry.engine is None:
            await self._make_room_for(entry, lambda: _file_size(entry.source))

        def load() -> Embedder:
            return Embedder(
                source, offline=config.offline, n_gpu_layers=config.n_gpu_layers, n_threads=threads
            )

        try:
            with _told(entry):
                entry.embedder = await asyncio.to_thread(load)
        except Problem as problem:
            if not isinstance(problem.__cause__, ModelError) or not _is_sound(entry.source):
                raise
            why = problem.__cause__.message.rpartition(": ")[2]
            raise Problem(400, why, param="model", code="unsupported_model") from None
        _log.info("%s: loaded for embeddings in %.1f s", entry.name, time.monotonic() - begun)
        return entry.embedder

    async def _make_room_for(self, entry: Entry, need: Callable[[], int]) -> None:
        """Before anything is read: what a model will take, as far as its file tells. Raises Problem (503)."""
        if self._config.memory_bytes is None:
            return
        n_bytes = await asyncio.to_thread(need)
        if not await self._make_room(self._config.memory_bytes - n_bytes):
            raise _no_room(entry, n_bytes)

    def _open(self, source: str) -> Model:
        config = self._config
        return Model(source, offline=config.offline, n_gpu_layers=config.n_gpu_layers, **config.engine)

    async def _make_room(self, n_bytes: int) -> bool:
        """Gives up idle models, the longest unused first, until others hold at most n_bytes."""
        while sum(entry.n_bytes for entry in self.entries.values()) > n_bytes:
            idle = [entry for entry in self.entries.values() if entry.loaded and not entry.n_users]
            if not idle:
                return False
            await self._unload(min(idle, key=lambda entry: entry.used))
        return n_bytes >= 0

    async def _unload(self, entry: Entry) -> None:
        if not entry.loaded:
            return
        engine, entry.engine, entry.embedder = entry.engine, None, None
        if engine is not None:
            await asyncio.to_thread(engine.close)
            await asyncio.to_thread(engine.model.close)
        _log.info("%s: unloaded", entry.name)

    # --- a server's life -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Loads the default model, so that the first request need not wait. Raises Problem."""
        try:
            async with self.use(None):
                pass
        except Problem:
            if not self.entry(None).loaded:  # an embedding model is served as one
                raise
        if self._config.keep_alive >= 0:
            self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Cancels what is under way and gives all models up."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for entry in self.entries.values():
            await self._unload(entry)

    async def _sweep(self) -> None:
        keep = self._config.keep_alive
        while True:
            await asyncio.sleep(min(max(keep / 4, 0.05), 5.0))
            now = time.monotonic()
            for entry in self.entries.values():
                if entry.loaded and not entry.n_users and now - entry.used > keep:
                    async with entry.lock:
                        if not entry.n_users:
                            await self._unload(entry)


@contextmanager
def _told(entry: Entry) -> Iterator[None]:
    """What goes wrong while a model is loaded, as a client reads it."""
    try:
        yield
    except (ModelError, DownloadError, ProtocolError, ValueError, OSError) as error:
        raise Problem(
            503, f"the model {entry.name} cannot be loaded: {error}", code="model_not_available"
        ) from error


def _embeds_only(entry: Entry) -> Problem:
    why = f"the model {entry.name} makes embeddings, not text"
    return Problem(400, why, param="model", code="unsupported_model")


def _no_room(entry: Entry, n_bytes: int) -> Problem:
    return busy(f"the model {entry.name} needs {n_bytes >> 20} MiB, which others use")


def _file(source: str) -> Path | None:
    """The file of a model that is on this machine."""
    try:
        return resolve(source, offline=True)
    except (ModelError, DownloadError, ValueError):
        return None


def _is_sound(source: str) -> bool:
    """Whether a model's file is one."""
    path = _file(source)
    if path is None:
        return False
    try:
        _core.check_gguf(str(path))
    except ModelError:
        return False
    return True


def _file_size(source: str) -> int:
    path = _file(source)
    return 0 if path is None else path.stat().st_size


def _expected(source: str, settings: EngineSettings) -> int:
    """Bytes that a model will take, from its file alone; 0 where that tells nothing."""
    if (path := _file(source)) is None:
        return 0
    options = _core.ModelOptions()
    options.vocab_only = True
    try:
        core = _core.Model.load(str(path), options)
    except ModelError:
        return 0  # loading says why
    finally:
        drain_log()
    n_cells = settings.get("n_ctx", 0) or min(core.n_ctx_train, _core.DEFAULT_CELLS)
    return path.stat().st_size + _cache_bytes(core, n_cells, settings.get("cache_type", "f16"))


def memory_of(model: Model) -> int:
    """Bytes of weights and cache."""
    options = model.engine.options
    return model.core.size_bytes + _cache_bytes(model.core, model.n_ctx, options.cache_type)


def _cache_bytes(core: _core.Model, n_cells: int, cache_type: str) -> int:
    said = core.metadata()

    def number(key: str, default: int) -> int:
        text = said.get(f"{core.architecture}.{key}", "")
        return int(text) if text.isdecimal() else default

    if said.get(f"{core.architecture}.attention.causal") == "false":
        return 0  # it sees a text as a whole and keeps nothing
    n_heads = max(number("attention.head_count", 1), 1)
    width = number("embedding_length", 0) // n_heads
    n_kv = number("attention.head_count_kv", n_heads)
    row = n_kv * (number("attention.key_length", width) + number("attention.value_length", width))
    bits = {"f32": 32, "f16": 16, "q8_0": 8.5}[cache_type]
    return int(n_cells * number("block_count", 0) * row * bits / 8)
