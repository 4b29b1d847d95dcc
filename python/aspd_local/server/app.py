"""The application: routes, and the life of the models behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from aspd_local import __version__
from aspd_local.model import Model, Prepared
from aspd_local.server import asking, embedding, responding
from aspd_local.server.answering import Choices, Form, Wanted
from aspd_local.server.bodies import Kind, Naming
from aspd_local.server.config import ServerConfig
from aspd_local.server.fields import Asked, Body, Sampling
from aspd_local.server.guard import Guard
from aspd_local.server.loop import EngineLoop, QueueFullError, Stream
from aspd_local.server.metrics import Metrics
from aspd_local.server.pool import Entry, Pool
from aspd_local.server.problems import Problem, busy, by_field
from aspd_local.server.responding import Responses
from aspd_local.server.response_schemas import ResponseBody
from aspd_local.server.routing import Counted, ParsedRoute, add_handlers
from aspd_local.server.schemas import (
    ChatBody,
    CompletionBody,
    ControlBody,
    DetokenizeBody,
    EmbeddingsBody,
    TokenizeBody,
)
from aspd_local.server.sending import EventStream, gone
from aspd_local.server.tools import OPEN, Remembered
from aspd_local.typing import AnswerOptions

_ERRORS: dict[int | str, dict[str, Any]] = {
    code: {"description": "error", "content": {"application/json": {}}}
    for code in (400, 401, 403, 404, 408, 413, 415, 422, 500, 503)
}


@dataclass(frozen=True, kw_only=True)
class _Question:
    """A request for text. prepare: runs in a worker thread. form: how the answers are told.
    fields: where in the body that stands which an error is about (problems.by_field).
    """

    kind: Kind
    body: Asked
    prepare: Callable[[Model], list[Prepared]]
    form: Callable[[Naming], Form]
    fields: Mapping[str, str]


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
        prepare = self._chat_question(body, asking.chat_options(body))

        def form(naming: Naming) -> Form:
            return Choices(naming, self._wanted(body, body.logprobs is True, body.n or 1))

        fields = asking.chat_fields(body)
        return await self._answer(
            _Question(kind="chat", body=body, prepare=prepare, form=form, fields=fields), request
        )

    async def respond(self, body: ResponseBody, request: Request) -> Response:
        """A response: a chat in OpenAI's newer form."""
        try:
            chat = responding.chat_body(body)
            prepare = self._chat_question(chat, asking.chat_options(chat))
        except Problem as problem:
            problem.param = responding.as_client_says(problem.param)
            raise
        fields = {
            word: responding.as_client_says(name) or name for word, name in asking.chat_fields(chat).items()
        }

        def form(naming: Naming) -> Form:
            return Responses(
                body=body,
                naming=naming,
                tools=asking.offered_tools(chat),
                told=self.metrics.count,
                called=self.calls.keep,
            )

        return await self._answer(
            _Question(kind="response", body=body, prepare=prepare, form=form, fields=fields), request
        )

    def _chat_question(self, body: ChatBody, options: AnswerOptions) -> Callable[[Model], list[Prepared]]:
        messages = asking.chat_messages(body, self.calls)

        def prepare(model: Model) -> list[Prepared]:
            if "tools" in options and OPEN not in model.core.chat_template:
                why = "the model's chat template has no place for tools, or a form of calls that is not known"
                raise Problem(400, why, param="tools", code="unsupported_parameter")
            return [model.prepare(messages, **asking.nth_seed(options, i)) for i in range(body.n or 1)]

        return prepare

    async def complete(self, body: CompletionBody, request: Request) -> Response:
        """Continuations of plain texts."""
        prompts, options, n = asking.completion_prompts(body), asking.completion_options(body), body.n or 1
        echo: list[str] = []

        def prepare(model: Model) -> list[Prepared]:
            most = model.engine.options.n_requests + self.config.limits.n_waiting
            if len(prompts) > 1 and len(prompts) * n > most:
                why = f"prompt: at most {most} answers are written for a request, not {len(prompts) * n}"
                raise Problem(400, why, param="prompt")
            for prompt in prompts if body.echo else ():
                echo.append(prompt if isinstance(prompt, str) else model.detokenize(prompt))
            return [
                model.prepare_prompt(prompt, **asking.nth_seed(options, i))
                for prompt in prompts
                for i in range(n)
            ]

        def form(naming: Naming) -> Form:
            return Choices(naming, self._wanted(body, body.logprobs is not None, n, echo))

        fields = asking.completion_fields()
        return await self._answer(
            _Question(kind="text", body=body, prepare=prepare, form=form, fields=fields), request
        )

    def _wanted(self, body: Sampling, logprobs: bool, n: int, echo: Sequence[str] = ()) -> Wanted:
        """What a body says of the form of its answers."""
        return Wanted(
            live=body.aspd is not None and body.aspd.stream == "live",
            usage=body.stream_options is not None and body.stream_options.include_usage,
            logprobs=logprobs,
            n=n,
            echo=echo,
            tools=asking.offered_tools(body),
            told=self.metrics.count,
            called=self.calls.keep,
        )

    async def _answer(self, question: _Question, request: Request) -> Response:
        body = question.body
        async with AsyncExitStack() as stack:
            entry = self.pool.entry(body.model)
            engine = await stack.enter_async_context(self.pool.use(body.model))
            with by_field(question.fields):
                streams = await self._ask(engine, question.prepare)
            naming = Naming.new(question.kind, entry.name)
            form = question.form(naming)
            stack.callback(self._forget, naming.id)
            self.under_way[naming.id] = streams
            if not body.stream:
                return await _unless_gone(form.whole(streams), streams, request)
            return EventStream(form.pieces(streams), stack.pop_all(), self.config.limits.send_s)

    async def _ask(self, engine: EngineLoop, prepare: Callable[[Model], list[Prepared]]) -> list[Stream]:
        """Streams that the engine has accepted. Raises Problem, AspdError, ValueError."""
        prepared = await asyncio.to_thread(prepare, engine.model)
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

    def end_answers(self) -> None:
        """Cancels all answers under way, and those that wait; each is told as far as it is."""
        for streams in self.under_way.values():
            for stream in streams:
                stream.cancel()
        for entry in self.pool.entries.values():
            if entry.engine is not None:
                entry.engine.refuse()

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
        return {"object": "list", "data": [self._model(entry) for entry in self.pool.entries.values()]}

    def model(self, name: str) -> dict[str, Any]:
        """One of them. Raises Problem (404)."""
        return self._model(self.pool.entry(name))

    def _model(self, entry: Entry) -> dict[str, Any]:
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
        about = {"id": entry.name, "object": "model", "created": entry.created, "owned_by": "aspd-local"}
        return {**about, "aspd": said}

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
    app.router.route_class = ParsedRoute
    add_handlers(app)
    _add_routes(app, server)
    return Guard(Counted(app, server.metrics), config)


def _add_routes(app: FastAPI, server: Server) -> None:
    def admit(body: Body) -> None:
        if server.config.strict:
            asking.check_strict(body)

    @app.post("/v1/chat/completions")
    async def chat_completions(body: ChatBody, request: Request) -> Response:
        admit(body)
        return await server.chat(body, request)

    @app.post("/v1/completions")
    async def completions(body: CompletionBody, request: Request) -> Response:
        admit(body)
        return await server.complete(body, request)

    @app.post("/v1/responses")
    async def responses(body: ResponseBody, request: Request) -> Response:
        admit(body)
        return await server.respond(body, request)

    @app.post("/v1/embeddings")
    async def embeddings(body: EmbeddingsBody, request: Request) -> Response:
        admit(body)
        return await server.embeddings(body, request)

    @app.post("/v1/chat/completions/control")
    async def control(body: ControlBody) -> dict[str, Any]:
        return server.control(body)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return server.models()

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        return server.model(name)

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
