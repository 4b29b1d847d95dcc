"""What goes wrong as clients read it: a status, and OpenAI's error object."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from aspd_local.errors import (
    AspdError,
    CancelledError,
    ContextFullError,
    DownloadError,
    ModelError,
    ProtocolError,
)

_STATUS: dict[type[AspdError], tuple[int, str]] = {
    DownloadError: (503, "model_not_available"),
    ModelError: (400, "model_error"),  # of its chat template
    ProtocolError: (400, "protocol_error"),
    AspdError: (500, "engine_error"),
}


class Problem(Exception):  # noqa: N818 - it is what a client gets, not only an error of ours
    """An answer that is an error.

    Attributes:
        status: of HTTP. message: one line for a person. param: the field at fault; None: none.
        code: one word for a program; that of the status, where none is told.
        headers: more headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code or re.sub(r"\W+", "_", HTTPStatus(status).phrase.lower())
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {
            "error": {
                "message": self.message,
                "type": kind,
                "param": self.param,
                "code": self.code,
            }
        }


def problem_of(error: Exception) -> Problem:
    """What a client reads of an error of the package; what is not the client's fault says little."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, ContextFullError):
        return Problem(400, _too_long(error), code="context_length_exceeded")
    if isinstance(error, CancelledError):  # before it began, by the server's end
        return ending()
    if isinstance(error, ValueError):
        return Problem(400, str(error))
    for kind, (status, code) in _STATUS.items():
        if isinstance(error, kind):
            return Problem(status, error.message, code=code)
    return Problem(500, "something went wrong inside the server; its log says what")


def _too_long(error: ContextFullError) -> str:
    """With the words by which clients know this error (LiteLLM, LangChain): they shorten the chat then."""
    return (
        f"{error.message}: the prompt is too long, this model's maximum context length is "
        f"{error.available} tokens and the request needs {error.needed} or more"
    )


@contextmanager
def by_field(fields: Mapping[str, str]) -> Iterator[None]:
    """What goes wrong inside is told by the name of the client's field.

    fields: by a word of the error's message; "" for the field that is too long for the context.
    """
    try:
        yield
    except (ValueError, AspdError) as error:
        problem = problem_of(error)
        if isinstance(error, ContextFullError):
            problem.param = fields.get("")
        elif problem.status == 400:
            words = set(re.findall(r"\w+", problem.message))
            problem.param = next((field for word, field in fields.items() if word in words), None)
        raise problem from error


def busy(message: str) -> Problem:
    """No room now; the client shall come again."""
    return Problem(503, message, code="busy", headers={"Retry-After": "1"})


def ending() -> Problem:
    """The server ends before this request could be answered."""
    return Problem(503, "the server is shutting down", code="shutting_down", headers={"Retry-After": "5"})
