"""Lines on stderr: what is no result, errors among it. On a terminal they are broken at words."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from aspd_local.cli.wrap import Wrapper, harmless
from aspd_local.errors import AspdError


def note(text: str) -> None:
    """Says this on stderr. A terminal gets no control characters of it, and no word in two pieces."""
    if sys.stderr is not None and sys.stderr.isatty():
        wrapper = Wrapper(shutil.get_terminal_size().columns)
        text = wrapper.feed(harmless(text)) + wrapper.flush()
    typer.echo(text, err=True)


def reason(error: OSError) -> str:
    """What the system refused, in a line: "FILE: No space left on device"."""
    what = error.strerror or str(error)
    return what if error.filename is None else f"{error.filename}: {what}"


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Turns what can go wrong into one line on stderr and an exit code: 1, or 2 for bad usage."""
    try:
        yield
    except BrokenPipeError:
        raise  # whoever read has left, and wants to know nothing
    except AspdError as error:
        note(f"aspd: {error}")
        raise typer.Exit(1) from error
    except ValueError as error:
        note(f"aspd: {error}")
        raise typer.Exit(2) from error
    except OSError as error:
        note(f"aspd: {reason(error)}")
        raise typer.Exit(1) from error
