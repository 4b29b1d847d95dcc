"""Starts real servers; what their tiny model says."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from aspd_local.server import ServerConfig
from aspd_local.server.app import Server
from aspd_local.server.serving import Announcing, listen
from tiny.stories import STORY, STORY_END

TEXT = "Hm" + "".join(f"{title}:{body}" for title, body in STORY.items()) + STORY_END
QUESTION = [{"role": "user", "content": "Hello"}]


@dataclass(frozen=True)
class Running:
    """A server that answers. inside: what its routes share. end: as SIGTERM does."""

    address: str
    inside: Server
    end: Callable[[], None]

    def client(self, **more: Any) -> httpx2.Client:
        return httpx2.Client(base_url=self.address, timeout=60, trust_env=False, **more)


@contextmanager
def running(config: ServerConfig) -> Iterator[Running]:
    """The server of a configuration, on a port of its own, in a thread."""
    ready = threading.Event()
    with listen(config) as bound:
        server = Announcing(config, ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            assert ready.wait(60)
            address = f"http://127.0.0.1:{bound.getsockname()[1]}"
            yield Running(address, server.inside, functools.partial(server.handle_exit, signal.SIGTERM, None))
        finally:
            server.should_exit = True
            thread.join(30)
        assert not thread.is_alive()
