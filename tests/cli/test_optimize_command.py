"""`aspd optimize` with the real engine and a tiny model."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from aspd_local import _core
from aspd_local.cli.app import app
from aspd_local.optimize import trial
from aspd_local.optimize.candidates import Curve
from tiny.files import TinyModel


@pytest.fixture(autouse=True)
def _small_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps take as long as the model is large: 1 ms for each kB and lane; the source's are unsteady."""

    def curve(model: _core.Model, widths: Sequence[int] = trial.WIDTHS, **_: object) -> Curve:
        seconds = {width: model.size_bytes * width / 1e6 for width in widths}
        return Curve(seconds=seconds, spread=3.21 if model.size_bytes > 4e6 else 1.0)

    monkeypatch.setattr(trial, "measure_curve", curve)


def optimize(runner: CliRunner, model: Path, out: Path, *more: str) -> Result:
    own = ["--threads", "1", "--max-tokens", "64", "--heads", "Q6_K", "--max-loss", "1"]
    return runner.invoke(app, ["optimize", str(model), "-o", str(out), *own, *more])


def test_it_prints_a_table_and_what_was_written(runner: CliRunner, wide: TinyModel, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    result = optimize(runner, wide.path, out, "--weights", "q8_0,q4_0")
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == ["weights", "head", "MB", "perpl.", "loss", "1", "2", "4", "8", "x2", "x4", "x8"]
    assert [*rows[1][:3], rows[1][4]] == ["F32", "F32", "4", "source"]
    assert rows[2][:2] == ["Q8_0", "Q6_K"]
    assert rows[3][:3] == ["->", "Q4_0", "Q6_K"]
    assert float(rows[1][-7]) == pytest.approx(wide.path.stat().st_size / 1e3, rel=0.01)  # ms of one lane
    assert rows[1][-3:] == ["1.00", "1.00", "1.00"]
    assert result.stdout.splitlines()[5].startswith(f"{out}: Q4_0, head Q6_K, perplexity ")
    assert result.stderr.splitlines() == [
        "measuring wide.gguf",
        "Q8_0, head Q6_K (1 of 2)",
        "Q4_0, head Q6_K (2 of 2)",
        "writing Q4_0, head Q6_K",
        "aspd: warning: times of the same step differed by a factor of up to 3.2: something else was "
        "running; the choice is doubtful, do it again on a quiet machine",
    ]
    assert _core.summarize_weights(str(out)).weights == "Q4_0"


def test_json_has_everything_that_was_measured(runner: CliRunner, wide: TinyModel, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    result = optimize(runner, wide.path, out, "--weights", "Q4_0", "--json")
    told = json.loads(result.stdout)
    assert (told["model"], told["out"], told["max_loss"]) == (str(wide.path), str(out), 1)
    assert (told["n_tokens"], told["failed"]) == (63, [])
    (candidate,) = told["candidates"]
    assert told["chosen"] == candidate
    assert (candidate["weights"], candidate["head"]) == ("Q4_0", "Q6_K")
    assert candidate["size_bytes"] == out.stat().st_size
    assert list(candidate["ms_per_step"]) == ["1", "2", "4", "8", "16"]
    assert list(candidate["gain"]) == ["2", "4", "8", "16"]
    assert (told["source"]["spread"], candidate["spread"]) == (3.21, 1)
    assert told["source"]["loss"] == 0


def test_nothing_faster_is_exit_1_with_the_reason(
    runner: CliRunner, requantised: Callable[[str, str], Path], tmp_path: Path
) -> None:
    source, out = requantised("Q4_0", "Q4_0"), tmp_path / "out.gguf"
    result = optimize(runner, source, out, "--weights", "Q8_0", "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["out"], told["chosen"], len(told["candidates"])) == (None, None, 1)
    assert result.stderr.splitlines()[-1] == (
        "aspd: nothing was written: no candidate within the loss is clearly faster than the source"
    )
    assert "aspd: warning: the file is quantised already (Q4_0, head Q4_0)" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_bad_usage_and_kept(runner: CliRunner, wide: TinyModel, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    out.write_bytes(b"before")
    result = optimize(runner, wide.path, out)
    assert (result.exit_code, result.stderr) == (2, f"aspd: {out}: exists already\n")
    assert out.read_bytes() == b"before"
    assert optimize(runner, wide.path, out, "--weights", "Q4_0", "--force").exit_code == 0
    assert out.read_bytes() != b"before"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--weights", "Q4_9"), "unknown type 'Q4_9'"),
        (("--weights", ","), "--weights names no type"),
        (("--max-loss", "inf"), "max_loss must be"),
    ],
)
def test_wrong_values_are_bad_usage(
    runner: CliRunner, wide: TinyModel, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    result = optimize(runner, wide.path, tmp_path / "out.gguf", *more)
    assert result.exit_code == 2
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_text_that_is_no_text_is_bad_usage(runner: CliRunner, wide: TinyModel, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_bytes(b"\xff\xfe\x00")
    result = optimize(runner, wide.path, tmp_path / "out.gguf", "--text", str(text))
    assert result.exit_code == 2
    assert "cannot be read as UTF-8 text" in result.stderr


@pytest.mark.parametrize("content", [b"", b"This is no model.", b"GGUF\x03\x00\x00\x00"])
def test_a_file_that_is_no_model_is_one_line(runner: CliRunner, tmp_path: Path, content: bytes) -> None:
    model = tmp_path / "model.gguf"
    model.write_bytes(content)
    result = optimize(runner, model, tmp_path / "out.gguf")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"aspd: {model}: ")
    assert result.stderr.count("\n") == 1


def test_no_room_is_one_line(
    runner: CliRunner, wide: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 0))
    out = tmp_path / "out.gguf"
    result = optimize(runner, wide.path, out)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"aspd: {out}: no space left in {tmp_path}: ")
    assert result.stderr.count("\n") == 1


def test_ctrl_c_leaves_nothing_behind(wide: TinyModel, tmp_path: Path) -> None:
    program = "from aspd_local.cli.app import main; main()"
    command = [sys.executable, "-c", program, "optimize", str(wide.path), "-o", str(tmp_path / "out.gguf")]
    with subprocess.Popen(
        [*command, "--threads", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        line = ""
        while "(2 of 16)" not in line:
            line = process.stderr.readline()
            assert line
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (130, "")
    assert errors.splitlines()[-1] == "aspd: interrupted; nothing was written"
    assert list(tmp_path.iterdir()) == []
