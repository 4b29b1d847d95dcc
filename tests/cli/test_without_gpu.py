"""A build for GPUs on a machine that has none."""

from __future__ import annotations

import logging

import pytest

from aspd_local import Model, _core
from aspd_local.cli.progress import warn_without_gpu
from tiny.files import TinyModel

REASON = "this build is for CUDA, but no GPU was found"


@pytest.fixture
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core, "missing_gpu", lambda: REASON)


@pytest.mark.usefixtures("_no_gpu")
def test_command_says_that_the_cpu_computes(capsys: pytest.CaptureFixture[str]) -> None:
    warn_without_gpu(-1)
    assert capsys.readouterr() == ("", f"aspd: warning: {REASON}; the CPU computes\n")


@pytest.mark.usefixtures("_no_gpu")
def test_who_wants_no_layer_on_a_gpu_hears_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    warn_without_gpu(0)
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("_no_gpu")
def test_model_logs_that_the_cpu_computes(tiny_llama: TinyModel, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("aspd_local").propagate = True
    with Model(tiny_llama.path, profile="off"):
        pass
    assert f"{REASON}; the CPU computes" in caplog.messages


@pytest.mark.skipif(_core.gpu_devices() != [], reason="there is a GPU")
def test_build_for_cpus_misses_no_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    if reason := _core.missing_gpu():
        assert reason.startswith("this build is for ")
    else:
        warn_without_gpu(-1)
        assert capsys.readouterr().err == ""
