"""The application: routes, and the life of the models behind them."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import resources
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aspd_local import __version__
from aspd_local.errors import AspdError
from aspd_local.model import Model, Prepared
from aspd_local.server import answering, asking, embedding
from aspd_local.server.answering import Wanted
from aspd_local.server.bodies import Naming
from aspd_local.server.config import ServerConfig
from aspd_local.server.guard import PARSED, Guard
from aspd_local.server.loop import EngineLoop, QueueFullError, Stream
from aspd_local.server.metrics import Metrics
from aspd_local.server.pool import Pool
from aspd_local.server.problems import Problem, busy, problem_of
from aspd_local.server.schemas import (
    ChatBody,
    CompletionBody,
    ControlBody,
    DetokenizeBody,
    EmbeddingsBody,
    Sampling,
    TokenizeBody,
)
from aspd_local.server.sending import EventStream, gone
from aspd_local.server.tools import OPEN, Remembered
from aspd_local.typing import AnswerOptions

_log = logging.getLogger("aspd_local.server")
_ERRORS: dict[int | str, dict[str, Any]] = {
    code: {"description": "error", "content": {"application/json": {}}}
    for code in (400, 401, 403, 404, 408, 413, 415, 422, 500, 503)
}


class Server:
    """What the routes share."""

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.pool = Pool(config)
        self.metrics = Metrics(self.pool)
        self.ready = False
        self.failure: Problem | None = None  # why it could not start
        self.calls = Remembered()
        self.under_way: dict[str, list[Stream]] = {}  # by the id of the answer

    # --- answers -----------------------------------------------------------------------------------

    async def chat(self, body: ChatBody, request: Request) -> Response:
        """An answer to a chat."""
        messages = asking.chat_messages(body, self.calls)
        options = asking.chat_options(body)

        def prepare(model: Model, number: int) -> Prepared:
            if "tools" in options and OPEN not in model.core.chat_template:
                why = "the model's chat template has no place for tools, or a form of calls that is not known"
                raise Problem(400, why, param="tools", code="unsupported_parameter")
            return model.prepare(messages, **asking.nth_seed(options, number))

        return await self._answer(body, request, "chatcmpl-", prepare, options)

    async def complete(self, body: CompletionBody, request: Request) -> Response:
        """A continuation of a plain text."""
        prompt, options = asking.completion_prompt(body), asking.completion_options(body)

        def prepare(model: Model, number: int) -> Prepared:
            return model.prepare_prompt(prompt, **asking.nth_seed(options, number))

        return await self._answer(body, request, "cmpl-", prepare, options)

    async def _answer(
        self,
        body: Sampling,
        request: Request,
        prefix: str,
        prepare: Callable[[Model, int], Prepared],
        options: AnswerOptions,
    ) -> Response:
        async with AsyncExitStack() as stack:
            entry = self.pool.entry(body.model)
            engine = await stack.enter_async_context(self.pool.use(body.model))
            streams = await self._ask(engine, prepare, body.n or 1)
            kind: Any = "chat" if isinstance(body, ChatBody) else "text"
            naming = Naming(kind, prefix + secrets.token_hex(12), entry.name, int(time.time()))
            wanted = Wanted(
                live=body.aspd is not None and body.aspd.stream == "live",
                usage=body.stream_options is not None and body.stream_options.include_usage,
                logprobs="logprobs" in options,
                tools=asking.tool_names(body),
                told=self.metrics.count,
                called=self.calls.keep,
            )
            stack.callback(self._forget, naming.id)
            self.under_way[naming.id] = streams
            if not body.stream:
                return await _unless_gone(answering.whole(naming, streams, wanted), streams, request)
            lines = answering.pieces(naming, streams, wanted)
            return EventStream(lines, stack.pop_all(), self.config.limits.send_s)

    async def _ask(
        self, engine: EngineLoop, prepare: Callable[[Model, int], Prepared], n: int
    ) -> list[Stream]:
        """Streams that the engine has accepted. Raises Problem, AspdError, ValueError."""
        prepared = await asyncio.to_thread(lambda: [prepare(engine.model, number) for number in range(n)])
        try:
            streams = engine.ask(prepared)
        except QueueFullError as error:
            raise busy(error.message) from error
        try:
            for stream in streams:
                await stream.accepted()
        except BaseException:
            for stream in streams:
                stream.cancel()
            raise
        return streams

    def _forget(self, answer_id: str) -> None:
        for stream in self.under_way.pop(answer_id, []):
            stream.cancel()

    def control(self, body: ControlBody) -> dict[str, Any]:
        """Ends an answer, or one of its branches. Raises Problem, ValueError."""
        streams = self.under_way.get(body.id)
        if streams is None:
            raise Problem(404, f"no answer {body.id!r} is under way", param="id", code="not_found")
        if body.action == "branch_end":
            if body.branch is None:
                raise Problem(400, "branch_end needs a branch, such as '1.2'", param="branch")
            for stream in streams:
                stream.cancel_branch(body.branch)
        else:
            for stream in streams:
                stream.cancel()
        return {"success": True}

    # --- facts -------------------------------------------------------------------------------------

    def models(self) -> dict[str, Any]:
        """All models that a request may name."""
        data = []
        for entry in self.pool.entries.values():
            said: dict[str, Any] = {"loaded": entry.loaded}
            if entry.embedder is not None:
                said |= {"embeddings": entry.embedder.n_embd}
            if entry.engine is not None:
                model = entry.engine.model
                said |= {
                    "protocol": model.protocol,
                    "n_ctx": model.n_ctx,
                    "description": model.description,
                    "chat": model.has_chat_template,
                }
            data.append(
                {
                    "id": entry.name,
                    "object": "model",
                    "created": entry.created,
                    "owned_by": "aspd-local",
                    "aspd": said,
                }
            )
        return {"object": "list", "data": data}

    async def embeddings(self, body: EmbeddingsBody, request: Request) -> Response:
        """Vectors of texts."""
        name = self.pool.entry(body.model).name
        async with self.pool.use_embedder(body.model) as embedder:
            return await _unless_gone(embedding.embeddings(body, embedder, name), [], request)

    async def tokenize(self, body: TokenizeBody) -> dict[str, Any]:
        """Token ids of a text."""
        async with self.pool.use(body.model) as engine:
            return {"tokens": await asyncio.to_thread(engine.model.tokenize, body.content)}

    async def detokenize(self, body: DetokenizeBody) -> dict[str, Any]:
        """The text of token ids."""
        async with self.pool.use(body.model) as engine:
            return {"content": await asyncio.to_thread(engine.model.detokenize, body.tokens)}


def create_app(config: ServerConfig) -> ASGIApp:
    """The ASGI application of a server. Its models are loaded when it starts."""
    return application(Server(config))


def application(server: Server) -> ASGIApp:
    """As create_app(), around what its routes share."""
    config = server.config

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        try:
            await server.pool.start()
        except Problem as problem:
            server.failure = problem
            raise
        server.ready = True
        try:
            yield
        finally:
            server.ready = False
            await server.pool.stop()

    app = FastAPI(
        title="aspd-local",
        version=__version__,
        lifespan=life,
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        responses=_ERRORS,
    )
    app.router.route_class = _Route
    _add_handlers(app)
    _add_routes(app, server)
    return Guard(_Counted(app, server.metrics), config)


def _add_routes(app: FastAPI, server: Server) -> None:
    @app.post("/v1/chat/completions")
    async def chat_completions(body: ChatBody, request: Request) -> Response:
        return await server.chat(body, request)

    @app.post("/v1/completions")
    async def completions(body: CompletionBody, request: Request) -> Response:
        return await server.complete(body, request)

    @app.post("/v1/embeddings")
    async def embeddings(body: EmbeddingsBody, request: Request) -> Response:
        return await server.embeddings(body, request)

    @app.post("/v1/chat/completions/control")
    async def control(body: ControlBody) -> dict[str, Any]:
        return server.control(body)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return server.models()

    @app.get("/health")
    async def health() -> Response:
        if server.ready:
            return JSONResponse({"status": "ok"})
        return JSONResponse(Problem(503, "loading a model", code="loading").body(), 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(server.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.post("/tokenize")
    async def tokenize(body: TokenizeBody) -> dict[str, Any]:
        return await server.tokenize(body)

    @app.post("/detokenize")
    async def detokenize(body: DetokenizeBody) -> dict[str, Any]:
        return await server.detokenize(body)

    page = resources.files("aspd_local.server") / "page"

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return FileResponse(str(page / "index.html"))

    app.mount("/page", StaticFiles(directory=str(page)), name="page")


def _add_handlers(app: FastAPI) -> None:
    async def problem(_request: Request, error: Exception) -> Response:
        found = problem_of(error)
        if found.status >= 500 and not isinstance(error, Problem):
            _log.error("%s", error, exc_info=error)
        return JSONResponse(found.body(), found.status, headers=found.headers)

    async def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return JSONResponse(_first_fault(error.errors()).body(), 400)

    async def http(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse(
            Problem(error.status_code, str(error.detail)).body(), error.status_code, headers=error.headers
        )

    for kind in (Problem, AspdError, ValueError, Exception):
        app.add_exception_handler(kind, problem)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def _first_fault(faults: Sequence[Any]) -> Problem:
    """The first thing wrong with a body, by the name of its field."""
    fault = faults[0]
    place = ".".join(str(part) for part in fault["loc"][1:])[:200]
    if fault["type"] == "extra_forbidden":
        return Problem(400, f"{place} is not supported", param=place, code="unsupported_parameter")
    return Problem(400, f"{place}: {fault['msg']}", param=place or None)


class _Parsed(Request):
    """A request whose body the guard has parsed already."""

    async def json(self) -> Any:
        """The body, once more."""
        return self.scope[PARSED] if PARSED in self.scope else await super().json()


class _Route(APIRoute):
    """A route that does not parse bodies a second time."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI's, around the parsed body."""
        handle = super().get_route_handler()

        async def handle_parsed(request: Request) -> Response:
            return await handle(_Parsed(request.scope, request.receive))

        return handle_parsed


class _Counted:
    """Counts requests by route and status."""

    def __init__(self, app: FastAPI, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = {path for route in app.routes if (path := getattr(route, "path", None))}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                path = scope["path"]
                route = path if path in self._routes else "other"
                self._metrics.requests.labels(route, str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, send_counted if scope["type"] == "http" else send)


async def _unless_gone(
    work: Awaitable[dict[str, Any]], streams: Sequence[Stream], request: Request
) -> Response:
    """The body, unless the client leaves before it is there: its answers are cancelled then."""
    left = asyncio.ensure_future(gone(request.receive))
    made = asyncio.ensure_future(work)
    try:
        await asyncio.wait({left, made}, return_when=asyncio.FIRST_COMPLETED)
        if made.done():
            return JSONResponse(made.result())
        return Response(status_code=499)  # nobody reads it
    finally:
        for stream in streams:
            stream.cancel()
        for task in (left, made):
            task.cancel()
        await asyncio.gather(left, made, return_exceptions=True)
