"""`aspd` as a process: start-up, pipes that close, terminals and Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from terminal import Terminal

PROGRAM = Path(__file__).parent / "aspd_with_fake_model.py"


HELP = """
import sys
from aspd_local.cli.app import app
try:
    app(["--help"])
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def test_help_loads_nothing_heavy() -> None:
    """How long it takes: bench/startup.py."""
    shown = subprocess.run([sys.executable, "-c", HELP], check=True, capture_output=True, text=True)
    assert "Usage" in shown.stdout
    modules = set(shown.stderr.split())
    heavy = {"numpy", "torch", "transformers", "matplotlib", "gguf", "huggingface_hub"}
    heavy |= {"httpx", "httpx2", "fastapi"}
    assert modules & heavy == set()
    assert {"aspd_local", "typer"} <= modules


def test_the_version_is_the_packages() -> None:
    from aspd_local import __version__

    shown = subprocess.run([sys.executable, PROGRAM, "--version"], check=True, capture_output=True, text=True)
    assert shown.stdout == f"aspd-local {__version__}\n"


def test_a_reader_that_leaves_is_no_trouble() -> None:
    with subprocess.Popen(
        [sys.executable, PROGRAM, "run", "How?"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(4) == b"Two:"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def test_a_stream_that_cannot_hold_a_character_gets_another() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    shown = subprocess.run(
        [sys.executable, PROGRAM, "chat"],
        input="é\n",
        text=True,
        env=environment,
        capture_output=True,
        check=True,
    )
    assert shown.stdout.startswith("Two:")


class Session:
    """A program on a terminal of 70 columns and 20 lines."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self.terminal = Terminal()
        self._descriptor = descriptor

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def until(self, seen: Callable[[str], bool]) -> str:
        """Reads until the screen shows it; the screen."""
        while not seen(self.terminal.screen()):
            if not self._read():
                raise AssertionError(f"ended before that was seen:\n{self.terminal.screen()}")
        return self.terminal.screen()

    def end(self) -> int:
        while self._read():
            pass
        return self.process.wait()

    def _read(self) -> bool:
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # the other side has closed
            return False
        self.terminal.write(data.decode(errors="replace"))
        return bool(data)


@contextmanager
def on_terminal(*arguments: str, seconds_a_piece: float = 0.0) -> Iterator[Session]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 70, 0, 0))
    environment = os.environ | {
        "TERM": "xterm",
        "SECONDS_A_PIECE": str(seconds_a_piece),
        "INPUTRC": os.devnull,
        "PYTHONIOENCODING": "utf-8",
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


def test_a_terminal_shows_panes_and_then_the_text() -> None:
    with on_terminal("run", "How?", seconds_a_piece=0.02) as session:
        screen = session.until(lambda screen: "three" in screen and "six" in screen)
        panes = next(line for line in screen.split("\n") if "three" in line)
        assert "six" in panes
        screen = session.until(lambda screen: "That is all." in screen)
        assert screen.startswith("Two:\n\nSleep\none two three\n\nFood\nfour five six\n\nThat is all.")


def test_ctrl_c_on_a_terminal_ends_run_with_130() -> None:
    with on_terminal("run", "How?", seconds_a_piece=0.02) as session:
        session.until(lambda screen: "More." in screen)
        session.type("\x03")
        assert session.end() == 130
        assert "Traceback" not in session.terminal.screen()
        assert session.terminal.cursor_visible


def test_ctrl_c_among_the_panes_leaves_the_text() -> None:
    with on_terminal("run", "How?", seconds_a_piece=0.2) as session:
        session.until(lambda screen: "two" in screen)
        session.type("\x03")
        assert session.end() == 130
        assert session.terminal.screen().startswith("Two:\n\nSleep\none two")
        assert "─" not in session.terminal.screen()


def test_a_chat_on_a_terminal_survives_ctrl_c_and_ends_with_ctrl_d() -> None:
    with on_terminal("chat", seconds_a_piece=0.02) as session:
        session.until(lambda screen: screen.endswith(">>>"))
        session.type("never mind")
        session.until(lambda screen: screen.endswith("never mind"))
        time.sleep(0.2)  # a signal just before input() waits for a key is seen at the next key
        session.type("\x03")
        session.until(lambda screen: screen.count(">>>") == 2)
        session.type("How?\n")
        session.until(lambda screen: "More." in screen)
        session.type("\x03")
        session.until(lambda screen: screen.count(">>>") == 3)
        session.type('"""two\nlines"""\n')
        session.until(lambda screen: screen.count("Two:") == 2)
        session.type("\x03")
        session.until(lambda screen: screen.count(">>>") == 4)
        session.type("\x04")
        assert session.end() == 0


@pytest.mark.parametrize("arguments", [["run"], ["chat"], ["demo"], ["models"]])
def test_every_command_has_help(arguments: list[str]) -> None:
    shown = subprocess.run(
        [sys.executable, PROGRAM, *arguments, "--help"], check=True, capture_output=True, text=True
    )
    assert "Usage" in shown.stdout
