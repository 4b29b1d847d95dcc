"""`aspd` as a process: start-up, pipes that close, terminals and Ctrl-C."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from seen import PROGRAM, Session, on_terminal

from aspd_local.cli.app import app
from aspd_local.cli.chat import HELP_TEXT

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
        assert "Traceback" not in session.screen()
        assert session.cursor_visible


def test_ctrl_c_among_the_panes_leaves_the_text() -> None:
    with on_terminal("run", "How?", seconds_a_piece=0.2) as session:
        session.until(lambda screen: "two" in screen)
        session.type("\x03")
        assert session.end() == 130
        assert session.screen().startswith("Two:\n\nSleep\none two")
        assert "─" not in session.screen()


def n_prompts(screen: str) -> int:
    return sum(line.startswith(">>>") for line in screen.split("\n"))


def test_a_chat_on_a_terminal_survives_ctrl_c_and_ends_with_ctrl_d(tmp_path: Path) -> None:
    with on_terminal("chat", seconds_a_piece=0.02, ASPD_CACHE_DIR=str(tmp_path)) as session:
        session.until(lambda screen: screen.endswith(">>>"))
        session.type("never mind")
        session.until(lambda screen: screen.endswith("never mind"))
        session.type("\x03")
        session.until(lambda screen: n_prompts(screen) == 2)
        session.type("How?\r")
        session.until(lambda screen: "More." in screen)
        session.type("\x03")
        session.until(lambda screen: n_prompts(screen) == 3)
        session.type('"""two\rlines"""\r')
        session.until(lambda screen: screen.count("Two:") == 2)
        session.type("\x03")
        session.until(lambda screen: n_prompts(screen) == 4)
        session.type("\x04")
        assert session.end() == 0


def asked(tmp_path: Path) -> list[str]:
    return json.loads((tmp_path / "asked.json").read_text())  # type: ignore[no-any-return]


@contextmanager
def chatting(tmp_path: Path) -> Iterator[Session]:
    """A chat that has begun; it ends with Ctrl-D."""
    record = str(tmp_path / "asked.json")
    with on_terminal("chat", ASPD_CACHE_DIR=str(tmp_path), ASKED=record, STORY="Yes.") as session:
        session.until(lambda screen: screen.endswith(">>>"))
        yield session
        session.type("\x04")
        assert session.end() == 0


def test_a_paste_of_several_lines_is_one_message(tmp_path: Path) -> None:
    with chatting(tmp_path) as session:
        session.paste("one\ntwo\r\n/exit")
        session.until(lambda screen: "/exit" in screen)
        session.type("\r")
        session.until(lambda screen: n_prompts(screen) == 2)
    assert asked(tmp_path) == ["one\ntwo\n/exit"]


def test_alt_enter_begins_a_new_line(tmp_path: Path) -> None:
    with chatting(tmp_path) as session:
        session.type("one\x1b\rtwo\r")
        session.until(lambda screen: n_prompts(screen) == 2)
    assert asked(tmp_path) == ["one\ntwo"]


def test_what_was_typed_comes_back_in_the_next_chat(tmp_path: Path) -> None:
    with chatting(tmp_path) as session:
        session.type("How are you?\r")
        session.until(lambda screen: n_prompts(screen) == 2)
    with chatting(tmp_path) as session:
        session.type("\x1b[A")
        session.until(lambda screen: screen.endswith("How are you?"))
        session.type("\r")
        session.until(lambda screen: n_prompts(screen) == 2)
    assert asked(tmp_path) == ["How are you?"]
    assert (tmp_path / "chat_history").stat().st_mode & 0o077 == 0


def test_commands_and_names_are_completed(tmp_path: Path) -> None:
    with chatting(tmp_path) as session:
        session.type("/mod\t")
        session.until(lambda screen: screen.endswith(">>> /model"))
        session.type(" qw\t")
        session.until(lambda screen: screen.endswith(">>> /model qwen2.5-coder-1.5b"))
        session.type("\x03")
        session.until(lambda screen: screen.endswith(">>>"))
        session.type("/pa\t")
        session.until(lambda screen: screen.endswith(">>> /parallel"))
        session.type(" intr\t")
        session.until(lambda screen: screen.endswith(">>> /parallel intrinsic"))
        session.type("\x03")
        session.until(lambda screen: screen.endswith(">>>"))


def test_no_word_of_a_note_is_broken_in_two(tmp_path: Path) -> None:
    with chatting(tmp_path) as session:
        session.type("/?\r")
        screen = session.until(lambda screen: n_prompts(screen) == 2)
    words = [word for line in HELP_TEXT.split("\n") for word in line.split()]
    assert [word for word in words if word not in screen.split()] == []


COMMANDS = [
    [],
    ["run"],
    ["chat"],
    ["demo"],
    ["models"],
    ["models", "list"],
    ["profile"],
    ["optimize"],
    ["data"],
    ["data", "build"],
    ["train"],
    ["train", "export"],
    ["eval"],
    ["eval", "compare"],
    ["eval", "report"],
    ["serve"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app([*arguments, "-h"])
    shown = capsys.readouterr().out
    assert (ended.value.code, "Usage" in shown) == (0, True)
    assert ("--install-completion" in shown) == (not arguments)


def completed(*words: str) -> list[str]:
    """What a shell is told may stand in place of the last word."""
    environment = os.environ | {
        "_ASPD_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["aspd", *words]),
        "COMP_CWORD": str(len(words)),
    }
    told = subprocess.run(
        [sys.executable, PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    return told.stdout.split()


@pytest.mark.parametrize(
    "words", [("run", "-m", "smol"), ("models", "pull", "smol"), ("profile", "smol"), ("serve", "smol")]
)
def test_a_shell_completes_names_of_models(words: tuple[str, ...]) -> None:
    assert "smollm2-135m-aspd" in completed(*words)


# --- streams that are closed or full --------------------------------------------------------------------


def in_shell(command: str, **environment: str) -> tuple[int, str]:
    """The exit code and stderr of a command line, in which `aspd` is the program."""
    program = f"{sys.executable} {PROGRAM}"
    shown = subprocess.run(
        ["bash", "-c", command.replace("aspd", program, 1)],
        env=os.environ | {"STORY": "Yes."} | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return shown.returncode, shown.stderr


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("aspd run <&-", 2, "aspd: stdin cannot be read: Bad file descriptor; see `aspd run --help`\n"),
        ("aspd chat <&-", 1, "aspd: Bad file descriptor\n"),
        ("aspd run Hi <&-", 0, ""),
        ("aspd run Hi >&-", 1, "aspd: Bad file descriptor\n"),
        ("aspd run Hi >/dev/full", 1, "aspd: No space left on device\n"),
        ("aspd run --json Hi >/dev/full", 1, "aspd: No space left on device\n"),
        ("echo Hi | aspd chat >/dev/full", 1, "aspd: No space left on device\n"),
        ("aspd models list >/dev/full", 1, "aspd: No space left on device\n"),
        ("aspd --help >/dev/full", 1, "aspd: No space left on device\n"),
        ("aspd --version >&-", 1, "aspd: Bad file descriptor\n"),
        ("aspd run Hi 2>&-", 0, ""),
        ("aspd run 2>&- </dev/null", 2, ""),
        ("aspd run Hi <&- >&- 2>&-", 1, ""),
        ("aspd models path $'\\xff.gguf'", 1, "aspd: ?.gguf: no such file or model; models known by name: "),
        ("aspd run $'caf\\xe9'", 0, ""),
    ],
)
def test_a_stream_that_cannot_be_used_is_one_line_and_an_exit_code(
    command: str, code: int, said: str
) -> None:
    found, told = in_shell(command)
    assert (found, told[: len(said)]) == (code, said)
    assert told.count("\n") == bool(said)


NOBODY = """
import os, pwd, sys
def unknown(*_): raise KeyError
pwd.getpwuid = pwd.getpwnam = unknown
os.environ.pop("HOME", None)
sys.argv[0] = "aspd"
from aspd_local.cli.app import main
main()
"""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["models", "list"], 0, ""),
        (["models", "pull", "smollm2-135m"], 1, "ASPD_CACHE_DIR"),
        (["models", "path", "hf:owner/repo:Q4_K_M"], 1, "not on this machine"),
    ],
)
def test_a_user_without_a_home_is_told_so(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    """As in a container that runs under a user id of its own."""
    command = [sys.executable, "-c", NOBODY, *arguments]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (shown.returncode, said in shown.stderr) == (code, True), shown.stderr
    assert shown.stderr.count("\n") == bool(said)
    assert list(tmp_path.iterdir()) == []  # no folder called "~"
