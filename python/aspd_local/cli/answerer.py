"""What the command line needs of a model; aspd_local.Model is one, tests bring their own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from aspd_local.chat import Message
    from aspd_local.events import Event
    from aspd_local.typing import AnswerOptions


class Answerer(Protocol):
    """A model that answers. The meaning of each member: aspd_local.Model."""

    path: Path

    @property
    def protocol(self) -> str: ...

    def stream(
        self, messages: str | Sequence[Message], **options: Unpack[AnswerOptions]
    ) -> Iterator[Event]: ...

    def stream_prompt(self, prompt: str, **options: Unpack[AnswerOptions]) -> Iterator[Event]: ...

    def cancel(self) -> None: ...

    def reset(self) -> None: ...

    def save_session(self, path: str | os.PathLike[str]) -> None: ...

    def load_session(self, path: str | os.PathLike[str]) -> None: ...

    def close(self) -> None: ...
