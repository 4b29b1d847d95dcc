"""A whole run with the real engine and a tiny model that answers every chat with the same story."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from aspd_local.cli.app import app
from aspd_local.errors import DataError
from aspd_local.eval import EvalConfig, JudgeConfig, read_results, run, summarise
from aspd_local.eval.runner import plan
from aspd_local.eval.suites import Question
from tiny.files import TinyModel
from tiny.script import Script, write_scripted
from tiny.stories import STORY, STORY_END, block
from tiny.vocabulary import EOS

TEXT = "Hm" + "".join(f"{title}:{body}" for title, body in STORY.items()) + STORY_END


@pytest.fixture(scope="module")
def tiny(tiny_folder: Path) -> TinyModel:
    script = Script([f"assistant\nHm{block(STORY)}{STORY_END}{EOS}"])
    return write_scripted(tiny_folder / "eval.gguf", script, seed=17)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "own.jsonl"
    rows = [
        {"id": "hello", "prompt": "Hello", "facts": ["two"]},
        {"id": "two", "turns": ["Who?", "Why?"], "category": "turns"},
        {"id": "last", "prompt": "And?"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config(tiny: TinyModel, suite: Path, *contestants: str, judge: JudgeConfig | None = None) -> EvalConfig:
    return EvalConfig(
        model=str(tiny.path),
        suite=str(suite),
        contestants=contestants or ("parallel",),
        max_tokens=40,
        n_ctx=512,
        n_threads=1,
        judge=judge or JudgeConfig(),
    )


def silent(_what: str, _done: int, _all: int) -> None:
    """Tells nobody."""


def test_every_contestant_answers_every_question(tiny: TinyModel, suite: Path, tmp_path: Path) -> None:
    found = run(
        config(tiny, suite, "parallel", "aspd:drop", "reprefill", "skeleton"), tmp_path / "out", silent
    )
    assert found.contestants == ["serial", "parallel", "aspd:drop", "reprefill", "skeleton"]
    for name in found.contestants:
        assert list(found.of(name)) == ["hello", "two", "last"]
        assert len(found.of(name)["two"].attempts) == 2
    own = found.of("parallel")["hello"]
    assert (own.text, own.right, own.forked) == (TEXT, 1.0, True)
    parts = own.attempts[0].parts
    assert [(part.title, part.text) for part in parts] == [
        (title, f":{body}") for title, body in STORY.items()
    ]
    assert all(0 < part.begin_s <= part.end_s <= own.seconds for part in parts)
    assert own.attempts[0].critical_path < own.attempts[0].n_sampled
    assert not found.of("serial")["hello"].forked
    again = read_results(tmp_path / "out" / "results.jsonl")
    assert again.outcomes == found.outcomes
    assert summarise(again) == summarise(found)


def test_the_same_seed_gives_the_same_answers(tiny: TinyModel, suite: Path, tmp_path: Path) -> None:
    one, two = (run(config(tiny, suite), tmp_path / name, silent) for name in ("a", "b"))
    assert [each.text for each in one.outcomes] == [each.text for each in two.outcomes]


def test_a_run_that_was_stopped_goes_on(tiny: TinyModel, suite: Path, tmp_path: Path) -> None:
    def stop_at_the_third(_what: str, done: int, _all: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config(tiny, suite), tmp_path / "out", stop_at_the_third)
    part = tmp_path / "out" / "results.jsonl.part"
    kept = part.read_bytes()
    assert kept.count(b"\n") == 3
    part.write_bytes(kept + b'{"question": "tw')  # killed in the middle of a line
    found = run(config(tiny, suite), tmp_path / "out", silent)
    assert (tmp_path / "out" / "results.jsonl").read_bytes().startswith(kept)
    assert len(found.outcomes) == 6
    with pytest.raises(ValueError, match="exists already"):
        run(config(tiny, suite), tmp_path / "out", silent)


def test_a_disk_that_fills_up_loses_nothing(tiny: TinyModel, suite: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    limited = (
        "import resource, sys; from aspd_local.cli.app import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))\n"
        "main()"
    )
    args = ["eval", str(tiny.path), "--suite", str(suite), "-o", str(out), "--against", "serial"]
    args += ["--max-tokens", "40", "--n-ctx", "512", "--threads", "1"]
    done = subprocess.run([sys.executable, "-c", limited, *args], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("aspd: ")
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    part = out / "results.jsonl.part"
    kept = part.read_bytes()
    whole = kept[: kept.rindex(b"\n") + 1]
    assert whole.count(b"\n") >= 2  # what was run, and an answer at least
    assert CliRunner().invoke(app, args).exit_code == 0
    assert (out / "results.jsonl").read_bytes().startswith(whole)
    assert len(read_results(out / "results.jsonl").outcomes) == 6


def test_a_judge_scores_what_others_wrote(
    tiny: TinyModel, tiny_llama: TinyModel, suite: Path, tmp_path: Path
) -> None:
    judge = JudgeConfig(model=str(tiny_llama.path))
    found = run(config(tiny, suite, judge=judge), tmp_path / "out", silent)
    assert all(each.nats is not None and each.nats > 0 for each in found.outcomes)
    one = found.of("parallel")
    assert 0 < one["hello"].n_judged < one["two"].n_judged == 2 * one["hello"].n_judged
    quality = summarise(found)["contestants"]["parallel"]["quality"]
    assert quality["nll"]["value"] > 0
    with pytest.raises(ValueError, match="does not judge itself"):
        run(config(tiny, suite, judge=JudgeConfig(model=str(tiny.path))), tmp_path / "own", silent)


class Judge(BaseHTTPRequestHandler):
    """Says what the server is told to say."""

    def do_POST(self) -> None:
        assert isinstance(self.server, JudgeServer)
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"choices": [{"message": {"content": self.server.says}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class JudgeServer(HTTPServer):
    says = "VERDICT: TIE"


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with JudgeServer(("127.0.0.1", 0), Judge) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def test_an_endpoint_that_fails_loses_nothing(
    tiny: TinyModel, suite: Path, tmp_path: Path, server: JudgeServer
) -> None:
    url = f"http://127.0.0.1:{server.server_port}/v1"
    judge = JudgeConfig(url=url, name="j", rate=0)
    server.says = "I cannot tell."
    with pytest.raises(DataError, match="no reply of the judge holds a verdict"):
        run(config(tiny, suite, judge=judge), tmp_path / "out", silent)
    kept = (tmp_path / "out" / "results.jsonl.part").read_bytes()
    found = run(config(tiny, suite), tmp_path / "out", silent)  # without it
    assert (tmp_path / "out" / "results.jsonl").read_bytes() == kept
    assert len(found.outcomes) == 6
    server.says = "VERDICT: TIE"
    judged = run(config(tiny, suite, judge=judge), tmp_path / "other", silent)
    assert [each.preferred for each in judged.of("parallel").values()] == [0.5] * 3


def test_contestants_take_turns_at_being_first() -> None:
    questions = [Question(key=str(i), category="", turns=("?",)) for i in range(3)]
    first = [name for number, (_, name) in enumerate(plan(questions, ("a", "b", "c"))) if number % 3 == 0]
    assert first == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["nobody", "aspd:shortest", ":sum", "ngram"])
def test_unknown_contestants_are_refused(tiny: TinyModel, suite: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"contestant|join rule"):
        run(config(tiny, suite, name), tmp_path / "out", silent)


def aspd(runner: CliRunner, *arguments: object) -> Result:
    return runner.invoke(app, ["eval", *map(str, arguments)])


def test_the_command_writes_a_page_and_compares(tiny: TinyModel, suite: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    flags = ["--suite", suite, "--max-tokens", 40, "--n-ctx", 512, "--threads", 1]
    for name in ("a", "b"):
        result = aspd(runner, tiny.path, "-o", tmp_path / name, *flags)
        assert result.exit_code == 0, result.output
        assert "speed-up" in result.stdout
    folder = tmp_path / "a"
    written = {path.name for path in folder.iterdir()}
    pictures = {"speedup_by_category.png", "speedups.png", "quality_and_speed.png", "waterfall.png"}
    assert written == {"results.jsonl", "summary.json", "report.html", *pictures}
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    text = re.sub(r"base64,[\w+/=]+", "", page)  # four letters of a picture may be anything
    assert len(text) > 1000
    assert "http" not in text.replace("http-equiv", "")
    summary = (folder / "summary.json").read_bytes()
    assert aspd(runner, "report", folder).exit_code == 0
    assert (folder / "summary.json").read_bytes() == summary
    compared = aspd(runner, "compare", folder, tmp_path / "b", "--json")
    assert json.loads(compared.stdout)["parallel"]["equal_texts"] == 3
    assert "3 of 3" in aspd(runner, "compare", folder, tmp_path / "b").stdout
    assert aspd(runner, "compare", folder, tmp_path / "absent").exit_code == 1
    doubled = aspd(runner, tiny.path, "-o", folder, *flags)
    assert (doubled.exit_code, doubled.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("line", ["", '{"run": 1', '{"question": 1}', "[]", '{"run": {}}\n{"question": "a"}'])
def test_a_file_that_holds_no_results_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(line)
    with pytest.raises(DataError, match=r"results\.jsonl"):
        read_results(path)
