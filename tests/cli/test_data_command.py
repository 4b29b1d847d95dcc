"""`aspd data` with the real engine and tiny models: build, generate, report, show."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from aspd_local.cli.app import app
from aspd_local.data import plain_text
from aspd_local.data.record import from_line
from tiny.files import TinyModel

WORDS = "has a text of its own that is long enough for a part"
ANSWER = f"Well:\n\n- **Aa** {WORDS}\n- **Bb** {WORDS}\n- **Cc** {WORDS}\n\nDone."


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    path = tmp_path / "answers.jsonl"
    rows = [{"prompt": f"Q{i}?", "answer": ANSWER if i % 2 else f"No {i}."} for i in range(6)]
    path.write_text("{bad\n" + "".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


@pytest.fixture
def built(runner: CliRunner, answers: Path, out: Path) -> Path:
    assert data(runner, "build", answers, "-o", out, "--no-score").exit_code == 0
    return out


def data(runner: CliRunner, *arguments: object) -> Result:
    return runner.invoke(app, ["data", *map(str, arguments)])


def test_build_says_what_it_did(runner: CliRunner, answers: Path, out: Path) -> None:
    result = data(runner, "build", answers, "-o", out, "--no-score")
    assert result.exit_code == 0
    assert result.stdout == f"{out}: 6 examples; of the 6 of this run, 3 have blocks\n"
    errors = result.stderr.splitlines()
    assert errors[-2:] == ["aspd: line 1: not JSON", "aspd: 1 bad lines: 1 not JSON"]
    assert errors[-3] == "building: 100 %"


def test_build_with_a_scorer(runner: CliRunner, answers: Path, tmp_path: Path, tiny_llama: TinyModel) -> None:
    """Random weights make siblings neither help nor harm much; the thresholds decide."""
    kept = {}
    for name, limits in {"all": ("99", "99"), "none": ("-99", "99"), "no tail": ("99", "-99")}.items():
        out = tmp_path / name
        flags = ["--model", tiny_llama.path, "--threads", 1, "--max-gain", limits[0], "--max-join", limits[1]]
        result = data(runner, "build", answers, "-o", out, *flags)
        assert result.exit_code == 0, result.stderr
        found = [from_line(line) for line in out.read_bytes().splitlines()]
        kept[name] = sum(len(record.blocks) for record in found)
        assert found[1].scores[0]["gain"] is not None
        assert found[1].counts.unit == "tokens"
    assert kept == {"all": 3, "none": 0, "no tail": 0}


def test_model_without_fitted_thresholds_is_a_warning(
    runner: CliRunner, answers: Path, out: Path, tiny_llama: TinyModel
) -> None:
    result = data(runner, "build", answers, "-o", out, "-m", tiny_llama.path, "--threads", 1)
    assert "aspd: warning: no thresholds were fitted for" in result.stderr


def test_existing_file_is_bad_usage_and_kept(runner: CliRunner, answers: Path, built: Path) -> None:
    before = built.read_bytes()
    result = data(runner, "build", answers, "-o", built, "--no-score")
    assert (result.exit_code, result.stderr) == (2, f"aspd: {built}: exists already\n")
    assert built.read_bytes() == before
    assert data(runner, "build", answers, "-o", built, "--no-score", "--force").exit_code == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--valid", "0.7", "--test", "0.7"), "valid and test are shares"),
        (("--min-branches", "5", "--max-branches", "4"), "max_branches is not below"),
        (("--judge", "ftp://x", "m"), "http or https"),
    ],
)
def test_wrong_values_are_bad_usage(
    runner: CliRunner, answers: Path, out: Path, flags: tuple[str, ...], message: str
) -> None:
    result = data(runner, "build", answers, "-o", out, "--no-score", *flags)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not out.exists()


def test_only_bad_lines_is_one_line(runner: CliRunner, tmp_path: Path, out: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{\n")
    result = data(runner, "build", bad, "-o", out, "--no-score")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == f"aspd: {bad}: no line holds an example (1 not JSON)"


def test_folder_that_is_none_is_one_line(runner: CliRunner, answers: Path) -> None:
    result = data(runner, "build", answers, "-o", answers / "out", "--no-score")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, out: Path) -> None:
    many = tmp_path / "many.jsonl"
    row = json.dumps({"prompt": "Q?", "answer": ANSWER}) + "\n"
    many.write_text(row * 40_000)
    # A shell without job control starts what runs in the background deaf to Ctrl-C.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{listen}; from aspd_local.cli.app import main; main()"
    command = [sys.executable, "-c", program, "data", "build", str(many), "-o", str(out), "--no-score"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        part = tmp_path / "out.jsonl.part"
        while not part.exists() or part.stat().st_size < 10_000:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (130, "")
    assert errors.splitlines()[-1] == "aspd: interrupted; the same command goes on from here"
    assert not out.exists()


# --- generate, report, show -----------------------------------------------------------------------


def test_generate_writes_what_build_reads(
    runner: CliRunner, tmp_path: Path, out: Path, storyteller: TinyModel
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("One?\nTwo?\nOne?\n")
    flags = ["-m", storyteller.path, "--threads", 1, "--max-tokens", 12, "--temperature", 0]
    result = data(runner, "generate", prompts, "-o", out, *flags)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{out}: 2 answers (1 repeated prompts, 0 bad lines, 0 too long)\n"
    assert [json.loads(line)["prompt"] for line in out.read_text().splitlines()] == ["One?", "Two?"]
    assert data(runner, "build", out, "-o", tmp_path / "set", "--no-score").exit_code == 0


def test_report_writes_one_page(runner: CliRunner, built: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = data(runner, "report", built, "-o", page)
    assert (result.exit_code, result.stdout) == (0, f"{page}\n")
    assert "<b>50.0%</b>proportion of parallel data" in page.read_text(encoding="utf-8")


def test_show_draws_the_branches_side_by_side(runner: CliRunner, built: Path) -> None:
    result = data(runner, "show", built, 2)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert re.search("1. Aa .* 2. Bb .* 3. Cc ", next(line for line in lines if "Aa" in line))
    assert max(map(len, lines)) <= 100
    assert lines[-1] == "3 bulleted kept at 7"
    assert "Done." in result.stdout


def test_show_json_is_the_line(runner: CliRunner, built: Path) -> None:
    result = data(runner, "show", built, 2, "--json")
    assert result.stdout.encode() == built.read_bytes().splitlines(keepends=True)[1]
    assert plain_text(from_line(result.stdout).structure) == ANSWER


def test_show_sends_no_control_characters(runner: CliRunner, tmp_path: Path, out: Path) -> None:
    answers = tmp_path / "evil.jsonl"
    evil = ANSWER.replace("Aa", "A\x1b[2Ja")
    answers.write_text(json.dumps({"prompt": "\x1b]0;x\x07?", "answer": evil}) + "\n")
    data(runner, "build", answers, "-o", out, "--no-score")
    shown = data(runner, "show", out, 1).stdout
    assert "\x1b" not in shown
    assert "\x07" not in shown


@pytest.mark.parametrize(("number", "message"), [(7, "it has no example 7"), (0, "")])
def test_show_of_none(runner: CliRunner, built: Path, number: int, message: str) -> None:
    result = data(runner, "show", built, number)
    assert result.exit_code in (1, 2)
    assert message in result.stderr


def test_other_files_are_one_line(runner: CliRunner, answers: Path, tmp_path: Path) -> None:
    result = data(runner, "report", answers, "-o", tmp_path / "page.html")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"aspd: {answers}:1: no line of `aspd data build`")
