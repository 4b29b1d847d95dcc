"""Models by the names that requests use: loaded when they are asked for, given up when they are idle."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aspd_local.errors import DownloadError, ModelError
from aspd_local.model import Model
from aspd_local.server.config import ServerConfig
from aspd_local.server.loop import EngineLoop
from aspd_local.server.problems import Problem, busy

_log = logging.getLogger("aspd_local.server")


@dataclass
class Entry:
    """A model that requests may name.

    Attributes:
        name: of requests. source: as Model() takes it.
        engine: while it is loaded. n_users: requests that use it now. used: when the last one ended.
    """

    name: str
    source: str
    created: int
    engine: EngineLoop | None = None
    n_users: int = 0
    used: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def n_bytes(self) -> int:
        """In memory: weights and cache."""
        return 0 if self.engine is None else memory_of(self.engine.model)


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
            raise Problem(404, f"there is no model {name!r} here", param="model", code="model_not_found")
        return found

    @asynccontextmanager
    async def use(self, name: str | None) -> AsyncIterator[EngineLoop]:
        """A loaded model; it stays loaded inside.

        Raises:
            Problem: there is none of this name (404), it cannot be loaded, or memory is missing (503).
        """
        entry = self.entry(name)
        entry.n_users += 1
        try:
            async with entry.lock:
                engine = entry.engine or await self._load(entry)
            yield engine
        finally:
            entry.n_users -= 1
            entry.used = time.monotonic()

    async def _load(self, entry: Entry) -> EngineLoop:
        config = self._config
        begun = time.monotonic()
        if (
            config.memory_bytes is not None
        ):  # before, as far as the file tells; what the cache takes is known later
            await self._make_room(config.memory_bytes - _file_size(entry.source))
        try:
            model = await asyncio.to_thread(self._open, entry.source)
        except (ModelError, DownloadError, ValueError, OSError) as error:
            raise Problem(
                503, f"the model {entry.name} cannot be loaded: {error}", code="model_not_available"
            ) from error
        need = memory_of(model)
        if config.memory_bytes is not None and not await self._make_room(config.memory_bytes - need):
            await asyncio.to_thread(model.close)
            raise busy(f"the model {entry.name} needs {need >> 20} MiB, which others use")
        entry.engine = EngineLoop(model, config.limits.n_waiting)
        _log.info("%s: loaded in %.1f s, %d MiB", entry.name, time.monotonic() - begun, need >> 20)
        return entry.engine

    def _open(self, source: str) -> Model:
        config = self._config
        return Model(source, offline=config.offline, n_gpu_layers=config.n_gpu_layers, **config.engine)

    async def _make_room(self, n_bytes: int) -> bool:
        """Gives up idle models, the longest unused first, until others hold at most n_bytes."""
        while sum(entry.n_bytes for entry in self.entries.values()) > n_bytes:
            idle = [entry for entry in self.entries.values() if entry.engine and not entry.n_users]
            if not idle:
                return False
            await self._unload(min(idle, key=lambda entry: entry.used))
        return n_bytes >= 0

    async def _unload(self, entry: Entry) -> None:
        engine, entry.engine = entry.engine, None
        if engine is not None:
            await asyncio.to_thread(engine.close)
            await asyncio.to_thread(engine.model.close)
            _log.info("%s: unloaded", entry.name)

    # --- a server's life -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Loads the default model, so that the first request need not wait. Raises Problem."""
        async with self.use(None):
            pass
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
                if entry.engine and not entry.n_users and now - entry.used > keep:
                    async with entry.lock:
                        if not entry.n_users:
                            await self._unload(entry)


def _file_size(source: str) -> int:
    path = Path(source)
    return path.stat().st_size if path.is_file() else 0


def memory_of(model: Model) -> int:
    """Bytes of weights and cache, from the file's metadata."""
    said = model.core.metadata()
    architecture = model.core.architecture

    def number(key: str, default: int) -> int:
        text = said.get(f"{architecture}.{key}", "")
        return int(text) if text.isdecimal() else default

    n_heads = max(number("attention.head_count", 1), 1)
    width = number("embedding_length", 0) // n_heads
    n_kv = number("attention.head_count_kv", n_heads)
    row = n_kv * (number("attention.key_length", width) + number("attention.value_length", width))
    bits = {"f32": 32, "f16": 16, "q8_0": 8.5}[model.engine.options.cache_type]
    cache = model.n_ctx * number("block_count", 0) * row * bits / 8
    return model.core.size_bytes + int(cache)
