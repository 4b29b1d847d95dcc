"""Adaptive Serial-Parallel Decoding (arXiv 2508.08895) for GGUF models on one's own machine.

>>> from aspd_local import Model
>>> with Model("smollm2-135m") as model:          # doctest: +SKIP
...     print(model.chat("Name three rivers."))
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aspd_local.errors import (
    AspdError,
    CancelledError,
    ContextFullError,
    DataError,
    DecodeError,
    DownloadError,
    EngineBusyError,
    ModelError,
    ProtocolError,
)
from aspd_local.events import Done, End, Event, Fork, Join, ReadingOrder, Text, Unfork, fold
from aspd_local.results import Answer, Block, Branch, Timings, TokenLogprob, Usage

if TYPE_CHECKING:
    from aspd_local.embedder import Embedder
    from aspd_local.model import Model

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "AspdError",
    "Block",
    "Branch",
    "CancelledError",
    "ContextFullError",
    "DataError",
    "DecodeError",
    "Done",
    "DownloadError",
    "Embedder",
    "End",
    "EngineBusyError",
    "Event",
    "Fork",
    "Join",
    "Model",
    "ModelError",
    "ProtocolError",
    "ReadingOrder",
    "Text",
    "Timings",
    "TokenLogprob",
    "Unfork",
    "Usage",
    "__version__",
    "fold",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())  # quiet unless the program asks for the log


def __getattr__(name: str) -> type[Model] | type[Embedder]:
    """Model and Embedder, when they are asked for: whoever needs no engine should not wait for it."""
    if name == "Model":
        from aspd_local.model import Model

        return Model
    if name == "Embedder":
        from aspd_local.embedder import Embedder

        return Embedder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
