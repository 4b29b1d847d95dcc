"""Ctrl-C while an answer is written: the answer ends, and what there is of it is kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Whether Ctrl-C was pressed, and what it does.

    Before the first event there is nothing to keep: KeyboardInterrupt stops the reading of a long prompt too.
    Afterwards the first Ctrl-C cancels, so that the answer ends properly; the second raises.
    """

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel = cancel
        self.answering = False
        self.pressed = False

    def __call__(self, _signal: int, _frame: FrameType | None) -> None:
        again, self.pressed = self.pressed, True
        if again or not self.answering:
            raise KeyboardInterrupt
        self._cancel()


@contextmanager
def interrupts(cancel: Callable[[], None]) -> Iterator[Interrupts]:
    """Takes over Ctrl-C; off the main thread, where Python allows no handlers, nothing changes."""
    state = Interrupts(cancel)
    if threading.current_thread() is not threading.main_thread():
        yield state
        return
    before = signal.signal(signal.SIGINT, state)
    try:
        yield state
    finally:
        signal.signal(signal.SIGINT, before)
