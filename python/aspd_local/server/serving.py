"""A server's process: listens, says where, ends on SIGTERM and SIGINT within a stated time."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from aspd_local.errors import ModelError
from aspd_local.server.app import Server, application
from aspd_local.server.config import ServerConfig


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
        settings = uvicorn.Config(
            application(self.inside),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=round(config.limits.shutdown_s),
        )
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # we say it ourselves
        super().__init__(settings)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's; then tells."""
        await super().startup(sockets)
        if self.started:
            self._ready()
