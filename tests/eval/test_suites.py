"""The questions of the package, and of files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aspd_local.errors import DataError
from aspd_local.eval import load
from aspd_local.eval.exact import right_share


def test_suites_of_the_package() -> None:
    vicuna, gsm8k, rag = load("vicuna"), load("gsm8k"), load("rag")
    assert [len(suite.questions) for suite in (vicuna, gsm8k, rag)] == [80, 1319, 180]
    assert len({question.category for question in vicuna.questions}) == 9
    assert {question.category for question in rag.questions} == {"fields", "questions", "aspects"}
    assert gsm8k.questions[0].number == "18"
    for suite in (vicuna, gsm8k, rag):
        assert len({question.key for question in suite.questions}) == len(suite.questions)


def test_the_passages_hold_the_answers_and_the_requests_do_not() -> None:
    for question in load("rag").questions:
        passage, _, request = question.turns[0].partition("\n\n")
        assert len(question.facts) >= 4
        assert right_share(question, passage) == 1, question.key
        assert right_share(question, request) == 0, question.key
        assert not any(each.isdecimal() and int(each) <= 10 for fact in question.facts for each in fact)


def test_drawn_questions_keep_their_order_and_follow_the_seed() -> None:
    suite = load("vicuna")
    drawn = suite.drawn(8, 1)
    assert len(drawn) == 8
    assert drawn == suite.drawn(8, 1) != suite.drawn(8, 2)
    assert list(drawn) == [question for question in suite.questions if question in drawn]
    assert suite.drawn(None, 1) == suite.drawn(1000, 1) == suite.questions


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    rows = [
        {"prompt": "Why?"},
        {
            "id": "x",
            "turns": ["Who?", "And who else?"],
            "category": "people",
            "facts": ["Bo", ["Al", "Albert"]],
        },
        {"prompt": "How many?", "answer": 12},
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    first, second, third = load(str(path)).questions
    assert (first.key, first.turns, first.number, first.facts) == ("1", ("Why?",), None, ())
    assert (second.key, second.category, second.facts) == ("x", "people", (("Bo",), ("Al", "Albert")))
    assert third.number == "12"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"prompt": "a", "anwser": 1}', "unknown fields: anwser"),
        ('{"prompt": ""}', "texts"),
        ('{"prompt": 1}', "texts"),
        ('{"turns": []}', "texts"),
        ('{"turns": "a"}', "texts"),
        ('{"prompt": "a", "turns": ["b"]}', "either prompt or turns"),
        ("{}", "either prompt or turns"),
        ("[]", "not an object"),
        ("{", "Expecting"),
        ('{"prompt": "a", "facts": "b"}', "facts must be a list"),
        ('{"prompt": "a", "facts": [[]]}', "a fact must be"),
        ('{"prompt": "a", "answer": true}', "answer must be a number"),
    ],
)
def test_a_bad_line_is_named_with_its_number(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"prompt": "Why?"}\n' + line + "\n")
    with pytest.raises(DataError, match=says) as caught:
        load(str(path))
    assert f"{path}:2" in str(caught.value)


def test_empty_doubled_and_absent_files(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text("\n\n")
    with pytest.raises(DataError, match="no questions"):
        load(str(path))
    path.write_text('{"id": 1, "prompt": "a"}\n{"prompt": "b", "id": "1"}\n')
    with pytest.raises(DataError, match="stands twice"):
        load(str(path))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="UTF-8"):
        load(str(path))
    with pytest.raises(ValueError, match="vicuna, gsm8k, rag"):
        load("no-such-suite")
