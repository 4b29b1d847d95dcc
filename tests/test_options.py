"""Options as callers give them: None is the default, anything wrong is one ValueError that explains."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspd_local import Model
from aspd_local.options import Options
from aspd_local.typing import AnswerOptions
from tiny.files import TinyModel

NAMES = [field.name for field in fields(Options)]


@pytest.fixture(scope="module")
def model(tiny_llama: TinyModel) -> Iterator[Model]:
    with Model(tiny_llama.path, n_ctx=512, n_threads=1, n_threads_batch=1, profile="off") as model:
        yield model


def test_none_is_the_default_of_each_option(model: Model) -> None:
    assert Options.of(dict.fromkeys(NAMES)) == Options()
    assert sorted(AnswerOptions.__annotations__) == sorted(NAMES)
    nothing: Any = dict.fromkeys(NAMES)
    assert model.generate("a", **{**nothing, "max_tokens": 1}).finish_reason == "length"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("max_tokens", "5", "an integer between 1 and 2147483647, not '5'"),
        ("max_tokens", 5.0, "an integer"),
        ("max_tokens", True, "an integer"),
        ("max_tokens", 0, "not 0"),
        ("seed", "1", "an integer between 0 and 18446744073709551615, not '1'"),
        ("top_k", 1.5, "an integer"),
        ("n", 0, "an integer between 1 and 64, not 0"),
        ("logprobs", True, "an integer between 0 and 20, not True"),
        ("temperature", "hot", "a number from 0 to 100, not 'hot'"),
        ("temperature", 10**400, "a number from 0 to 100"),
        ("temperature", math.nan, "a number from 0 to 100, not nan"),
        ("temperature", 1j, "a number"),
        ("top_p", 0, "a number above 0 to 1, not 0"),
        ("timeout", 0, "a number above 0, not 0"),
        ("timeout", "1", "a number above 0, not '1'"),
        ("stop", 5, "a string or a list of strings, none of them empty, not 5"),
        ("stop", b"x", "a string or a list"),
        ("stop", ["a", None], "a string or a list"),
        ("stop", {"a": 1}, "a string or a list"),
        ("logit_bias", [1, 2], "a mapping of token ids to numbers, not [1, 2]"),
        ("logit_bias", {"1": 2}, "a mapping of token ids to numbers, not {'1': 2}"),
        ("logit_bias", {1: None}, "a mapping of token ids to numbers, not {1: None}"),
        ("plan", "sometimes", "one of 'auto', 'always', not 'sometimes'"),
        ("plan", ["auto"], "one of 'auto', 'always'"),
        ("draft_check", True, "one of 'none', 'lead', 'cut', 'exact', not True"),
        ("join_rule", 3, "one of 'sum', 'longest', 'linear', 'drop', not 3"),
        ("parallel", True, "a string, not True"),
        ("grammar", b"root", "a string"),
        ("json_schema", "{}", "a mapping"),
        ("json_schema", True, "a mapping"),
        ("tools", {"a": 1}, "a list of mappings"),
        ("tools", ["f"], "a list of mappings"),
    ],
)
def test_a_bad_value_is_one_value_error_that_says_what_is_allowed(
    model: Model, name: str, value: object, allowed: str
) -> None:
    options: Any = {name: value}
    with pytest.raises(ValueError, match=rf"^{name} must be ") as caught:
        model.chat("Hello", **options)
    assert allowed in str(caught.value)


def test_parallel_says_auto_and_off_too(model: Model) -> None:
    for ask in (model.chat, model.generate):
        with pytest.raises(
            ValueError, match=r"parallel must be 'auto', 'off' or a protocol .*aspd.*, not 'on'"
        ):
            ask("Hello", parallel="on")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("max_new_tokens", "did you mean max_tokens?"),
        ("temprature", "did you mean temperature?"),
        ("repetition_penalty", "did you mean repeat_penalty?"),
        ("xyz", "known are parallel"),
    ],
)
def test_an_unknown_option_says_what_was_meant(model: Model, name: str, meant: str) -> None:
    options: Any = {name: 1}
    with pytest.raises(ValueError, match=f"no option '{name}'") as caught:
        model.stream("Hello", **options)
    assert meant in str(caught.value)


def test_numbers_of_numpy_are_numbers() -> None:
    options = Options.of({"max_tokens": np.int64(3), "temperature": np.float32(0.5), "seed": np.uint64(7)})
    assert (options.max_tokens, options.temperature, options.seed) == (3, 0.5, 7)


anything = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=3)
    | st.lists(st.integers() | st.text(max_size=3), max_size=3)
    | st.dictionaries(st.integers() | st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=2)
)


@given(name=st.sampled_from(NAMES), value=anything)
def test_any_value_is_taken_or_refused_with_a_value_error(model: Model, name: str, value: object) -> None:
    options: Any = {name: value}
    try:
        prepared = model.prepare("Hello", **options)
    except ValueError as error:
        told = str(error)
    else:
        told = name
        assert prepared.request.max_tokens >= -1
    assert name in told or "grammar" in told or "JSON" in told or "tools" in told


def test_settings_of_a_model_are_refused_by_name(tiny_llama: TinyModel) -> None:
    settings: Any = {"n_cxt": 5}
    with pytest.raises(ValueError, match=r"no setting 'n_cxt'; did you mean n_ctx\?"):
        Model(tiny_llama.path, **settings)
    settings = {"n_ctx": "512"}
    with pytest.raises(ValueError, match="n_ctx cannot be '512'"):
        Model(tiny_llama.path, **settings)
    settings = {"n_ctx": None, "n_threads": 1, "n_threads_batch": 1, "profile": "off"}
    Model(tiny_llama.path, **settings).close()


# --- conveniences ------------------------------------------------------------------------------------------


def test_parts_of_a_content_are_one_text(model: Model) -> None:
    parts: Any = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]
    whole: Any = [{"role": "user", "content": "a\nb"}]
    assert model.render(parts) == model.render(whole)
    assert model.chat(parts, max_tokens=1).usage.prompt_tokens == model.count_tokens(whole)
    for part in ({"type": "image_url", "image_url": "x"}, "a", {"type": "text"}, {"type": "text", "text": 3}):
        wrong: Any = [{"role": "user", "content": [part]}]
        with pytest.raises(ValueError, match=r"messages\[0\].content\[0\] must be"):
            model.chat(wrong)


def test_render_is_what_the_template_writes(model: Model) -> None:
    text = model.render("Hello")
    assert "Hello" in text
    assert text.endswith("assistant\n")
    assert not model.render("Hello", add_generation_prompt=False).endswith("assistant\n")
    assert (
        model.count_tokens("Hello", parallel="off") == model.chat("Hello", max_tokens=1).usage.prompt_tokens
    )


def test_n_answers_have_seeds_of_their_own(model: Model) -> None:
    options: Any = {"max_tokens": 8, "temperature": 1.5, "parallel": "off"}
    answer = model.generate("a", n=3, seed=2**64 - 2, **options)
    assert len(answer.choices) == 3
    assert answer.choices[0] is answer
    alone = [model.generate("a", seed=seed, **options).text for seed in (2**64 - 2, 2**64 - 1, 0)]
    assert [each.text for each in answer.choices] == alone
    assert [each["text"] for each in answer.to_dict()["others"]] == alone[1:]
    with pytest.raises(ValueError, match="n must be 1 here, not 3"):
        model.stream("a", n=3)


def test_n_answers_of_a_task(model: Model) -> None:
    import asyncio

    async def ask() -> list[str]:
        return [each.text for each in (await model.achat("a", n=3, max_tokens=5, seed=1)).choices]

    assert asyncio.run(ask()) == [each.text for each in model.chat("a", n=3, max_tokens=5, seed=1).choices]


def test_logprobs_are_in_the_answer(model: Model) -> None:
    answer = model.generate("a", max_tokens=6, logprobs=2, parallel="off", seed=3)
    assert answer.logprobs is not None
    assert b"".join(told.piece for told in answer.logprobs).decode(errors="replace") == answer.text
    assert all(len(told.top) == 2 and told.logprob <= 0 for told in answer.logprobs)
    shown = answer.to_dict()["logprobs"]
    assert [len(each["top"]) for each in shown] == [2] * len(answer.logprobs)
    assert model.generate("a", max_tokens=1).logprobs is None


def test_a_timeout_ends_an_answer_and_frees_its_cells(model: Model) -> None:
    import asyncio

    with pytest.raises(TimeoutError, match=r"not over after 0.001 seconds"):
        model.generate("a", timeout=0.001, parallel="off", logit_bias={model.core.eos: -100.0})
    with pytest.raises(TimeoutError):
        list(model.stream("a", timeout=0.001, parallel="off", logit_bias={model.core.eos: -100.0}))
    with pytest.raises(TimeoutError):
        asyncio.run(model.achat("a", timeout=0.001, parallel="off", logit_bias={model.core.eos: -100.0}))
    model.reset()
    assert model.engine.cells_in_use == 0
    assert model.generate("a", timeout=600, max_tokens=3).usage.completion_tokens == 3
