"""Parts that a question lists."""

from __future__ import annotations

import pytest

from aspd_local.asked import AskedPart, asked_parts


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("Fields:\n1. year\n2. Who came first?", [("year", "1. year: "), ("Who came first?", "2. ")]),
        ("Which?\n\n 1) a\n\n 2) b:\n3)  c  \n\n", [("a", "1) a: "), ("b:", "2) b: "), ("c", "3) c: ")]),
        ("1. one\n2. two", [("one", "1. one: "), ("two", "2. two: ")]),
        ("x\n1. a name that has seven words here\n2. b", [("a name that has seven words here", "1. "), ("b", "2. b: ")]),
        ("An older list:\n1. x\n2. y\nand\n1. a\n2. b", [("a", "1. a: "), ("b", "2. b: ")]),
        ("1. x\n2. y\n1. a\n2. b", [("a", "1. a: "), ("b", "2. b: ")]),
        ("x\r\n1. a\r\n2. b\r\n", [("a", "1. a: "), ("b", "2. b: ")]),
    ],
)
def test_a_numbered_list_at_the_end(question: str, parts: list[tuple[str, str]]) -> None:
    assert asked_parts(question) == [AskedPart(*part) for part in parts]


@pytest.mark.parametrize(
    "question",
    [
        "",
        "Who wrote Hamlet?",
        "1. a",
        "2. a\n3. b",
        "1. a\n3. b",
        "1. a\n2. b\nWhich is right?",
        "- a\n- b",
        "1. a\n2.b",
        "In 1999. It was\n2. good",
        "1. a\n    2. b",
    ],
)
def test_what_is_no_numbered_list_at_the_end(question: str) -> None:
    assert asked_parts(question) == []
