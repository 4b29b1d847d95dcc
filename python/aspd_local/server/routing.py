"""What surrounds every route: bodies are parsed once, errors become answers, requests are counted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from aspd_local.errors import AspdError
from aspd_local.server.guard import PARSED
from aspd_local.server.metrics import Metrics
from aspd_local.server.problems import Problem, problem_of

_log = logging.getLogger("aspd_local.server")


def add_handlers(app: FastAPI) -> None:
    """Every error is OpenAI's error object."""

    async def problem(_request: Request, error: Exception) -> Response:
        found = problem_of(error)
        if found.status >= 500 and not isinstance(error, Problem):
            _log.error("%s", error, exc_info=error)
        return JSONResponse(found.body(), found.status, headers=found.headers)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return JSONResponse(_first_fault(error.errors(), request.scope.get(PARSED)).body(), 400)

    async def http(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse(
            Problem(error.status_code, str(error.detail)).body(), error.status_code, headers=error.headers
        )

    for kind in (Problem, AspdError, ValueError, Exception):
        app.add_exception_handler(kind, problem)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def _first_fault(faults: Sequence[Any], body: Any) -> Problem:
    """The first thing wrong with a body, by the name of its field as the client wrote it.

    Where a field may have several forms, each tells what keeps the value from being one: the form that the
    value comes nearest to counts.
    """
    places = [_place(fault, body) for fault in faults]
    deepest = max(places, key=len)
    told = [fault for fault, place in zip(faults, places, strict=True) if place == deepest]
    field = ".".join(map(str, deepest))[:200]
    if told[0]["type"] == "extra_forbidden":
        return Problem(400, f"{field} is not supported", param=field, code="unsupported_parameter")
    whys = dict.fromkeys(fault["msg"].removeprefix("Value error, ") for fault in told)
    return Problem(400, f"{field}: {'; or: '.join(whys)}"[:1000], param=field or None)


def _place(fault: Any, body: Any) -> tuple[str | int, ...]:
    """Where in the body a fault is: pydantic's place without the names of the forms that it tried."""
    place: list[str | int] = []
    parts = fault["loc"][1:]
    for i, part in enumerate(parts):
        if (isinstance(body, dict) and part in body) or (
            isinstance(body, list) and isinstance(part, int) and part < len(body)
        ):
            body = body[part]
        elif not (isinstance(body, dict) and fault["type"] == "missing" and i == len(parts) - 1):
            continue
        place.append(part)
    return tuple(place)


class _Parsed(Request):
    """A request whose body the guard has parsed already."""

    async def json(self) -> Any:
        """The body, once more."""
        return self.scope[PARSED] if PARSED in self.scope else await super().json()


class ParsedRoute(APIRoute):
    """A route that does not parse bodies a second time."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI's, around the parsed body."""
        handle = super().get_route_handler()

        async def handle_parsed(request: Request) -> Response:
            return await handle(_Parsed(request.scope, request.receive))

        return handle_parsed


class Counted:
    """Counts requests by route and status."""

    def __init__(self, app: FastAPI, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = {path for route in app.routes if (path := getattr(route, "path", None))}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                path = scope["path"]
                route = path if path in self._routes else getattr(scope.get("route"), "path", "other")
                self._metrics.requests.labels(route, str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, send_counted if scope["type"] == "http" else send)
