"""`aspd serve` as a process: says where it is, ends in time, and refuses what cannot be."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
from served import QUESTION
from typer.testing import CliRunner

from aspd_local.cli.app import app
from aspd_local.cli.serve import named
from tiny.files import TinyModel

ENTRY = [sys.executable, "-c", "from aspd_local.cli.app import main; main()", "serve", "--port", "0"]


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 0)])
def test_serves_until_a_signal(story_model: TinyModel, sent: signal.Signals, code: int) -> None:
    command = [*ENTRY, str(story_model.path), "--n-ctx", "512", "--threads", "1", "--profile", "off"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        address = process.stdout.readline().split()[0]
        assert address.startswith("http://127.0.0.1:")
        with httpx2.Client(base_url=address, trust_env=False) as client:
            found = client.post("/v1/chat/completions", json={"messages": QUESTION}).json()
            assert found["model"] == "served"
            assert found["choices"][0]["message"]["content"]
            begun = time.monotonic()
            process.send_signal(sent)
            assert process.wait(30) == code
        assert time.monotonic() - begun < 15
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["no-such-model"], "no-such-model"),
        (["--host", "0.0.0.0"], "can be reached from other machines"),
        (["--api-key", "short"], "8 characters"),
        (["--host", "192.0.2.1"], "192.0.2.1"),
        (["--protocol", "no-such.json"], "--protocol must be a protocol by its name"),
    ],
)
def test_what_cannot_be_is_one_line(story_model: TinyModel, args: list[str], why: str) -> None:
    model = [] if args[0] == "no-such-model" else [str(story_model.path)]
    result = CliRunner().invoke(app, ["serve", "--port", "0", *args, *model])
    assert result.exit_code in (1, 2)
    assert why in result.output
    assert "Traceback" not in result.output
    assert result.output.startswith("aspd: ")


def test_requests_name_a_file_without_its_path(tmp_path: Path, story_model: TinyModel) -> None:
    names = ("UPPER.GGUF", "lower.gguf", "bare")
    for name in names:
        (tmp_path / name).symlink_to(story_model.path)
    assert list(named([str(tmp_path / name) for name in names])) == ["UPPER", "lower", "bare"]


def test_model_that_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")
    done = subprocess.run([*ENTRY, str(broken)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("aspd: the model broken cannot be loaded: ")


def test_address_in_use_is_one_line(story_model: TinyModel) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["serve", str(story_model.path), "--port", port])
    assert result.exit_code == 2
    assert result.output.startswith(f"aspd: 127.0.0.1:{port}: ")
