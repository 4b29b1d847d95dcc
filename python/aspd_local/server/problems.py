"""What goes wrong as clients read it: a status, and OpenAI's error object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aspd_local.errors import AspdError, ContextFullError, DownloadError, ModelError, ProtocolError

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
        code: one word for a program. headers: more headers of the answer.
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
        self.code = code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {
            "error": {
                "message": self.message,
                "type": kind,
                "param": self.param,
                "code": self.code or self.status,
            }
        }


def problem_of(error: Exception) -> Problem:
    """What a client reads of an error of the package; what is not the client's fault says little."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, ContextFullError):
        return Problem(400, error.message, param="messages", code="context_length_exceeded")
    if isinstance(error, ValueError):
        return Problem(400, str(error))
    for kind, (status, code) in _STATUS.items():
        if isinstance(error, kind):
            return Problem(status, error.message, code=code)
    return Problem(500, "something went wrong inside the server; its log says what")


def busy(message: str) -> Problem:
    """No room now; the client shall come again."""
    return Problem(503, message, code="busy", headers={"Retry-After": "1"})
