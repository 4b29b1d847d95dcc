"""The commands with the real engine and a tiny model that answers every chat with the same story."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from aspd_local.cli.app import app
from tiny.files import TinyModel
from tiny.script import Script, write_scripted
from tiny.stories import STORY, STORY_END, block
from tiny.vocabulary import EOS

BODIES = {title: f":{body}" for title, body in STORY.items()}  # behind the titles that open the branches
TEXT = "Hm" + "".join(title + body for title, body in BODIES.items()) + STORY_END


@pytest.fixture(scope="module")
def tiny(tiny_folder: Path) -> TinyModel:
    return write_scripted(
        tiny_folder / "cli.gguf", Script([f"assistant\nHm{block(STORY)}{STORY_END}{EOS}"]), seed=17
    )


def aspd(runner: CliRunner, command: str, model: Path, *arguments: str, stdin: str = "") -> Result:
    own = ["-m", str(model), "--threads", "1", "--n-ctx", "512"]
    return runner.invoke(app, [command, *own, *arguments], input=stdin)


def test_run_prints_the_text(runner: CliRunner, tiny: TinyModel) -> None:
    result = aspd(runner, "run", tiny.path, "--temperature", "0", "Hello")
    assert (result.exit_code, result.stdout, result.stderr) == (0, TEXT + "\n", "")


def test_json_tells_the_branches(runner: CliRunner, tiny: TinyModel) -> None:
    result = aspd(runner, "run", tiny.path, "--temperature", "0", "--json", "Hello")
    printed = json.loads(result.stdout)
    branches = printed["blocks"][0]["branches"]
    assert {branch["title"]: TEXT[slice(*branch["span"])] for branch in branches} == BODIES
    assert (printed["protocol"], printed["fallback"], printed["finish_reason"]) == ("aspd", None, "stop")


def test_serial_opens_no_block(runner: CliRunner, tiny: TinyModel) -> None:
    result = aspd(
        runner, "run", tiny.path, "--temperature", "0", "--json", "--serial", "--max-tokens", "9", "Hello"
    )
    printed = json.loads(result.stdout)
    assert (printed["protocol"], printed["blocks"]) == ("serial", [])


def test_verbose_shows_the_log_of_llama_cpp(runner: CliRunner, tiny: TinyModel) -> None:
    result = aspd(runner, "run", tiny.path, "--temperature", "0", "-v", "Hello")
    assert result.stdout == TEXT + "\n"
    assert "llama" in result.stderr


def test_a_chat_that_was_saved_goes_on_from_its_cache(
    runner: CliRunner, tiny: TinyModel, tmp_path: Path
) -> None:
    file = tmp_path / "talk"
    first = aspd(runner, "chat", tiny.path, "--temperature", "0", stdin=f"Hello\n/save {file}\n")
    assert (first.exit_code, first.stdout) == (0, TEXT + "\n")
    second = aspd(runner, "chat", tiny.path, "--temperature", "0", stdin=f"/load {file}\nHello\n/stats\n")
    assert (second.exit_code, second.stdout) == (0, TEXT + "\n")
    cached = next(line for line in second.stderr.split("\n") if line.startswith("prompt:"))
    assert int(cached.split()[3]) > len(TEXT)


def test_demo_compares(runner: CliRunner, tiny: TinyModel) -> None:
    result = aspd(runner, "demo", tiny.path, "--max-tokens", "40")
    assert result.exit_code == 0
    assert "asked for the plan" not in result.stdout
    assert "branches" in result.stdout
    assert "speed-up" in result.stdout


def test_a_protocol_of_ones_own_is_named_by_its_file(
    runner: CliRunner, tiny: TinyModel, tmp_path: Path
) -> None:
    packaged = resources.files("aspd_local") / "protocols" / "aspd.json"
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({**json.loads(packaged.read_text()), "name": "mine"}))
    result = aspd(runner, "run", tiny.path, "--temperature", "0", "--json", "--protocol", str(file), "Hello")
    printed = json.loads(result.stdout)
    assert (printed["text"], printed["protocol"]) == (TEXT, "mine")
    typed = f"/parallel {file}\nHello\n/parallel {tmp_path}\n"
    result = aspd(runner, "chat", tiny.path, "--temperature", "0", stdin=typed)
    assert (result.exit_code, result.stdout) == (2, TEXT + "\n")
    assert f"(parallel: {file})" in result.stderr
    assert "/parallel must be a protocol by its name" in result.stderr
    assert "that is a folder" in result.stderr
    file.write_text("{}")
    result = aspd(runner, "run", tiny.path, "--protocol", str(file), "Hello")
    assert result.exit_code == 1
    assert result.stderr == f"aspd: protocol '{file}': malformed file: name is missing\n"


@pytest.mark.parametrize("content", [b"", b"This is no model.", b"GGUF\x03\x00\x00\x00"])
@pytest.mark.parametrize("command", ["run", "chat", "demo"])
def test_a_bad_model_is_one_line(runner: CliRunner, tmp_path: Path, content: bytes, command: str) -> None:
    file = tmp_path / "bad.gguf"
    file.write_bytes(content)
    result = aspd(runner, command, file, *(["Hello"] if command == "run" else []))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("aspd: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--protocol", "nonsense", "Hello"], 2, "nonsense"),
        (["--temperature", "-1", "Hello"], 2, "temperature"),
        (["--stop", "", "Hello"], 2, "stop"),
        (["x" * 2000], 1, "context"),
    ],
)
def test_what_the_engine_refuses_is_one_line(
    runner: CliRunner, tiny: TinyModel, arguments: list[str], code: int, said: str
) -> None:
    result = aspd(runner, "run", tiny.path, *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("grammar", ["root ::= ((", 'root ::= root "x" | "y"', 'root ::= "a"{5,2}'])
def test_a_bad_grammar_is_bad_usage(runner: CliRunner, tiny: TinyModel, tmp_path: Path, grammar: str) -> None:
    file = tmp_path / "bad.gbnf"
    file.write_text(grammar)
    result = aspd(runner, "run", tiny.path, "--grammar", str(file), "Hello")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
