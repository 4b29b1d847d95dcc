"""The core's chat templates as Python sees them, with real vocabularies."""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from aspd_local import _core, chat
from aspd_local.chat import Message
from aspd_local.errors import ModelError
from tiny.files import TinyModel
from tiny.vocabulary import CHAT_TEMPLATE

HELLO = json.dumps([{"role": "user", "content": "Hello"}])
ECHO = "{% for message in messages %}{{ message.content }}{% endfor %}"
MODELS = ["smollm2-135m", "qwen2.5-coder-1.5b"]
WORDS = [
    "Hello",
    "world",
    "naïve",
    "你好",
    "мир",
    "12345",
    "don't",
    "\n",
    "\n\n",
    " ",
    "  ",
    "\t",
    "!",
    "🙂",
    "_x_",
]


def load(path: str | Path) -> _core.Model:
    options = _core.ModelOptions()
    options.vocab_only = True
    return _core.Model.load(os.fspath(path), options)


@pytest.fixture(scope="module")
def tiny(tiny_llama: TinyModel) -> _core.Model:
    return load(tiny_llama.path)


@pytest.fixture(scope="module", params=MODELS)
def real(request: pytest.FixtureRequest) -> _core.Model:
    path = Path(os.environ.get("ASPD_TEST_MODELS_DIR", "")) / f"{request.param}.gguf"
    if not path.is_file():
        pytest.skip(f"ASPD_TEST_MODELS_DIR has no {path.name}")
    return load(path)


def control_tokens(model: _core.Model) -> dict[int, str]:
    tokens = filter(model.is_control, range(model.n_vocab))
    return {token: model.piece(token, True).decode() for token in tokens}


def prompt_ids(model: _core.Model, messages: Sequence[Message]) -> list[int]:
    return chat.tokenize_parts(model, chat.render_prompt(chat.compile_template(model), messages))


def whole_prompt_ids(model: _core.Model, messages: Sequence[Message]) -> list[int]:
    """As llama.cpp's own programs have them."""
    parts = chat.render_prompt(chat.compile_template(model), messages)
    ids: list[int] = model.tokenize("".join(part.text for part in parts), True)
    bos = [model.bos] if model.add_bos and ids[:1] != [model.bos] else []
    return bos + ids


def check_no_control_token_can_be_typed(model: _core.Model) -> None:
    """In any place of a chat, alone or with all others."""
    controls = control_tokens(model)
    assert controls
    plain = [token for token in prompt_ids(model, talk("x")) if token in controls]
    for content in [" ".join(controls.values()), *controls.values()]:
        ids = prompt_ids(model, talk(f"A{content}B"))
        assert [token for token in ids if token in controls] == plain
        typed = model.tokenize(content, False)
        assert not controls.keys() & set(typed)
        assert b"".join(model.piece(token, True) for token in typed).decode() == content


def talk(content: str) -> list[Message]:
    return [
        {"role": "system", "content": content},
        {"role": "user", "content": content},
        {"role": "assistant", "content": content},
        {"role": "user", "content": content},
    ]


def check_ids_are_those_of_the_whole_prompt(model: _core.Model, n_chats: int) -> None:
    words = random.Random(7)
    for _ in range(n_chats):
        messages = talk("".join(words.choices(WORDS, k=words.randrange(12))))
        assert prompt_ids(model, messages) == whole_prompt_ids(model, messages)


def test_parts_say_what_came_from_a_message() -> None:
    template = _core.ChatTemplate("a{{ bos_token }}" + ECHO + "{{ eos_token }}", "<s>", "</s>")
    assert template.render(HELLO) == [("a<s>", False), ("Hello", True), ("</s>", False)]


def test_variables_are_input() -> None:
    template = _core.ChatTemplate("{{ date }}", "", "")
    assert template.render(HELLO, True, json.dumps({"date": "<|im_end|>"})) == [("<|im_end|>", True)]


def test_a_generation_prompt_is_a_choice() -> None:
    template = _core.ChatTemplate("{{ 'x' }}{% if add_generation_prompt %}y{% endif %}", "", "")
    assert template.render(HELLO) == [("xy", False)]
    assert template.render(HELLO, add_generation_prompt=False) == [("x", False)]


@pytest.mark.parametrize("source", ["", "{% if %}", "{{ (", "x" * 2_000_000, "{% for i in [1] %}"])
def test_a_template_that_does_not_parse_is_a_model_error(source: str) -> None:
    with pytest.raises(ModelError, match="chat template"):
        _core.ChatTemplate(source, "", "")


def test_a_template_s_exception_is_a_model_error_with_its_text() -> None:
    template = _core.ChatTemplate("{{ raise_exception('System role not supported') }}", "", "")
    with pytest.raises(ModelError, match="System role not supported") as caught:
        template.render(HELLO)
    assert caught.value.path == ""


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
        "{{ 'x' * 100000000 }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ lipsum.__globals__['os'].popen('id').read() }}",
    ],
)
def test_a_hostile_template_is_a_model_error(source: str) -> None:
    template = _core.ChatTemplate(source, "", "")
    with pytest.raises(ModelError):
        template.render(HELLO)


@pytest.mark.parametrize(
    ("messages", "extra"),
    [
        ("nonsense", "{}"),
        ("{}", "{}"),
        ("[1]", "{}"),
        (HELLO, "[]"),
        (HELLO, '{"messages": []}'),
        ("[" * 10**6, "{}"),
    ],
)
def test_malformed_json_is_a_value_error(messages: str, extra: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|messages|may not set"):
        _core.ChatTemplate(ECHO, "", "").render(messages, True, extra)


def test_a_code_point_that_a_template_cuts_is_replaced() -> None:
    template = _core.ChatTemplate("{{ messages[0].content[:-1] }}", "", "")
    assert template.render(json.dumps([{"role": "user", "content": "aé"}])) == [("a\ufffd", True)]


def test_threads_render_side_by_side() -> None:
    template = _core.ChatTemplate(CHAT_TEMPLATE, "", "")
    expected = template.render(HELLO)
    results: list[list[tuple[str, bool]]] = []

    def work() -> None:
        results.extend(template.render(HELLO) for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 200
    assert all(result == expected for result in results)


def test_no_control_token_of_a_tiny_vocabulary_can_be_typed(tiny: _core.Model) -> None:
    check_no_control_token_can_be_typed(tiny)


def test_ids_of_a_tiny_model_are_those_of_the_whole_prompt(tiny: _core.Model) -> None:
    check_ids_are_those_of_the_whole_prompt(tiny, 100)


def test_a_user_defined_token_can_be_typed_and_comes_back_as_text(tiny_typable_markers: TinyModel) -> None:
    """llama.cpp matches USER_DEFINED tokens in any text; therefore no protocol may act on them."""
    model = load(tiny_typable_markers.path)
    ids = model.tokenize("a<|branch|>b", False)
    assert tiny_typable_markers.vocabulary["<|branch|>"] in ids
    assert b"".join(model.piece(token, True) for token in ids) == b"a<|branch|>b"


@pytest.mark.model
def test_no_control_token_of_a_real_vocabulary_can_be_typed(real: _core.Model) -> None:
    check_no_control_token_can_be_typed(real)


@pytest.mark.model
def test_ids_of_a_real_model_are_those_of_the_whole_prompt(real: _core.Model) -> None:
    check_ids_are_those_of_the_whole_prompt(real, 300)
