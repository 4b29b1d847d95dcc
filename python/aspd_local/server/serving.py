"""A server's process: listens, says where, ends on SIGTERM and SIGINT within a stated time."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from aspd_local.errors import ModelError
from aspd_local.server.app import Server, application
from aspd_local.server.config import ServerConfig

_LAST_STEP_S = 5.0  # for answers that were cancelled to tell what they have


def listen(config: ServerConfig) -> socket.socket:
    """A socket bound to the configured address. Raises OSError: it is in use, or not of this machine."""
    host = config.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off: chunks would else wait for each other.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, config.port))
    except OSError:
        bound.close()
        raise
    return bound


def serve(config: ServerConfig, bound: socket.socket, ready: Callable[[str], None]) -> None:
    """Serves until a signal.

    Args:
        bound: from listen(). ready: called with the address, once requests are answered.

    Raises:
        ModelError: the default model could not be loaded.
    """
    host, port = bound.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    server = Announcing(config, lambda: ready(address))
    with suppress(SystemExit, KeyboardInterrupt):  # uvicorn's ways to say that it could not start, and Ctrl-C
        server.run(sockets=[bound])
    if (failure := server.inside.failure) is not None:
        raise ModelError(failure.message)


class Announcing(uvicorn.Server):
    """uvicorn's server, which tells when it is there. inside: what its routes share."""

    def __init__(self, config: ServerConfig, ready: Callable[[], None]) -> None:
        self.inside = Server(config)
        limits = config.limits
        settings = uvicorn.Config(
            application(self.inside),
            # The same everywhere, whatever else is installed: with httptools requests fail that offer to go
            # on with HTTP/2 (Java's client, curl --http2).
            http="h11",
            loop="asyncio",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            headers=[("Keep-Alive", f"timeout={limits.idle_s}")],
            timeout_keep_alive=limits.idle_s + 5,  # never before the time that was announced
            timeout_graceful_shutdown=math.ceil(limits.shutdown_s + _LAST_STEP_S),
        )
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # we say it ourselves
        super().__init__(settings)
        self._ready = ready

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, but answers that are not over in time end as cancelled ones do."""
        limit = self.inside.config.limits.shutdown_s
        timer = asyncio.get_running_loop().call_later(limit, self.inside.end_answers)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's; then tells."""
        await super().startup(sockets)
        if self.started:
            self._ready()
