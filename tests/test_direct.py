"""Questions that ask for one value are told from others."""

from __future__ import annotations

from typing import Any

import pytest

from aspd_local import Model
from aspd_local.direct import is_direct
from tiny.files import TinyModel


@pytest.mark.parametrize(
    "question",
    [
        "How many bricks are in a house?",
        "Anna has 12 apples, gives away a third and buys five more.\nHow many has she?",
        "A train goes 60 miles an hour. If it leaves at nine, how far does it go until noon?",
        "In which century was the telephone invented?",
        "Can you tell me how long an egg is boiled?",
        "WHAT COLOUR is the sky?",
        "A box holds six eggs. Calculate the number of boxes for 30 eggs.",
        "Please translate into French: good morning",
        "Solve 4x + 7 = 2(x - 5).",
    ],
)
def test_one_value(question: str) -> None:
    assert is_direct(question)


@pytest.mark.parametrize(
    "question",
    [
        "",
        " \n",
        "?",
        "Hello",
        "How can I sleep better?",
        "What is a fjord? What does a stage manager do? How tall is a giraffe?",
        "How many kinds of clouds are there, and what do they tell?",
        "How many kinds of clouds are there? Describe each.",
        "What does a dog need, how much does it cost?",
        "Why do people ask how old I am?",
        "What would change if nobody knew how old he is?",
        "How long is it? Explain.",
        "Who profits from commuting by train?",
        "How can I calculate my taxes?",
        "How do I solve conflicts at work? Translate it too.",
        "Which years were good for wine?",
        "Calculators: what are they good for?",
    ],
)
def test_more_or_something_else(question: str) -> None:
    assert not is_direct(question)


@pytest.fixture(scope="module")
def model(tiny_typable_markers: TinyModel) -> Any:
    settings: dict[str, Any] = {"n_ctx": 32768, "flash_attn": "off", "cache_type": "f32", "profile": "off"}
    with Model(tiny_typable_markers.path, **settings) as opened:
        yield opened


def test_a_question_for_one_value_is_read_once(model: Model) -> None:
    question = "How many bricks are in a house?"
    prepared = model.prepare(question, temperature=0, max_tokens=4, parallel="prompted")
    serial = model.prepare(question, temperature=0, max_tokens=4, parallel="off")
    assert prepared.request.protocol is None
    assert prepared.request.serial_prompt is None
    assert prepared.request.prompt.token_ids == serial.request.prompt.token_ids
    answer = model.chat(question, temperature=0, max_tokens=4, parallel="prompted")
    assert answer.fallback is None
    assert answer.usage.prompt_tokens == len(serial.request.prompt)


@pytest.mark.parametrize(
    ("question", "options"),
    [
        pytest.param("How many bricks are in a house?", {"plan": "always"}, id="a plan is wanted"),
        pytest.param("How much is each of these?\n1. a pen\n2. a book", {}, id="it lists its parts"),
        pytest.param("What makes a good house?", {}, id="another question"),
    ],
)
def test_others_are_asked_under_instructions(model: Model, question: str, options: dict[str, Any]) -> None:
    prepared = model.prepare(question, parallel="prompted", **options)
    assert prepared.request.protocol is not None
    serial = model.prepare(question, parallel="off")
    assert len(prepared.request.prompt) > len(serial.request.prompt) + 1000
