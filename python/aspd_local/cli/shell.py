"""What a shell meets first: the flags of help, and names of models that it completes."""

from __future__ import annotations

import typer

HELP = {"help_option_names": ["-h", "--help"]}


def app_below(name: str, *, help: str | None = None, no_args_is_help: bool = False) -> typer.Typer:  # noqa: A002
    """An app for a command of `aspd`: -h means help, and completion is installed by `aspd` alone."""
    return typer.Typer(
        name=name,
        help=help,
        no_args_is_help=no_args_is_help,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings=HELP,
    )


def model_names() -> list[str]:
    """What can be typed for a model: names of the list, models of this machine. Asks no one."""
    from aspd_local.cli.models import known_models  # it imports this

    return [entry.name for entry in known_models()]


def complete_model(incomplete: str) -> list[str]:
    """Names that begin so; files are completed by the shell itself."""
    return [name for name in model_names() if name.startswith(incomplete)]
