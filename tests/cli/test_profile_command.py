"""`aspd profile` with the real engine and a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from aspd_local.cli.app import app
from tiny.files import TinyModel


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("ASPD_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def profile(runner: CliRunner, model: TinyModel | Path, *more: str) -> Result:
    path = model if isinstance(model, Path) else model.path
    own = ["--threads", "1", "--steps", "2", "--depths", "16,64"]
    return runner.invoke(app, ["profile", str(path), *own, *more])


def test_table_has_a_row_for_each_width(runner: CliRunner, tiny_llama: TinyModel) -> None:
    result = profile(runner, tiny_llama, "--widths", "1-4,8")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[2:7]] == ["1", "2", "3", "4", "8"]
    assert lines[2].split()[2] == "1.00"
    assert "speed-up of equal branches: 2: " in result.stdout


def test_json_is_the_profile(runner: CliRunner, tiny_llama: TinyModel) -> None:
    result = profile(runner, tiny_llama, "--widths", "1,2", "--json")
    found = json.loads(result.stdout)
    assert [(point["width"], point["depth"]) for point in found["points"]] == [
        (1, 16),
        (2, 16),
        (1, 64),
        (2, 64),
    ]
    assert all(point["seconds"] > 0 for point in found["points"])
    assert found["key"]["n_threads"] == 1
    assert found["speedups"].keys() == {"2", "3", "4", "5", "6", "8"}


def test_profile_of_enough_widths_is_kept(runner: CliRunner, tiny_llama: TinyModel, cache: Path) -> None:
    assert profile(runner, tiny_llama, "--widths", "1,2").exit_code == 0
    assert not list(cache.rglob("*.json"))
    assert profile(runner, tiny_llama, "--widths", "1-8").exit_code == 0
    assert len(list(cache.rglob("*.json"))) == 1


@pytest.mark.parametrize("widths", ["0-4", "4-1", "x", "1-200", "", "2,4", "1-"])
def test_widths_out_of_range_are_bad_usage(runner: CliRunner, tiny_llama: TinyModel, widths: str) -> None:
    result = profile(runner, tiny_llama, "--widths", widths)
    assert result.exit_code == 2
    assert "width" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_model_that_cannot_fork_is_refused_in_one_line(runner: CliRunner, tiny_mamba: TinyModel) -> None:
    result = profile(runner, tiny_mamba)
    assert result.exit_code == 1
    assert "cannot be forked" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_missing_file_is_refused_in_one_line(runner: CliRunner, tmp_path: Path) -> None:
    result = profile(runner, tmp_path / "none.gguf")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_plot_is_drawn(runner: CliRunner, tiny_llama: TinyModel, tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"curve.{kind}"
    assert profile(runner, tiny_llama, "--widths", "1,2", "--plot", str(file)).exit_code == 0
    assert file.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")


def test_plot_of_an_unknown_kind_is_bad_usage(
    runner: CliRunner, tiny_llama: TinyModel, tmp_path: Path
) -> None:
    result = profile(runner, tiny_llama, "--widths", "1,2", "--plot", str(tmp_path / "curve.nothing"))
    assert result.exit_code == 2
    assert not (tmp_path / "curve.nothing").exists()
