"""HTTP as clients speak it: offers of other protocols, connections that are kept."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import uvicorn
from served import QUESTION, Running
from uvicorn.protocols.http.h11_impl import H11Protocol

from aspd_local.server import ServerConfig
from aspd_local.server.serving import Announcing

CHAT = "/v1/chat/completions"


def exchange(server: Running, request: bytes, until: bytes) -> bytes:
    """What comes back on one connection, until these bytes are there."""
    host, port = server.address.removeprefix("http://").split(":")
    found = b""
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request.replace(b"HOST", f"{host}:{port}".encode()))
        while until not in found and (piece := connection.recv(65536)):
            found += piece
    return found


def test_offer_of_http_2_is_answered_in_http_1(server: Running) -> None:
    # as Java's HttpClient and curl --http2 begin
    body = json.dumps({"messages": QUESTION, "temperature": 0}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\n"
    offer = (
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"
    )
    request = f"{head}{offer}Content-Length: {len(body)}\r\n\r\n".encode() + body
    found = exchange(server, request, b"}}")
    assert found.startswith(b"HTTP/1.1 200 ")
    assert b'"finish_reason":"stop"' in found
    found = exchange(server, f"GET /health HTTP/1.1\r\nHost: HOST\r\n{offer}\r\n".encode(), b"}")
    assert found.startswith(b"HTTP/1.1 200 ")


def test_idle_connections_are_kept_and_announced(server: Running) -> None:
    twice = b"GET /health HTTP/1.1\r\nHost: HOST\r\n\r\n"
    found = exchange(server, twice, b"}")
    seconds = server.inside.config.limits.idle_s
    assert f"keep-alive: timeout={seconds}".encode() in found.lower()
    assert seconds > 90  # the longest of clients' pools, Go's


def test_protocols_do_not_depend_on_what_is_installed(configured: Callable[..., ServerConfig]) -> None:
    config = configured()
    settings: uvicorn.Config = Announcing(config, lambda: None).config
    settings.load()
    assert settings.http_protocol_class is H11Protocol
    assert settings.ws_protocol_class is None
    assert settings.loop == "asyncio"
    assert settings.timeout_keep_alive > config.limits.idle_s
