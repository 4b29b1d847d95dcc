"""What llama.cpp says, in Python's log."""

from __future__ import annotations

import logging

from aspd_local import _core

_log = logging.getLogger("aspd_local")


def drain_log() -> None:
    """Hands the lines that llama.cpp has logged since the last call to Python's logging."""
    for level, line in _core.drain_log():
        _log.log(level, "%s", line)
