"""Where files are: paths of any bytes, a cache that a variable moves, a user without a home."""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path

import pytest

from aspd_local import Embedder, Model, ModelError, _core
from aspd_local.instructions import Instructions
from aspd_local.sources import Store, bar
from tiny.files import TinyModel

SETTINGS = {"n_ctx": 256, "n_threads": 1, "n_threads_batch": 1}
NAME = b"caf\xe9 \xff.gguf"


@pytest.fixture
def odd(tiny_llama: TinyModel, tmp_path: Path) -> Path:
    path = tmp_path / os.fsdecode(NAME)
    try:
        shutil.copy(tiny_llama.path, path)
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    return path


def test_a_path_may_have_any_bytes(odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aspd_local.instructions.LEAST_PARAMETERS", 0)
    monkeypatch.setenv("ASPD_CACHE_DIR", str(tmp_path / "cache"))
    for path in (odd, str(odd)):
        with Model(path, **SETTINGS, profile="off") as model:  # type: ignore[arg-type]
            assert model.path == odd
            assert model.core.path == str(odd)
            assert model.chat("a", max_tokens=2).usage.completion_tokens == 2
            model.save_session(tmp_path / os.fsdecode(b"\xff.aspd"))
            model.load_session(tmp_path / os.fsdecode(b"\xff.aspd"))
    assert _core.check_gguf(odd).n_vocab > 0
    _core.summarize_weights(odd)
    with pytest.raises(ModelError, match="pooling"):
        Embedder(odd)


def test_an_error_about_such_a_path_is_text_and_has_the_path(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(NAME)
    path.write_bytes(b"no model")
    with pytest.raises(ModelError) as caught:
        _core.check_gguf(path)
    assert caught.value.path == str(path)
    assert "caf" in str(caught.value).encode("utf-8").decode()  # it can be printed


def test_the_variable_moves_the_cache_of_all(
    tiny_llama: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aspd_local.tuning.LEAST_PARAMETERS", 0)
    monkeypatch.setattr("aspd_local.profile._UNSTEADY", float("inf"))  # a curve of a busy machine is not kept
    monkeypatch.setenv("ASPD_CACHE_DIR", str(tmp_path / "there"))
    assert Store().root == tmp_path / "there"
    assert Store(tmp_path).root == tmp_path
    with Model(tiny_llama.path, n_ctx=4096, n_threads=1, n_threads_batch=1) as model:
        assert list((tmp_path / "there" / "profiles").glob("*.json"))
        kept = Instructions(model.engine, model.path, "")
        assert kept._folder == tmp_path / "there" / "instructions"
    monkeypatch.setenv("ASPD_CACHE_DIR", "")
    assert Store().root.is_absolute()


def test_a_user_without_a_home_can_use_a_model_by_its_path(
    tiny_llama: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("aspd_local.instructions.LEAST_PARAMETERS", 0)
    monkeypatch.setattr("aspd_local.tuning.LEAST_PARAMETERS", 0)
    monkeypatch.setattr("aspd_local.profile._UNSTEADY", float("inf"))
    monkeypatch.delenv("ASPD_CACHE_DIR", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: "~/.cache/aspd-local")
    monkeypatch.chdir(tmp_path)
    assert not Store().root.exists()
    with pytest.raises(OSError, match="no home folder, set/ASPD_CACHE_DIR"):
        Store().models.mkdir(parents=True)
    with Model(tiny_llama.path, n_ctx=4096, n_threads=1, n_threads_batch=1) as model:
        assert model.generate("a", max_tokens=1).usage.completion_tokens == 1
    assert "the profile cannot be kept" in caplog.text
    assert "cannot be used" not in caplog.text
    assert list(tmp_path.iterdir()) == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stderr", "shown"), [(Terminal(), True), (io.StringIO(), False), (None, False)])
def test_a_bar_shows_a_download_on_a_terminal_alone(
    tiny_llama: TinyModel, monkeypatch: pytest.MonkeyPatch, stderr: io.StringIO | None, shown: bool
) -> None:
    def fetch(name: str, **options: object) -> Path:
        assert name == "a-name"
        told = options["progress"]
        assert (told is not None) == shown
        if callable(told):
            told(10, 100, "fetching it")
        return tiny_llama.path

    monkeypatch.setattr("aspd_local.sources.resolve", fetch)
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setenv("TERM", "xterm")
    Model("a-name", **SETTINGS, profile="off").close()  # type: ignore[arg-type]
    if stderr is not None:
        assert ("fetching it" in stderr.getvalue()) == shown
    assert bar.on_terminal() == shown
