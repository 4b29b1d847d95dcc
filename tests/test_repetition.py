"""What keeps an answer from repeating itself: the guard against loops, DRY and XTC."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aspd_local import Model
from tiny.files import TinyModel
from tiny.script import Script, write_scripted
from tiny.vocabulary import EOS

SETTINGS: dict[str, Any] = {"n_ctx": 5120, "n_threads": 1, "n_threads_batch": 1, "profile": "off"}
# As many tokens as the rule names, in docs/cli.md too.
LOOP, BARE_LOOP = 1024, 4096


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> Iterator[Model]:
    tiny: TinyModel = write_scripted(tiny_folder / "loops.gguf", Script([f"assistant\nHm{EOS}"]), seed=17)
    with Model(tiny.path, **SETTINGS) as model:
        yield model


def token(model: Model, text: str) -> int:
    [found] = model.core.tokenize(text, False)
    return int(found)


def over_and_over(model: Model, text: str, **options: Any) -> Any:
    """An answer that is always this token."""
    bias = {token(model, text): 1000.0}
    return model.generate("x", parallel="off", temperature=0.0, logit_bias=bias, **options)


def test_an_answer_that_repeats_itself_for_ever_ends(model: Model) -> None:
    answer = over_and_over(model, "a")
    assert (answer.finish_reason, answer.finish_detail) == ("length", "loop")
    assert answer.text == "a" * LOOP
    assert answer.to_dict()["finish_detail"] == "loop"


def test_an_answer_that_was_cut_before_is_no_loop(model: Model) -> None:
    answer = over_and_over(model, "a", max_tokens=LOOP - 1)
    assert (answer.finish_reason, answer.finish_detail) == ("length", None)


def test_zeros_may_go_on_for_longer(model: Model) -> None:
    """A table of zeros that was asked for."""
    answer = over_and_over(model, "0", max_tokens=LOOP + 100)
    assert (answer.text, answer.finish_detail) == ("0" * (LOOP + 100), None)


def test_but_not_for_ever(model: Model) -> None:
    answer = over_and_over(model, "0")
    assert (len(answer.text), answer.finish_detail) == (BARE_LOOP, "loop")


def test_the_guard_can_be_turned_off(model: Model) -> None:
    answer = over_and_over(model, "a", loop_guard=False, max_tokens=LOOP + 100)
    assert (answer.text, answer.finish_detail) == ("a" * (LOOP + 100), None)


def test_a_loop_of_the_prompt_is_not_the_answers(model: Model) -> None:
    bias = {token(model, "a"): 1000.0}
    answer = model.generate("a" * 2000, parallel="off", temperature=0.0, logit_bias=bias, max_tokens=50)
    assert (answer.text, answer.finish_detail) == ("a" * 50, None)


def test_dry_penalises_what_would_go_on_with_a_repetition(model: Model) -> None:
    """Of four, three have been there: 100 * 1.75 ** (3 - 2) is more than lies between the two tokens."""
    bias = {token(model, "a"): 1000.0, token(model, "b"): 850.0}
    options: dict[str, Any] = {"parallel": "off", "temperature": 0.0, "logit_bias": bias, "max_tokens": 5}
    assert model.generate("x", **options).text == "aaaaa"
    assert model.generate("x", **options, dry_multiplier=100.0).text == "aaaab"
    assert model.generate("x", **options, dry_multiplier=100.0, dry_allowed_length=9).text == "aaaaa"
    breaking: dict[str, Any] = {"dry_multiplier": 100.0, "dry_sequence_breakers": ["a"]}
    assert model.generate("x", **options, **breaking).text == "aaaaa"


def test_xtc_takes_the_likeliest_of_the_likely_out(model: Model) -> None:
    bias = {token(model, "a"): 1000.0, token(model, "b"): 1000.0}
    two: dict[str, Any] = {"logit_bias": bias, "max_tokens": 1, "top_k": 2, "top_p": 1.0, "min_p": 0.0}
    greedy: dict[str, Any] = {**two, "parallel": "off", "temperature": 0.0}
    likeliest = model.generate("x", **greedy).text
    other = model.generate("x", **greedy, xtc_probability=1.0, xtc_threshold=0.0).text
    assert {likeliest, other} == {"a", "b"}
    assert model.generate("x", **greedy, xtc_probability=1.0, xtc_threshold=0.6).text == likeliest


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dry_multiplier", -1.0),
        ("dry_multiplier", float("nan")),
        ("dry_base", 0.5),
        ("dry_allowed_length", -1),
        ("dry_penalty_last_n", -2),
        ("dry_sequence_breakers", [""]),
        ("dry_sequence_breakers", ["x" * 41]),
        ("xtc_probability", 1.5),
        ("xtc_threshold", -0.1),
    ],
)
def test_values_that_mean_nothing_are_refused(model: Model, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        model.generate("x", **{name: value})
