"""How a download tells its caller where it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called while a file is fetched, from the caller's thread.

    An exception raised inside stops the download; the next one goes on from there.
    """

    def __call__(self, done_bytes: int, total_bytes: int | None, label: str, /) -> None:
        """Says how far it is.

        Args:
            done_bytes: bytes that are here; can go back where a server sent wrong ones.
            total_bytes: bytes of the whole; None where that is not known.
            label: what is being fetched, a few words.
        """


def silent(*_: object) -> None:
    """Tells nobody."""
