"""Parts that a question lists."""

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


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("Compare them by these points: price, size and weight.", ["price", "size", "weight"]),
        (
            "A text: so, it, is.\n\nSum it up by aspect: home, body, habits. Be brief.",
            ["home", "body", "habits"],
        ),
        ("Use the headings: Aims, Ways to get there, and Costs", ["Aims", "Ways to get there", "Costs"]),
        ("Sections: a, b, c\nWrite in German.", ["a", "b", "c"]),
    ],
)
def test_names_behind_a_colon(question: str, names: list[str]) -> None:
    found = asked_parts(question)
    assert [part.title for part in found] == names
    assert [part.heading for part in found] == [
        f"**{name}**\n" if i == 0 else f"\n\n**{name}**\n" for i, name in enumerate(names)
    ]


@pytest.mark.parametrize(
    "question",
    [
        "What does this mean: red, green, blue?",  # not what parts are named by
        "Compare them by: price and size.",
        "By aspect: the price that one pays for it, size, weight.",
        "By aspect: price, size, weight.\n\nNo, tell me a story.",
        "by aspect: , ,",
    ],
)
def test_what_is_no_list_of_names(question: str) -> None:
    assert asked_parts(question) == []
