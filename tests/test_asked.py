"""Parts that a question lists."""

# ruff: noqa: RUF001 (punctuation of Chinese and Japanese)
from __future__ import annotations

import pytest

from aspd_local.asked import AskedPart, asked_parts


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("Fields:\n1. year\n2. Who came first?", [("year", "1. year: "), ("Who came first?", "\n2. ")]),
        ("?\n\n 1) a\n\n 2) b:\n3)  c  \n\n", [("a", "1) a: "), ("b:", "\n2) b: "), ("c", "\n3) c: ")]),
        ("1. one\n2. two", [("one", "1. one: "), ("two", "\n2. two: ")]),
        (
            "x\n1. a name that has seven words here\n2. b",
            [("a name that has seven words here", "1. "), ("b", "\n2. b: ")],
        ),
        ("An older list:\n1. x\n2. y\nand\n1. a\n2. b", [("a", "1. a: "), ("b", "\n2. b: ")]),
        ("1. x\n2. y\n1. a\n2. b", [("a", "1. a: "), ("b", "\n2. b: ")]),
        ("x\r\n1. a\r\n2. b\r\n", [("a", "1. a: "), ("b", "\n2. b: ")]),
        ("(1) a\n(2) b", [("a", "(1) a: "), ("b", "\n(2) b: ")]),
        ("：\n1、茶\n2、 咖啡是什么？", [("茶", "1、茶："), ("咖啡是什么？", "\n2、")]),
        ("1.苹果\n2.梨：", [("苹果", "1. 苹果："), ("梨：", "\n2. 梨：")]),
        (
            "（１）価格\n（２）これは長さが三十桁を超える名前です",
            [("価格", "（１）価格："), ("これは長さが三十桁を超える名前です", "\n（２）")],
        ),
        (
            "Поля:\n1. высота над уровнем моря\n2. Кто?",
            [("высота над уровнем моря", "1. высота над уровнем моря: "), ("Кто?", "\n2. ")],
        ),
        ("1. هل هي؟\n2. क्या है।", [("هل هي؟", "1. "), ("क्या है।", "\n2. ")]),
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
        "1.5\n2.5",
        "Fais un tableau : durée, prix, confort.",  # a form of its own, no parts
    ],
)
def test_what_is_no_numbered_list_at_the_end(question: str) -> None:
    assert asked_parts(question) == []
