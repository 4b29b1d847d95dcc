"""What is settled before a request reaches its route: who asks, from where, and whether the body may be read.

Plain ASGI. A page in a browser reaches localhost too: the Host header is held against a list (DNS rebinding),
so is Origin, and a body is JSON only with its content type (no "simple" cross-site requests).
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

from pydantic_core import from_json
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aspd_local.server.config import LOOPBACK, ServerConfig
from aspd_local.server.problems import Problem, ending

_OPEN = frozenset({"/health"})  # without a key
PARSED = "aspd.body"  # of a scope: the body as JSON
_METHODS = "GET, HEAD, POST, OPTIONS"
_HEADERS = re.compile(r"[\w!#$%&'*+.^`|~, -]{1,4096}", re.ASCII)  # names of headers, as a browser lists them
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
}


class Guard:
    """Around the application."""

    def __init__(self, app: ASGIApp, config: ServerConfig) -> None:
        self._app = app
        self._config = config
        self._key = None if config.api_key is None else config.api_key.encode()
        self._origins = frozenset(origin.rstrip("/").lower() for origin in config.origins)
        self._hosts = LOOPBACK | {host.lower() for host in config.hosts} | {config.host.strip("[]").lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        cors = self._cors(origin, headers)
        is_head = scope["method"] == "HEAD"
        if is_head:  # what GET would answer, without its body
            scope = {**scope, "method": "GET"}
        begun = False

        async def send_with(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                more = [
                    (key.lower().encode(), value.encode()) for key, value in {**_SECURITY, **cors}.items()
                ]
                message = {**message, "headers": [*message["headers"], *more]}
            elif is_head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        async def tell(problem: Problem) -> None:
            answer = JSONResponse(problem.body(), problem.status, headers=problem.headers)
            await answer(scope, receive, send_with)

        try:
            self._check_place(headers, origin)
            if scope["method"] == "OPTIONS" and headers.get("access-control-request-method"):
                await Response(status_code=204)(scope, receive, send_with)
                return
            self._check_key(scope, headers)
            if scope["method"] == "POST":
                self._check_type(headers)
                receive = await self._body(scope, headers, receive)
        except Problem as problem:
            await tell(problem)
            return
        try:
            await self._app(scope, receive, send_with)
        except asyncio.CancelledError:  # the server ends, and this request did not in its time
            if begun:
                raise
            await tell(ending())

    # --- who asks ----------------------------------------------------------------------------------

    def _check_place(self, headers: Headers, origin: str | None) -> None:
        if not self._is_ours(headers.get("host", "")):
            raise Problem(403, "this Host is not served here (--allow-host)", code="host_not_allowed")
        if origin is not None and not self._may_come_from(origin, headers.get("host", "")):
            raise Problem(403, "this Origin may not ask here (--allow-origin)", code="origin_not_allowed")

    def _is_ours(self, host: str) -> bool:
        name = _host_name(host)
        if name in self._hosts:
            return True
        return not self._config.is_loopback and _is_address(name)  # a name can be rebound, an address cannot

    def _may_come_from(self, origin: str, host: str) -> bool:
        said = origin.rstrip("/").lower()
        if said in self._origins:
            return True
        # The page's own: the same host and port as those it is asked for.
        return said in (f"http://{host.lower()}", f"https://{host.lower()}")

    def _cors(self, origin: str | None, headers: Headers) -> dict[str, str]:
        """What lets a page of an allowed origin ask; a preflight gets the headers that it asks for."""
        if origin is None or origin.rstrip("/").lower() not in self._origins:
            return {}
        found = {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": "Retry-After",
            "Vary": "Origin",
        }
        if headers.get("access-control-request-method") is None:
            return found
        asked = headers.get("access-control-request-headers", "")
        found |= {
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": asked
            if _HEADERS.fullmatch(asked)
            else "authorization, content-type",
            "Access-Control-Max-Age": "600",
            "Vary": "Origin, Access-Control-Request-Headers",
        }
        if headers.get("access-control-request-private-network") == "true":
            found["Access-Control-Allow-Private-Network"] = "true"
        return found

    def _check_key(self, scope: Scope, headers: Headers) -> None:
        path = scope["path"]
        if self._key is None or path in _OPEN or path == "/" or path.startswith("/page/"):
            return
        kind, _, said = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(said.strip().encode(), self._key):
            ask = {"WWW-Authenticate": "Bearer"}
            raise Problem(
                401, "a key is needed: Authorization: Bearer KEY", code="invalid_api_key", headers=ask
            )

    # --- the body ----------------------------------------------------------------------------------

    def _check_type(self, headers: Headers) -> None:
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Problem(415, "Content-Type must be application/json", code="unsupported_media_type")

    async def _body(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        """Reads the whole body, parses it into the scope and gives a receive() that begins with it."""
        limits = self._config.limits
        if (said := headers.get("content-length", "0")).isdecimal() and int(said[:20]) > limits.body_bytes:
            raise Problem(413, f"the body is larger than {limits.body_bytes} bytes", code="too_large")
        try:
            body = await asyncio.wait_for(_read(receive, limits.body_bytes), limits.read_s)
        except asyncio.TimeoutError:
            raise Problem(408, f"the body took longer than {limits.read_s:g} s", code="timeout") from None
        scope[PARSED] = _parsed(body)
        first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return first.pop() if first else await receive()

        return replay


async def _read(receive: Receive, most: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "the client left")
        body += message.get("body", b"")
        if len(body) > most:
            raise Problem(413, f"the body is larger than {most} bytes", code="too_large")
        if not message.get("more_body"):
            return bytes(body)


def _parsed(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is. Raises Problem (400), also for NaN, Infinity and deep nests."""
    try:
        said = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Problem(400, f"the body is not JSON: {error}", code="invalid_json") from None
    if not isinstance(said, dict):
        raise Problem(400, "the body is not a JSON object", code="invalid_json")
    return said


def _host_name(host: str) -> str:
    """The name of a Host header, without its port; "" for a malformed one."""
    try:
        found = urlsplit(f"//{host}")
        _ = found.port
        name = found.hostname or ""
    except ValueError:
        return ""
    if "@" in host or found.path or found.query or found.fragment:
        return ""
    return name.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
