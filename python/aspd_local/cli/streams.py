"""The three streams of the process, whatever the caller made of them: closed, full, of another encoding."""

from __future__ import annotations

import io
import os
import sys

_DIRECTIONS = (os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)  # of 0, 1, 2: those that they are not meant for


def prepare() -> None:
    """A character that a stream cannot hold is replaced: no answer fails for that.

    A stream that is closed is opened so that its use fails as an OSError, and no file gets its number.
    """
    for descriptor, direction in enumerate(_DIRECTIONS):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, direction)  # the lowest free number: this one
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what cannot be told is no reason to fail
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def give_up_stdout() -> None:
    """Nothing more is written to it: what is left in its buffer cannot fail once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def as_text(argument: str) -> str:
    """An argument of the command line that is text; bytes that are no UTF-8 become replacement characters."""
    return os.fsencode(argument).decode("utf-8", errors="replace")
