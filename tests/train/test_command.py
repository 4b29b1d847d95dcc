"""`aspd train` and `aspd train export` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from training_records import stories, write_set
from typer.testing import CliRunner

from aspd_local import Model
from aspd_local.cli.app import app
from tiny.files import TinyModel

pytest.importorskip("torch")

QUICK = [
    "--epochs",
    "1",
    "--tokens-per-step",
    "400",
    "--row-tokens",
    "300",
    "--precision",
    "f32",
    "--threads",
    "1",
]


def aspd(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return result.exit_code, result.output


def test_data_becomes_a_model_that_runs_natively(tiny_llama: TinyModel, tmp_path: Path) -> None:
    data, run, model = (
        write_set(tmp_path / "set.jsonl", stories(8)),
        tmp_path / "run",
        tmp_path / "model.gguf",
    )
    code, told = aspd("train", data, "-o", run, "--base", tiny_llama.path, *QUICK)
    assert code == 0, told
    assert "8 examples (6 with a block" in told
    assert "held out" in told
    code, told = aspd(
        "train", "export", run, "-o", model, "--base", tiny_llama.path, "--weights", "q8_0", "--head", "q8_0"
    )
    assert code == 0, told
    with Model(model, n_ctx=256, profile="off") as loaded:
        assert loaded.protocol == "aspd"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.gguf", "run", "set.jsonl"]


def test_wrong_input_is_one_line(tiny_llama: TinyModel, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text('{"prompt": "a", "answer": "b"}\n')
    code, told = aspd("train", other, "-o", tmp_path / "run", "--base", tiny_llama.path, *QUICK)
    assert code == 1
    assert "other.jsonl:1: no line of `aspd data build`" in told.splitlines()[-1]
    data = write_set(tmp_path / "set.jsonl", stories(8))
    code, told = aspd("train", data, "-o", tmp_path, "--base", tiny_llama.path, *QUICK)
    assert code == 1
    assert "not empty" in told.splitlines()[-1]
    code, told = aspd("train", data, "-o", tmp_path / "run", "--base", tmp_path / "none.gguf", *QUICK)
    assert code == 1
    code, told = aspd("train", "export", tmp_path, "-o", tmp_path / "x.gguf", "--base", tiny_llama.path)
    assert code == 1
    assert "no training run" in told.splitlines()[-1]
    code, told = aspd("train", "export", tmp_path, "-o", tmp_path / "x.gguf", "--head", "q8_0")
    assert code == 2
    assert "--weights" in told


def test_help_shows_both_commands() -> None:
    assert "aspd train export" in aspd("train", "--help")[1]
    assert "ADAPTER" in aspd("train", "export", "--help")[1]
