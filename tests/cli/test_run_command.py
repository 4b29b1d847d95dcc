"""`aspd run`: what goes to stdout, what to stderr, and the exit code."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_model import FakeModel, answer, tell
from typer.testing import CliRunner

from aspd_local.cli.app import app
from aspd_local.cli.flags import ModelFlags
from aspd_local.cli.progress import set_log
from aspd_local.errors import AspdError, ContextFullError, ModelError
from aspd_local.events import Done, Text, fold

Use = Callable[[FakeModel], list[ModelFlags]]
TIPS = tell("Tips:", {"Sleep": "Eight hours.", "Food": "Greens."}, "\n\nThat is all.")


def press_ctrl_c(at: int) -> Callable[[int], None]:
    return lambda number: os.kill(os.getpid(), signal.SIGINT) if number == at else None


def test_the_answer_is_all_that_stdout_gets(runner: CliRunner, use: Use) -> None:
    use(FakeModel(TIPS))
    result = runner.invoke(app, ["run", "How?"])
    assert (result.exit_code, result.stdout, result.stderr) == (0, fold(TIPS) + "\n", "")


def test_json_is_one_object_with_the_promised_keys(runner: CliRunner, use: Use) -> None:
    use(FakeModel(TIPS))
    result = runner.invoke(app, ["run", "--json", "How?"])
    printed = json.loads(result.stdout)
    assert result.stdout.count("\n") == 1
    keys = {"text", "blocks", "finish_reason", "finish_detail", "fallback", "protocol", "usage", "timings"}
    assert set(printed) == keys
    assert printed["text"] == fold(TIPS)
    assert [branch["title"] for branch in printed["blocks"][0]["branches"]] == ["Sleep", "Food"]
    assert {"title", "span", "n_tokens"} <= set(printed["blocks"][0]["branches"][0])


@pytest.mark.parametrize("arguments", [["run"], ["run", "-"]])
def test_the_question_may_come_from_stdin(runner: CliRunner, use: Use, arguments: list[str]) -> None:
    use(model := FakeModel())
    assert runner.invoke(app, arguments, input="What\nnow?\n").exit_code == 0
    assert model.asked[0][0] == [{"role": "user", "content": "What\nnow?"}]


@pytest.mark.parametrize("arguments", [["run"], ["run", "-"], ["run", "  "]])
def test_no_question_is_bad_usage(runner: CliRunner, use: Use, arguments: list[str]) -> None:
    use(model := FakeModel())
    result = runner.invoke(app, arguments, input="")
    assert result.exit_code == 2
    assert not model.asked


@pytest.mark.parametrize(
    ("flags", "name", "value"),
    [
        ([], "parallel", "auto"),
        (["--serial"], "parallel", "off"),
        (["--protocol", "aspd"], "parallel", "aspd"),
        ([], "plan", "auto"),
        (["--plan", "always"], "plan", "always"),
        ([], "temperature", 0.8),
        (["--temperature", "0"], "temperature", 0.0),
        (["--top-k", "7"], "top_k", 7),
        (["--top-p", "0.5"], "top_p", 0.5),
        (["--min-p", "0.2"], "min_p", 0.2),
        (["--repeat-penalty", "1.3"], "repeat_penalty", 1.3),
        (["--presence-penalty", "-1"], "presence_penalty", -1.0),
        (["--frequency-penalty", "0.5"], "frequency_penalty", 0.5),
        ([], "seed", None),
        (["--seed", "5"], "seed", 5),
        (["--max-tokens", "9"], "max_tokens", 9),
        ([], "max_tokens", 512),
        (["--max-tokens", "-1"], "max_tokens", None),
        ([], "stop", ()),
        (["--stop", "END", "--stop", "\n"], "stop", ["END", "\n"]),
        ([], "grammar", None),
    ],
)
def test_flags_become_options(
    runner: CliRunner, use: Use, flags: list[str], name: str, value: object
) -> None:
    use(model := FakeModel())
    assert runner.invoke(app, ["run", *flags, "How?"]).exit_code == 0
    assert model.asked[0][1][name] == value


def test_a_grammar_is_read_from_its_file(runner: CliRunner, use: Use, tmp_path: Path) -> None:
    use(model := FakeModel())
    file = tmp_path / "yes.gbnf"
    file.write_text('root ::= "yes"')
    assert runner.invoke(app, ["run", "--grammar", str(file), "How?"]).exit_code == 0
    assert model.asked[0][1]["grammar"] == 'root ::= "yes"'


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file"), (b"\xff", "not UTF-8"), ("folder", "Is a directory")]
)
def test_a_grammar_that_cannot_be_read_is_one_line(
    runner: CliRunner, use: Use, tmp_path: Path, content: bytes | str | None, said: str
) -> None:
    opened = use(FakeModel())
    file = tmp_path / "yes.gbnf"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content == "folder":
        file.mkdir()
    result = runner.invoke(app, ["run", "--grammar", str(file), "How?"])
    assert (result.exit_code, result.stdout, opened) == (2, "", [])
    assert result.stderr.startswith(f"aspd: --grammar {file}: {said}")
    assert result.stderr.count("\n") == 1


def test_a_question_without_quotes_is_explained(runner: CliRunner, use: Use) -> None:
    opened = use(FakeModel())
    result = runner.invoke(app, ["run", "hi", "there,", "you"])
    assert (result.exit_code, opened) == (2, [])
    assert "quotes" in result.stderr
    assert "aspd run 'hi there, you'" in result.stderr


def test_a_system_message_comes_first(runner: CliRunner, use: Use) -> None:
    use(model := FakeModel())
    runner.invoke(app, ["run", "--system", "Be brief.", "How?"])
    assert [message["role"] for message in model.asked[0][0]] == ["system", "user"]


def test_plain_continues_the_text(runner: CliRunner, use: Use) -> None:
    use(model := FakeModel())
    assert runner.invoke(app, ["run", "--plain", "Once upon"]).exit_code == 0
    assert model.asked[0][0] == ["Once upon"]


def test_model_flags_reach_the_model(runner: CliRunner, use: Use) -> None:
    opened = use(FakeModel())
    runner.invoke(
        app, ["run", "-m", "a.gguf", "--n-ctx", "64", "--threads", "3", "--gpu-layers", "0", "How?"]
    )
    assert (opened[0].model, opened[0].gpu_layers) == ("a.gguf", 0)
    own = {"n_ctx": 64, "n_threads": 3, "n_threads_batch": 3}
    assert opened[0].settings() == {**own, "repack": "auto", "profile": "auto"}


def test_what_is_measured_can_be_turned_off(runner: CliRunner, use: Use) -> None:
    opened = use(FakeModel())
    runner.invoke(app, ["run", "--repack", "off", "--profile", "off", "How?"])
    settings = opened[0].settings()
    assert (settings["repack"], settings["profile"]) == ("off", "off")


@pytest.mark.parametrize(
    "flags",
    [
        ["--serial", "--plan", "always"],
        ["--serial", "--protocol", "aspd"],
        ["--plain", "--system", "Be brief."],
        ["--plan", "sometimes"],
        ["--max-tokens", "0"],
        ["--n-ctx", "-1"],
        ["--n-ctx", "10"],
        ["--temperature", "hot"],
        ["--grammar", "no-such-file"],
        ["--nonsense"],
    ],
)
def test_bad_flags_are_bad_usage_before_a_model_is_opened(
    runner: CliRunner, use: Use, flags: list[str]
) -> None:
    opened = use(FakeModel())
    result = runner.invoke(app, ["run", *flags, "How?"])
    assert (result.exit_code, result.stdout, opened) == (2, "", [])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ModelError("a.gguf: not a GGUF file", "a.gguf"), 1),
        (ContextFullError(9, 4), 1),
        (AspdError("no"), 1),
        (ValueError("temperature cannot be -1"), 2),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    runner: CliRunner, use: Use, error: Exception, code: int
) -> None:
    model = FakeModel()
    model.error = error
    use(model)
    result = runner.invoke(app, ["run", "How?"])
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"aspd: {error}\n")
    assert model.closed


def test_a_missing_model_is_one_line(runner: CliRunner, tmp_path: Path) -> None:
    missing = tmp_path / "missing.gguf"
    result = runner.invoke(app, ["run", "-m", str(missing), "How?"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert str(missing) in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("smolm2", "smollm2-135m"),
        ("Qwen2.5-Coder", "qwen2.5-coder-1.5b"),
        ("owner/repo", "hf:owner/repo:Q4_K_M"),
        ("owner/repo:Q8_0", "hf:owner/repo:Q8_0"),
    ],
)
def test_a_name_that_is_nearly_right_is_told_what_it_may_mean(
    runner: CliRunner, name: str, meant: str
) -> None:
    result = runner.invoke(app, ["run", "-m", name, "How?"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"did you mean {meant}" in result.stderr
    assert result.stderr.count("\n") == 1


def test_ctrl_c_keeps_the_partial_text(runner: CliRunner, use: Use) -> None:
    model = FakeModel(tell("One two three"))
    model.before = press_ctrl_c(2)
    use(model)
    result = runner.invoke(app, ["run", "How?"])
    assert (result.exit_code, result.stdout) == (130, "One two\n")


def test_ctrl_c_under_json_still_prints_the_object(runner: CliRunner, use: Use) -> None:
    model = FakeModel(tell("One two three"))
    model.before = press_ctrl_c(2)
    use(model)
    result = runner.invoke(app, ["run", "--json", "How?"])
    assert result.exit_code == 130
    assert json.loads(result.stdout)["finish_reason"] == "cancelled"


def test_ctrl_c_before_the_first_word_ends_at_once(runner: CliRunner, use: Use) -> None:
    model = FakeModel()
    model.before = press_ctrl_c(0)
    use(model)
    result = runner.invoke(app, ["run", "How?"])
    assert (result.exit_code, result.stdout) == (130, "")
    assert model.closed


def test_a_second_ctrl_c_does_not_wait_for_the_model(runner: CliRunner, use: Use) -> None:
    model = FakeModel(tell("One two three four"))
    model.before = lambda number: os.kill(os.getpid(), signal.SIGINT) if number > 1 else None
    model.cancel = lambda: None  # type: ignore[method-assign]
    use(model)
    result = runner.invoke(app, ["run", "How?"])
    assert (result.exit_code, result.stdout) == (130, "One two three\n")


def test_ctrl_c_is_given_back_afterwards(runner: CliRunner, use: Use) -> None:
    before = signal.getsignal(signal.SIGINT)
    use(FakeModel())
    runner.invoke(app, ["run", "How?"])
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("flags", "given", "said"),
    [
        (["--max-tokens", "3"], {"finish_reason": "length"}, "--max-tokens"),
        ([], {"finish_reason": "length"}, "--n-ctx"),
        (["--plan", "always"], {"fallback": "one title"}, "one title"),
        (["--protocol", "prompted"], {}, "no block was opened"),
    ],
)
def test_what_must_not_pass_in_silence(
    runner: CliRunner, use: Use, flags: list[str], given: dict[str, Any], said: str
) -> None:
    use(FakeModel([Text(None, 0, "Yes."), Done(answer("Yes.", **given))]))
    result = runner.invoke(app, ["run", *flags, "How?"])
    assert (result.exit_code, result.stdout) == (0, "Yes.\n")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_fallback_nobody_asked_about_is_quiet(runner: CliRunner, use: Use) -> None:
    use(FakeModel([Text(None, 0, "Yes."), Done(answer("Yes.", fallback="one title"))]))
    assert runner.invoke(app, ["run", "How?"]).stderr == ""


def test_verbose_tells_the_timings_on_stderr(runner: CliRunner, use: Use) -> None:
    use(FakeModel())
    result = runner.invoke(app, ["run", "-v", "How?"])
    assert result.stdout == "Yes.\n"
    assert "7 tokens in 5 steps" in result.stderr


def test_a_busy_machine_is_told_of_without_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    set_log(verbose=False)
    logging.getLogger("aspd_local.profile").warning("measured while busy")
    logging.getLogger("aspd_local").warning("what llama.cpp says")
    assert capsys.readouterr().err == "aspd: warning: measured while busy\n"
