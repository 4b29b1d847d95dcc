"""`aspd demo`: two answers, and a table that can be checked."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable

import pytest
from fake_model import FakeModel, answer, tell, timings
from typer.testing import CliRunner

from aspd_local.cli.app import app
from aspd_local.cli.demo import QUESTION
from aspd_local.cli.demo_examples import example_turns
from aspd_local.cli.flags import ModelFlags
from aspd_local.cli.summary import comparison
from aspd_local.events import Fork, Text, Unfork
from aspd_local.protocol import load

Use = Callable[[FakeModel], list[ModelFlags]]
SERIAL = tell("Sleep and eat well.")
FORKED = tell({"Sleep": "Eight hours.", "Food": "Greens."}, "\n\nThat is all.")


def test_a_model_that_forks_by_itself_is_left_to_it(runner: CliRunner, use: Use) -> None:
    use(model := FakeModel(FORKED, SERIAL, FORKED))
    result = runner.invoke(app, ["demo"])
    assert result.exit_code == 0
    assert [(o.get("parallel"), o.get("plan")) for _, o in model.asked] == [
        (None, None),
        ("off", None),
        (None, None),
    ]
    assert "asked for the plan" not in result.stdout


def test_a_block_that_was_taken_back_is_no_fork(runner: CliRunner, use: Use) -> None:
    taken_back = [Text(None, 0, "1. Tea"), Fork(1, ("Tea", "Milk"), 0), Unfork(1), *SERIAL]
    use(model := FakeModel(taken_back, SERIAL, FORKED))
    result = runner.invoke(app, ["demo"])
    assert [o.get("plan") for _, o in model.asked] == [None, None, "always"]
    assert "asked for the plan" in result.stdout


def test_another_model_is_asked_for_the_plan_and_the_demo_says_so(runner: CliRunner, use: Use) -> None:
    use(model := FakeModel(SERIAL, SERIAL, FORKED))
    result = runner.invoke(app, ["demo"])
    assert [o.get("plan") for _, o in model.asked] == [None, None, "always"]
    assert "is shown two examples and is asked for the plan" in result.stdout
    assert [len(messages) for messages, _ in model.asked] == [1, 1, 5]


def test_a_model_whose_markers_are_no_text_gets_no_examples(runner: CliRunner, use: Use) -> None:
    use(model := FakeModel(SERIAL, SERIAL, FORKED, protocol="aspd"))
    result = runner.invoke(app, ["demo"])
    assert "it is asked for the plan" in result.stdout
    assert [len(messages) for messages, _ in model.asked] == [1, 1, 1]


def test_examples_are_written_as_the_protocols_own() -> None:
    told = load("prompted").prompt
    assert told is not None
    own = told.examples[0].assistant
    form = r'<plan>\n([^<\n]+\n)+</plan>(\n<part title="[^"]+">\n[^<]+\n</part>)+\n\n[^<]+'
    assert re.fullmatch(form, own)
    assert [bool(re.fullmatch(form, turn["content"])) for turn in example_turns("prompted")] == [
        False,
        True,
        False,
        True,
    ]


def test_a_model_that_cannot_fork_is_not_asked(runner: CliRunner, use: Use) -> None:
    use(model := FakeModel(SERIAL, protocol="serial"))
    result = runner.invoke(app, ["demo"])
    assert result.exit_code == 0
    assert [o.get("plan") for _, o in model.asked] == [None, None, None]
    assert "decoded serially" in result.stdout


def test_both_texts_and_the_table_are_printed(runner: CliRunner, use: Use) -> None:
    use(FakeModel(FORKED, SERIAL, FORKED))
    out = runner.invoke(app, ["demo"]).stdout
    assert out.index(QUESTION) < out.index("Sleep and eat well.") < out.index("Eight hours.")
    rows = {line.split("  ")[0]: line.split()[-2:] for line in out.split("\n") if line}
    assert rows["branches"] == ["-", "2"]
    assert rows["words"] == ["4", "8"]
    assert rows["decode steps"] == ["5", "5"]
    assert rows["seconds: writing"] == ["1.00", "1.00"]


def test_neither_answer_profits_from_the_cache(runner: CliRunner, use: Use) -> None:
    use(model := FakeModel(FORKED, SERIAL, FORKED))
    runner.invoke(app, ["demo"])
    assert model.n_resets == 2


def test_flags_reach_both_answers(runner: CliRunner, use: Use) -> None:
    use(model := FakeModel(FORKED, SERIAL, FORKED))
    runner.invoke(app, ["demo", "--question", "Why?", "--max-tokens", "9"])
    for messages, options in model.asked:
        assert messages[-1] == {"role": "user", "content": "Why?"}
        assert (options["max_tokens"], options["temperature"]) == (9, 0.0)


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_ctrl_c_leaves_the_demo(runner: CliRunner, use: Use, turn: int) -> None:
    model = FakeModel(SERIAL, SERIAL, FORKED)
    model.before = lambda n: (
        os.kill(os.getpid(), signal.SIGINT) if n == 1 and len(model.asked) == turn else None
    )
    use(model)
    result = runner.invoke(app, ["demo"])
    assert result.exit_code == 130
    assert len(model.asked) == turn
    assert "speed-up" not in result.stdout


def test_speed_up_is_by_the_word_and_counts_everything_after_the_prompt() -> None:
    serial = answer("a b c d", timings=timings(prompt_s=1, trunk_s=4, total_s=5))
    parallel = answer(
        "a b c d e f g h",
        timings=timings(prompt_s=2, trunk_s=1, plan_s=1, branch_s=1, join_s=1, total_s=6),
    )
    rows = {what: (left, right) for what, left, right in comparison(serial, parallel)}
    assert rows["seconds for 100 words: writing"] == ("100.00", "50.00")
    assert rows["seconds for 100 words: in all"] == ("125.00", "75.00")
    assert rows["speed-up, by the word: writing"] == ("", "2.00")
    assert rows["speed-up, by the word: in all"] == ("", "1.67")


def test_an_answer_without_words_has_no_speed_up() -> None:
    rows = {row[0]: row[2] for row in comparison(answer("a"), answer(""))}
    assert rows["speed-up, by the word: writing"] == "-"
