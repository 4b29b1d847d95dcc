"""A program on a terminal, and what a person sees of it: pyte is the terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyte

PROGRAM = Path(__file__).parent / "aspd_with_fake_model.py"
COLUMNS, LINES = 70, 20


class Session:
    """A program on a terminal of 70 columns and 20 lines."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._screen = pyte.HistoryScreen(COLUMNS, LINES, history=10_000, ratio=1)
        self._stream = pyte.ByteStream(self._screen)

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def paste(self, text: str) -> None:
        """As a terminal that was asked to bracket what is pasted."""
        self.type(f"\x1b[200~{text}\x1b[201~")

    @property
    def cursor_visible(self) -> bool:
        return not self._screen.cursor.hidden

    def screen(self) -> str:
        """All lines, those that have scrolled away too, without spaces at their ends."""
        gone = ["".join(line[x].data for x in range(COLUMNS)) for line in self._screen.history.top]
        return "\n".join(line.rstrip() for line in [*gone, *self._screen.display]).rstrip("\n")

    def until(self, seen: Callable[[str], bool]) -> str:
        """Reads until the screen shows it; the screen."""
        while not seen(self.screen()):
            if not self._read():
                raise AssertionError(f"ended before that was seen:\n{self.screen()}")
        return self.screen()

    def end(self) -> int:
        while self._read():
            pass
        return self.process.wait()

    def _read(self) -> bool:
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # the other side has closed
            return False
        self._stream.feed(data)
        return bool(data)


@contextmanager
def on_terminal(*arguments: str, seconds_a_piece: float = 0.0, **environment: str) -> Iterator[Session]:
    """environment: more of it, such as ASPD_CACHE_DIR."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environment = {
        **os.environ,
        "TERM": "xterm",
        "SECONDS_A_PIECE": str(seconds_a_piece),
        "PYTHONIOENCODING": "utf-8",
        "PROMPT_TOOLKIT_NO_CPR": "1",  # pyte does not answer where its cursor is
        **environment,
    }
    process = subprocess.Popen(
        [sys.executable, PROGRAM, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Session(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
