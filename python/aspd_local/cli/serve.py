"""`aspd serve`: models behind an OpenAI-compatible address, and a page where branches can be watched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aspd_local.cli.flags import Profile, check_n_ctx, spread
from aspd_local.cli.models import fetched
from aspd_local.cli.notes import errors_in_one_line
from aspd_local.cli.progress import set_log
from aspd_local.cli.shell import app_below, complete_model
from aspd_local.cli.working import need_extra
from aspd_local.sources import DEFAULT_MODEL

if TYPE_CHECKING:
    from aspd_local.server import ServerConfig
    from aspd_local.typing import EngineSettings

_HELP = "Answer clients that speak OpenAI's protocol, and show a page where branches can be watched."
app = app_below("serve", help=_HELP)
_EXTRA = ("fastapi", "prometheus_client", "pydantic", "starlette", "uvicorn")
_GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class ServeFlags:
    """Where, for whom, and how the models are loaded."""

    host: Annotated[str, typer.Option("--host", help="Address to listen at.")] = "127.0.0.1"
    port: Annotated[int, typer.Option("--port", help="0: any free one.", min=0, max=65535)] = 8411
    api_key: Annotated[
        str | None,
        typer.Option("--api-key", metavar="KEY", envvar="ASPD_API_KEY", help="Asked of every request."),
    ] = None
    insecure: Annotated[bool, typer.Option("--insecure", help="Let other machines in without a key.")] = False
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="In Host headers, beside localhost."),
    ] = None
    allow_origin: Annotated[
        list[str] | None,
        typer.Option("--allow-origin", metavar="URL", help="Web pages that may ask, beside our own."),
    ] = None
    keep_alive: Annotated[
        float, typer.Option("--keep-alive", help="Seconds that an idle model stays loaded; -1: for ever.")
    ] = 300.0
    memory_limit: Annotated[
        float | None,
        typer.Option(
            "--memory-limit", metavar="GIB", help="Of all models together.", min=0, show_default="none"
        ),
    ] = None
    requests: Annotated[
        int, typer.Option("--requests", help="Answers under way at once; more wait.", min=1, max=64)
    ] = 8
    lanes: Annotated[
        int, typer.Option("--lanes", help="Most tokens side by side in a step.", min=1, max=128)
    ] = 16
    waiting: Annotated[
        int, typer.Option("--queue", help="Most answers that wait; more are refused (503).", min=0)
    ] = 64
    n_ctx: Annotated[
        int,
        typer.Option(
            "--n-ctx",
            metavar="CELLS",
            help="Of all answers together.",
            min=0,
            show_default="as trained, at most 8192",
            callback=check_n_ctx,
        ),
    ] = 0
    threads: Annotated[
        int, typer.Option("--threads", help="Threads.", min=0, show_default="physical cores")
    ] = 0
    gpu_layers: Annotated[int, typer.Option("--gpu-layers", help="On the GPU.", show_default="all")] = -1
    profile: Annotated[
        Profile, typer.Option("--profile", help="auto: steps are scheduled by what they cost here.")
    ] = Profile.AUTO
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            metavar="NAME|FILE",
            help="Used where a request names none; a file of your own, too.",
            show_default="fits the model",
        ),
    ] = None
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse fields of requests that have no effect here.")
    ] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the log.")] = False

    def config(self, models: dict[str, str]) -> ServerConfig:
        """The server's. Raises ValueError for flags that do not fit each other; as protocol.find()."""
        from aspd_local.protocol import find
        from aspd_local.server import Limits, ServerConfig

        own: EngineSettings = {}
        if self.protocol is not None:
            find(self.protocol, option="--protocol")  # before a model is loaded
            own["protocol"] = self.protocol
        return ServerConfig(
            models=models,
            host=self.host,
            port=self.port,
            api_key=self.api_key,
            insecure=self.insecure,
            hosts=tuple(self.allow_host or ()),
            origins=tuple(self.allow_origin or ()),
            keep_alive=self.keep_alive,
            memory_bytes=None if self.memory_limit is None else round(self.memory_limit * _GIB),
            strict=self.strict,
            offline=True,  # all files are there when it starts
            n_gpu_layers=self.gpu_layers,
            engine={
                "n_ctx": self.n_ctx,
                "n_lanes": max(self.lanes, self.requests),
                "n_requests": self.requests,
                "n_retained": self.requests,
                "n_threads": self.threads,
                "n_threads_batch": self.threads,
                "profile": self.profile.value,
                **own,
            },
            limits=Limits(n_waiting=self.waiting),
        )


@app.command()
@spread
def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Names or paths; the first is the default.",
            show_default=DEFAULT_MODEL,
            autocompletion=complete_model,
        ),
    ] = None,
    *,
    flags: ServeFlags,
) -> None:
    """Serve models: OpenAI's protocol under /v1, a page at /.

    A request names a model as it was given here; a file by its name without ".gguf". Ctrl-C or SIGTERM ends
    the server: answers under way have ten seconds left.
    """
    with errors_in_one_line():
        need_extra("aspd serve", _EXTRA, "server")
        from aspd_local.server.serving import listen, serve

        set_log(verbose=flags.verbose)
        config = flags.config(named(models or [DEFAULT_MODEL]))
        try:
            bound = listen(config)
        except OSError as error:
            raise ValueError(f"{config.host}:{config.port}: {error.strerror or error}") from error
        with bound:
            serve(config, bound, _announce)


def named(models: list[str]) -> dict[str, str]:
    """Files by the names of requests. Raises ValueError where two have one name; as fetched()."""
    found: dict[str, str] = {}
    for model in models:
        name = _name(model)
        if name in found:
            raise ValueError(f"two models are called {name}")
        found[name] = str(fetched(model))
    return found


def _name(model: str) -> str:
    """What requests call it: a file's name, never its path."""
    path = Path(model)
    if path.suffix.lower() == ".gguf":
        return path.stem
    return path.name if path.is_file() else model


def _announce(address: str) -> None:
    typer.echo(f"{address} is ready: open it in a browser, or use {address}/v1 in a client. Ctrl-C ends it.")
