"""Lines become examples; a line that is none says why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aspd_local.data import BadLine, Example, read_line


def read(fields: Any) -> Example | BadLine:
    return read_line(json.dumps(fields), 7)


def test_prompt_and_answer_are_kept_as_they_are() -> None:
    found = read({"prompt": " Why?\r\n", "answer": "Because.\r\n\u2028 ", "model": "x"})
    assert isinstance(found, Example)
    assert (found.number, found.prompt, found.answer) == (7, " Why?\r\n", "Because.\r\n\u2028 ")
    assert found.messages == ({"role": "user", "content": " Why?\r\n"},)
    assert not found.cut


def test_finish_reason_length_means_cut() -> None:
    found = read({"prompt": "a", "answer": "b", "finish_reason": "length"})
    assert isinstance(found, Example)
    assert found.cut


def test_last_assistant_turn_of_a_chat_is_the_answer() -> None:
    turns = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "One "}, {"type": "text", "text": "two?"}]},
        {"role": "assistant", "content": "Three."},
    ]
    found = read({"messages": turns})
    assert isinstance(found, Example)
    assert found.answer == "Three."
    assert found.messages == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One two?"},
    )
    assert (found.prompt, found.question) == (None, "One two?")


def test_chat_with_an_answer_beside_it_is_all_prompt() -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    found = read({"messages": [*turns, {"role": "user", "content": "c"}], "answer": "d"})
    assert isinstance(found, Example)
    assert (len(found.messages), found.answer) == (3, "d")


def test_sharegpt_speakers_become_roles() -> None:
    turns = [{"from": "system", "value": "s"}, {"from": "human", "value": "h"}, {"from": "gpt", "value": "g"}]
    found = read({"conversations": turns})
    assert isinstance(found, Example)
    assert [turn["role"] for turn in found.messages] == ["system", "user"]
    assert found.answer == "g"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"prompt": "\xff"}', "not UTF-8"),
        (b"[1]", "not a JSON object"),
        (b'{"answer": "a"}', "no prompt"),
        (b'{"prompt": 3, "answer": "a"}', "no prompt"),
        (b'{"prompt": " ", "answer": "a"}', "no prompt"),
        (b'{"prompt": "a"}', "no answer"),
        (b'{"prompt": "a", "answer": 3}', "the answer is no text"),
        (b'{"prompt": "a", "answer": "\\n"}', "the answer is empty"),
        (b'{"prompt": "a", "answer": "\\ud800"}', "half of a surrogate pair"),
        (b'{"messages": {"role": "user"}}', "the chat is no list"),
        (b'{"messages": [{"content": "a"}]}', "a turn without a role"),
        (b'{"messages": [{"role": "user", "content": null}]}', "a turn without text"),
        (b'{"messages": [{"role": "user", "content": [{"type": "image"}]}]}', "a turn that is not only text"),
        (b'{"messages": [{"role": "user", "content": "a"}]}', "no answer"),
        (b'{"messages": [{"role": "assistant", "content": "a"}]}', "no prompt"),
        (b'{"messages": [{"role": "wizard", "content": "a"}, {"role": "user", "content": "b"}], "answer": "c"}', "an unknown role"),  # noqa: E501
        (b'{"conversations": [{"from": "wizard", "value": "a"}]}', "an unknown role"),
        (b'{"conversations": [{"from": "human"}]}', "a turn without text"),
    ],
)  # fmt: skip
def test_bad_lines_say_why(line: bytes, reason: str) -> None:
    assert read_line(line, 7) == BadLine(number=7, reason=reason)


def test_byte_order_mark_is_no_harm() -> None:
    assert isinstance(read_line(b'\xef\xbb\xbf{"prompt": "a", "answer": "b"}'), Example)
