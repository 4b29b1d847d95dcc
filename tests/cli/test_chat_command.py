"""`aspd chat`: turns, commands, Ctrl-C, and pipes."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_model import FakeModel, tell
from typer.testing import CliRunner, Result

from aspd_local.cli.app import app
from aspd_local.cli.chat import COMMANDS
from aspd_local.cli.flags import ModelFlags
from aspd_local.errors import ContextFullError

Use = Callable[[FakeModel], list[ModelFlags]]


def chat(runner: CliRunner, *lines: str, flags: tuple[str, ...] = ()) -> Result:
    return runner.invoke(app, ["chat", *flags], input="".join(f"{line}\n" for line in lines))


def roles_and_texts(messages: list[Any]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in messages]


def test_each_line_of_a_pipe_is_a_turn(runner: CliRunner, use: Use) -> None:
    use(model := FakeModel(tell("One."), tell("Two.")))
    result = chat(runner, "first", "", "second")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "One.\nTwo.\n", "")
    assert roles_and_texts(model.asked[1][0]) == [
        ("user", "first"),
        ("assistant", "One."),
        ("user", "second"),
    ]
    assert model.closed


def test_the_answer_in_branches_goes_back_as_its_text(runner: CliRunner, use: Use) -> None:
    story = tell("Tips:", {"Sleep": "Eight hours.", "Food": "Greens."})
    use(model := FakeModel(story, tell("Yes.")))
    chat(runner, "tips?", "sure?")
    assert roles_and_texts(model.asked[1][0])[1] == (
        "assistant",
        "Tips:\n\n**Sleep**\nEight hours.\n\n**Food**\nGreens.",
    )


@pytest.mark.parametrize(
    ("command", "name", "value"),
    [
        ("/serial", "parallel", "off"),
        ("/parallel", "parallel", "auto"),
        ("/parallel aspd", "parallel", "aspd"),
        ("/plan", "plan", "always"),
        ("/plan always", "plan", "always"),
        ("/plan auto", "plan", "auto"),
    ],
)
def test_commands_change_how_the_next_turn_is_answered(
    runner: CliRunner, use: Use, command: str, name: str, value: str
) -> None:
    use(model := FakeModel())
    assert chat(runner, command, "go").exit_code == 0
    assert model.asked[0][1][name] == value


def test_serial_and_plan_always_exclude_each_other(runner: CliRunner, use: Use) -> None:
    use(model := FakeModel())
    chat(runner, "/plan always", "/serial", "one", "/plan", "two")
    chosen = [(options["parallel"], options["plan"]) for _, options in model.asked]
    assert chosen == [("off", "auto"), ("auto", "always")]


def test_system_sets_and_removes_the_system_message(runner: CliRunner, use: Use) -> None:
    use(model := FakeModel())
    chat(runner, "/system Be brief.", "one", "/system", "two")
    assert roles_and_texts(model.asked[0][0])[0] == ("system", "Be brief.")
    assert roles_and_texts(model.asked[1][0])[0] == ("user", "one")


def test_reset_forgets(runner: CliRunner, use: Use) -> None:
    use(model := FakeModel())
    chat(runner, "one", "/reset", "two")
    assert roles_and_texts(model.asked[1][0]) == [("user", "two")]
    assert model.n_resets == 1


def test_exit_leaves(runner: CliRunner, use: Use) -> None:
    use(model := FakeModel())
    assert chat(runner, "/exit", "one").exit_code == 0
    assert not model.asked


def test_help_names_every_command(runner: CliRunner, use: Use) -> None:
    use(FakeModel())
    said = chat(runner, "/help").stderr
    assert set(re.findall(r"(?<![\w])/([\w?]+)", said)) == set(COMMANDS)


def test_stats_tell_the_last_timings(runner: CliRunner, use: Use) -> None:
    use(FakeModel())
    result = chat(runner, "/stats", "one", "/stats")
    assert "nothing was answered yet" in result.stderr
    assert "7 tokens in 5 steps" in result.stderr


@pytest.mark.parametrize("line", ["/nonsense", "/plan never", "/parallel nonsense", "/save", "/load"])
def test_a_bad_command_ends_a_pipe_as_bad_usage(runner: CliRunner, use: Use, line: str) -> None:
    use(model := FakeModel())
    result = chat(runner, line, "one")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert not model.asked


def test_an_error_ends_a_pipe(runner: CliRunner, use: Use) -> None:
    model = FakeModel()
    model.error = ContextFullError(9, 4)
    use(model)
    result = chat(runner, "one", "two")
    assert (result.exit_code, len(model.asked)) == (1, 1)


def test_ctrl_c_ends_the_answer_and_keeps_the_chat(runner: CliRunner, use: Use) -> None:
    model = FakeModel(tell("One two three"), tell("Yes."))
    model.before = lambda n: os.kill(os.getpid(), signal.SIGINT) if n == 2 and len(model.asked) == 1 else None
    use(model)
    result = chat(runner, "first", "second")
    assert (result.exit_code, result.stdout) == (0, "One two\nYes.\n")
    assert roles_and_texts(model.asked[1][0])[1] == ("assistant", "One two")


def test_ctrl_c_before_the_first_word_forgets_the_turn(runner: CliRunner, use: Use) -> None:
    model = FakeModel(tell("One"), tell("Yes."))
    model.before = lambda _: os.kill(os.getpid(), signal.SIGINT) if len(model.asked) == 1 else None
    use(model)
    result = chat(runner, "first", "second")
    assert (result.exit_code, result.stdout) == (0, "Yes.\n")
    assert roles_and_texts(model.asked[1][0]) == [("user", "second")]


def test_a_saved_chat_goes_on(runner: CliRunner, use: Use, tmp_path: Path) -> None:
    file = tmp_path / "talk"
    use(FakeModel(tell("One.")))
    assert chat(runner, "/system Be brief.", "first", f"/save {file}").exit_code == 0
    use(model := FakeModel(tell("Two.")))
    assert chat(runner, f"/load {file}", "second").exit_code == 0
    assert model.loaded == b"cells"
    assert roles_and_texts(model.asked[0][0]) == [
        ("system", "Be brief."),
        ("user", "first"),
        ("assistant", "One."),
        ("user", "second"),
    ]


@pytest.mark.parametrize("line", ["/save /nowhere/at/all", "/load /nowhere/at/all"])
def test_a_file_that_cannot_be_used_is_one_line(runner: CliRunner, use: Use, line: str) -> None:
    use(FakeModel())
    result = chat(runner, "one", line)
    assert (result.exit_code, result.stdout) == (1, "Yes.\n")
    assert "/nowhere/at" in result.stderr
    assert result.stderr.count("\n") == 1


def test_contradicting_flags_are_bad_usage_before_a_model_is_opened(runner: CliRunner, use: Use) -> None:
    opened = use(FakeModel())
    assert chat(runner, flags=("--serial", "--plan", "always")).exit_code == 2
    assert not opened


@pytest.mark.parametrize("command", ["/quit", "/exit"])
def test_quit_leaves_too(runner: CliRunner, use: Use, command: str) -> None:
    use(model := FakeModel())
    assert chat(runner, command, "one").exit_code == 0
    assert not model.asked
    assert model.closed


def test_a_question_mark_is_help(runner: CliRunner, use: Use) -> None:
    use(FakeModel())
    assert chat(runner, "/?").stderr == chat(runner, "/help").stderr != ""


def test_retry_answers_the_last_question_once_more(runner: CliRunner, use: Use) -> None:
    use(model := FakeModel(tell("One."), tell("Two."), tell("Three.")))
    result = chat(runner, "first", "second", "/retry", flags=("--seed", "5"))
    assert result.stdout == "One.\nTwo.\nThree.\n"
    assert roles_and_texts(model.asked[2][0]) == [
        ("user", "first"),
        ("assistant", "One."),
        ("user", "second"),
    ]
    assert [options["seed"] for _, options in model.asked] == [5, 5, None]


def test_retry_asks_a_question_again_that_was_stopped(runner: CliRunner, use: Use) -> None:
    model = FakeModel(tell("One"), tell("Yes."))
    model.before = lambda _: os.kill(os.getpid(), signal.SIGINT) if len(model.asked) == 1 else None
    use(model)
    assert chat(runner, "first", "/retry").stdout == "Yes.\n"
    assert roles_and_texts(model.asked[1][0]) == [("user", "first")]


def test_there_is_nothing_to_retry_in_a_new_chat(runner: CliRunner, use: Use) -> None:
    use(FakeModel())
    assert chat(runner, "one", "/reset", "/retry").exit_code == 2


def test_another_model_goes_on_with_the_chat(
    runner: CliRunner, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = use(model := FakeModel(tell("One."), tell("Two.")))
    monkeypatch.setattr("aspd_local.cli.chat.fetched", lambda name: Path(f"/models/{name}.gguf"))
    assert chat(runner, "first", "/model other", "second", flags=("--n-ctx", "128")).exit_code == 0
    assert [(flags.model, flags.n_ctx) for flags in opened][1:] == [("/models/other.gguf", 128)]
    assert len(model.asked[1][0]) == 3


def test_a_model_that_does_not_exist_leaves_the_chat_as_it_was(runner: CliRunner, use: Use) -> None:
    opened = use(model := FakeModel())
    result = chat(runner, "/model smolm2", "one")
    assert (result.exit_code, len(opened), model.closed) == (1, 1, True)
    assert "did you mean smollm2-135m" in result.stderr


def test_a_misspelt_command_is_told_what_it_may_mean(runner: CliRunner, use: Use) -> None:
    use(FakeModel())
    assert "did you mean retry or reset?" in chat(runner, "/rety").stderr


def test_a_grammar_is_read_once(runner: CliRunner, use: Use, tmp_path: Path) -> None:
    """A pipe can be read but once."""
    use(model := FakeModel())
    file = tmp_path / "pipe"
    os.mkfifo(file)
    child = os.fork()
    if child == 0:
        file.write_text('root ::= "yes"')
        os._exit(0)
    chat(runner, "one", "/serial", "two", flags=("--grammar", str(file)))
    os.waitpid(child, 0)
    assert [options["grammar"] for _, options in model.asked] == ['root ::= "yes"'] * 2
