"""`aspd`: the commands and where they are. The work is done in the modules that bear their names."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from aspd_local.cli import models, streams
from aspd_local.cli.chat import chat
from aspd_local.cli.demo import demo
from aspd_local.cli.notes import note, reason
from aspd_local.cli.optimize import optimize
from aspd_local.cli.profile import profile
from aspd_local.cli.run import run
from aspd_local.cli.shell import HELP

app = typer.Typer(
    name="aspd",
    help="Adaptive serial-parallel decoding of GGUF models on this machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=HELP,
)
app.command("run")(run)
app.command("chat")(chat)
app.command("demo")(demo)
app.command("profile")(profile)
app.command("optimize")(optimize)
app.add_typer(models.app, name="models")

_COMPLETING = "_ASPD_COMPLETE"  # a shell asks what may come next

# To an app that is imported when it is asked for.
_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(
    "data",
    help="Make training data with parallel structure from ordinary answers, and look at it.",
    add_help_option=False,
    context_settings=_PASSED_ON,
)
def _data(context: typer.Context) -> None:
    from aspd_local.cli import data  # its flags are many, and most commands need none of them

    data.app(context.args, prog_name="aspd data")


@app.command(
    "train",
    help="Fine-tune a model on such data, so that it forks by itself, and make a GGUF of it.",
    add_help_option=False,
    context_settings=_PASSED_ON,
)
def _train(context: typer.Context) -> None:
    from aspd_local.cli import train  # as above

    if context.args[:1] == ["export"]:
        train.export_app(context.args[1:], prog_name="aspd train export")
    else:
        train.app(context.args or ["--help"], prog_name="aspd train")


@app.command(
    "eval",
    help="Measure speed and quality of a model's answers against the same model decoding serially.",
    add_help_option=False,
    context_settings=_PASSED_ON,
)
def _eval(context: typer.Context) -> None:
    from aspd_local.cli import eval as evaluation  # as above

    more = {"compare": evaluation.compare_app, "report": evaluation.report_app}
    word = context.args[0] if context.args else "--help"
    if word in more:
        more[word](context.args[1:], prog_name=f"aspd eval {word}")
    else:
        evaluation.app(context.args or [word], prog_name="aspd eval")


@app.command(
    "serve",
    help="Answer clients that speak OpenAI's protocol, and show a page where branches can be watched.",
    add_help_option=False,
    context_settings=_PASSED_ON,
)
def _serve(context: typer.Context) -> None:
    from aspd_local.cli import serve  # as above

    serve.app(context.args, prog_name="aspd serve")


def _print_version(wanted: bool) -> None:
    if wanted:
        from aspd_local import __version__

        typer.echo(f"aspd-local {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and leave.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Adaptive serial-parallel decoding of GGUF models on this machine."""


def main() -> None:
    """The entry point of the process."""
    streams.prepare()
    if _COMPLETING in os.environ:
        _register_all()
    code: str | int | None = None
    try:
        try:
            app(prog_name="aspd")
        except SystemExit as ended:
            code = ended.code
        sys.stdout.flush()
    except BrokenPipeError:
        streams.give_up_stdout()
        code = code or 1
    except OSError as error:  # of stdout: a command tells of all others itself
        streams.give_up_stdout()
        if not code:
            note(f"aspd: {reason(error)}")
            code = 1
    sys.exit(code)


def _register_all() -> None:
    """Puts the whole of the commands that are passed on into the app, for a shell that completes them."""
    from aspd_local.cli import data, serve, train
    from aspd_local.cli import eval as evaluation

    passed_on = {"data", "train", "eval", "serve"}
    app.registered_commands = [each for each in app.registered_commands if each.name not in passed_on]
    app.add_typer(data.app, name="data")
    app.command("train")(train.train)
    app.command("eval")(evaluation.evaluate)
    app.command("serve")(serve.serve)
