"""The examples of README and docs: commands are taken by the command line, code of this package runs."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from aspd_local import sources
from aspd_local.cli import app as top
from aspd_local.cli import data, serve, train
from aspd_local.cli import eval as evaluation
from tiny.files import TinyModel
from tiny.script import Script, write_scripted
from tiny.vocabulary import EOS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Code that needs nothing but this package and a model.
SELF_CONTAINED = {"README.md", "models.md"}
BELOW: dict[tuple[str, ...], typer.Typer] = {
    ("train", "export"): train.export_app,
    ("eval", "compare"): evaluation.compare_app,
    ("eval", "report"): evaluation.report_app,
    ("data",): data.app,
    ("train",): train.app,
    ("eval",): evaluation.app,
    ("serve",): serve.app,
    (): top.app,
}


def blocks(page: Path) -> list[tuple[str, str]]:
    """The fenced blocks of a page: (language, text)."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [(language, text) for language, text in found]


def commands(page: Path) -> list[str]:
    """Its `aspd` commands, without what is said about them."""
    found = []
    for language, text in blocks(page):
        for line in text.split("\n") if not language else []:
            told = re.split(r"\s{2,}|\s#", line)[0]
            for part in re.split(r"\s(?:\||&&)\s", told):
                if part.startswith("aspd "):
                    found.append(part.replace("[", "").replace("]", ""))
    return found


COMMANDS = [pytest.param(line, id=f"{page.stem}: {line}") for page in PAGES for line in commands(page)]
CODE = [
    pytest.param(page.name, text, id=f"{page.stem} {number}")
    for page in PAGES
    for number, (language, text) in enumerate(blocks(page))
    if language == "python"
]


def test_examples_are_found() -> None:
    assert len(COMMANDS) > 25
    assert len(CODE) > 5


def parse(command: Any, name: str, words: list[str]) -> None:
    """As the command line does it before a command runs. Raises what it says to bad usage."""
    context = command.make_context(name, list(words))
    if hasattr(command, "commands"):
        _, below, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        parse(below, f"{name} {below.name}", rest)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_documented_command_is_taken(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)[1:]
    for word in words:  # files that a command reads are there
        if re.fullmatch(r"[\w.-]+\.(?:jsonl|gguf)|PROMPTS", word):
            Path(word).touch()
        elif re.fullmatch(r"[A-Z]+", word):
            Path(word).mkdir(exist_ok=True)
    path = next(path for path in BELOW if tuple(words[: len(path)]) == path)
    rest = words[len(path) :] if len(words) > 1 else [*words[len(path) :], "--help"]
    with suppress(typer.Exit):  # of help
        parse(get_command(BELOW[path]), " ".join(["aspd", *path]), rest)


@pytest.fixture(scope="module")
def tiny(tiny_folder: Path) -> TinyModel:
    return write_scripted(tiny_folder / "documented.gguf", Script([f"assistant\nHm{EOS}"]), seed=17)


RUNS = (
    "run ",
    "chat",
    "models list",
    "models path",
    "data build",
    "data report",
    "data show",
)


def files_of_pages() -> dict[str, str]:
    """What a page says to save, by the name of the file."""
    saved = r"[Ss]ave it as `([\w.]+)`:\n\n```\w+\n(.*?)^```$"
    found = (re.findall(saved, page.read_text(), flags=re.MULTILINE | re.DOTALL) for page in PAGES)
    return {name: text for pairs in found for name, text in pairs}


BUILD = ["data", "build", "ANSWERS.jsonl", "-o", "SET.jsonl", "--no-score"]
QUICK = [each for each in COMMANDS if str(each.values[0]).removeprefix("aspd ").startswith(RUNS)]


def test_quick_commands_are_found() -> None:
    assert len(QUICK) > 12


@pytest.fixture
def one_core() -> Iterator[None]:
    """Two threads of a tiny model wait for each other where other programs run."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    yield
    os.sched_setaffinity(0, cores)


@pytest.mark.usefixtures("one_core")
@pytest.mark.parametrize("line", QUICK)
def test_a_documented_command_runs(
    line: str, tiny: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that take a moment, with a tiny model in place of the one that is named."""
    monkeypatch.chdir(tmp_path)
    for name in ("resolve", "locate", "pull"):
        monkeypatch.setattr(sources, name, lambda *_, **__: tiny.path)
    rows = [
        {"prompt": f"What helps {i}?", "answer": "- **Rest**: each day.\n- **Food**: a lot."}
        for i in range(9)
    ]
    (tmp_path / "ANSWERS.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, text in files_of_pages().items():
        (tmp_path / name).write_text(text)
    words = shlex.split(line.replace("NAME", "smollm2-135m"))[1:]
    reads_set = words[:2] in (["data", "report"], ["data", "show"])
    for command in [BUILD, words] if reads_set else [words]:
        result = CliRunner().invoke(top.app, command, input="Hello\n")
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize(("page", "text"), CODE)
def test_documented_code_runs(page: str, text: str, tiny: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that needs another program or package is only read."""
    ast.parse(text)
    if page in SELF_CONTAINED:
        for name in ("resolve", "locate", "pull"):
            monkeypatch.setattr(sources, name, lambda *_, **__: tiny.path)
        exec(compile(text, page, "exec"), {})
