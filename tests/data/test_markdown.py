"""Blocks as spans of the text; what makes parsing faster changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from markdown_it import MarkdownIt
from test_round_trip import answers

from aspd_local.data import markdown
from aspd_local.data.markdown import Node, parse, protected


def shape(nodes: Sequence[Node]) -> list[Any]:
    return [(node.kind, node.begin, node.end, node.level, shape(node.children)) for node in nodes]


@settings(max_examples=150)
@given(answers())
def test_fewer_rules_find_the_same_blocks(text: str) -> None:
    found = shape(parse(text))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markdown, "_NEEDED_FOR", {})
        assert shape(parse(text)) == found


@settings(max_examples=150)
@given(answers())
def test_the_rule_for_paragraphs_finds_what_the_one_of_markdown_it_finds(text: str) -> None:
    found = shape(parse(text))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markdown, "_parser", stock_parser)
        patch.setitem(markdown._KINDS, "paragraph_open", "paragraph")
        assert shape(parse(text)) == found


def stock_parser(_unneeded: object) -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser.disable(["lheading", "reference"])


def test_spans_are_those_of_the_text_whatever_ends_its_lines() -> None:
    for end in ("\n", "\r\n", "\r"):
        text = f"One{end}{end}- two{end}- three{end}{end}# Four{end}"
        blocks = [text[node.begin : node.end] for node in parse(text)]
        assert blocks == ["One", f"- two{end}- three", "# Four"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n\n```\nb\n```\nc", ["```\nb\n```"]),
        ("a $$b\n\nc$$ d", ["$$b\n\nc$$"]),
        ("\\begin{align}\na\n\\end{align}", ["\\begin{align}\na\n\\end{align}"]),
        ("a \\[ never closed", ["\\[ never closed"]),
        ("> a\n> b\n\nc", ["> a\n> b"]),
        ("It costs $5 and $6.", []),
    ],
)
def test_what_is_never_split(text: str, expected: list[str]) -> None:
    spans = sorted(set(protected(text, parse(text))))
    assert [text[begin:end].strip() for begin, end in spans][: len(expected)] == expected
    assert bool(spans) == bool(expected)
