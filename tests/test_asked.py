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
    ],
)
def test_what_is_no_numbered_list_at_the_end(question: str) -> None:
    assert asked_parts(question) == []


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("Compare them by these points: price, size, weight.", ["price", "size", "weight"]),
        ("Vergleiche sie nach: Preis, Größe, Gewicht.", ["Preis", "Größe", "Gewicht"]),
        ("Comparez-les selon : prix, taille, poids.", ["prix", "taille", "poids"]),
        ("Compáralos por: precio, tamaño real, peso", ["precio", "tamaño real", "peso"]),
        ("Сравни их: цена, размер, вес!", ["цена", "размер", "вес"]),
        ("请从以下方面比较：价格、大小、颜色和重量。", ["价格", "大小", "颜色和重量"]),
        ("次の点で比べてください：味、 効果,値段", ["味", "効果", "値段"]),
        ("قارن بينها: السعر، الحجم، الوزن", ["السعر", "الحجم", "الوزن"]),
        ("Rows: 1,5 l, 2,5 l, 4l", ["1,5 l", "2,5 l", "4l"]),
        (
            "A text: so, it, is.\n\nSum it up by aspect: home, body, habits. Be brief.",
            ["home", "body", "habits"],
        ),
        ("Use the headings: Aims, Ways to get there, Costs", ["Aims", "Ways to get there", "Costs"]),
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
        "What does this mean: red, green, blue?",  # what is asked about
        "¿Cuál es un mamífero: trucha, águila, ballena?",
        "哪个是哺乳动物：鳟鱼、鹰、鲸鱼？",
        "Compare them by: price and size.",
        "Compare them by: price, size, and weight.",  # a name does not begin with "and"
        "Vergleiche sie nach: Preis, Größe, Farbe und Gewicht.",
        "Tables : clients(id, nom), commandes(id, montant, date).",
        "The trains leave at 10:30, 11:30, 12:30.",
        "By aspect: the price that one pays for it, size, weight.",
        "By aspect: price, size, weight.\n\nNo, tell me a story.",
        "by aspect: , ,",
    ],
)
def test_what_is_no_list_of_names(question: str) -> None:
    assert asked_parts(question) == []
