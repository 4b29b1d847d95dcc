"""The blocks of a Markdown text as spans of the text itself. Knows nothing of branches.

markdown-it-py parses blocks only; inline markup, which costs most of its time, is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from aspd_local.data.example import Span

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

# What the parser takes for the end of a line; nothing else is one.
_LINE_END = re.compile(r"\r\n?|\n")
_KINDS = {
    "paragraph_open": "paragraph",
    "heading_open": "heading",
    "ordered_list_open": "numbered",
    "bullet_list_open": "bulleted",
    "list_item_open": "item",
    "blockquote_open": "quote",
    "table_open": "table",
    "tr_open": "row",
    "fence": "fence",
    "code_block": "code",
    "html_block": "html",
    "hr": "rule",
}
_FORMULA = re.compile(
    r"\$\$.*?(?:\$\$|\Z)|\\\[.*?(?:\\\]|\Z)|\\\(.*?(?:\\\)|\Z)|\\begin\{(\w+\*?)\}.*?(?:\\end\{\1\}|\Z)",
    re.DOTALL,
)
_FENCE = re.compile(r"^[ \t]*(?:[-*+>]|\d+[.)])?[ \t]*(?:```|~~~)", re.MULTILINE)


@dataclass(slots=True)
class Node:
    """A block of a text.

    Attributes:
        kind: paragraph, heading, numbered, bulleted, item, quote, table, row, fence, code, html, rule.
        begin, end: whole lines, in code points; blank lines behind it are not part of it.
        level: of a heading, 1 to 6; of a numbered list, its first number.
        line: number of its first line, from 0.
    """

    kind: str
    begin: int
    end: int
    level: int = 0
    line: int = 0
    children: list[Node] = field(default_factory=list)


# Rules that a text in which these are not found cannot need: most of the time goes into trying rules.
_NEEDED_FOR = {
    rule: re.compile(pattern)
    for rule, pattern in {
        "table": r"\|",
        "html_block": "<",
        "blockquote": ">",
        "heading": "#",
        "fence": "[`~]",
        "code": "    |\t",
        "hr": r"([-*_])[ \t]*\1[ \t]*\1",
    }.items()
}


@cache
def _parser(unneeded: tuple[str, ...]) -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.enableOnly(["normalize", "block"])
    # "---" under a paragraph is a rule to those who write it, not a heading; definitions are text here.
    parser.disable(["lheading", "reference", *unneeded])
    return parser


def parse(text: str) -> list[Node]:
    """The top-level blocks of a text, with their children."""
    starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
    starts.append(len(text)) if starts[-1] != len(text) else None
    top: list[Node] = []
    open_nodes: list[Node | None] = []
    unneeded = tuple(rule for rule, needed in _NEEDED_FOR.items() if not needed.search(text))
    for token in _parser(unneeded).parse(text):
        if token.nesting < 0:
            open_nodes.pop()
            continue
        node = _node(token, starts, text)
        if node is not None:
            parent = next((each for each in reversed(open_nodes) if each is not None), None)
            (top if parent is None else parent.children).append(node)
        if token.nesting > 0:
            open_nodes.append(node)
    return top


def _node(token: Token, starts: Sequence[int], text: str) -> Node | None:
    kind = _KINDS.get(token.type)
    if kind is None or token.map is None:
        return None
    first, last = token.map
    begin, end = starts[min(first, len(starts) - 1)], starts[min(last, len(starts) - 1)]
    while end > begin and text[end - 1] in " \t\r\n":
        end -= 1
    level = 0
    if kind == "heading":
        level = int(token.tag[1:])
    elif kind == "numbered":
        level = int(token.attrs.get("start", 1))
    return Node(kind, begin, end, level, first)


def protected(text: str, nodes: Sequence[Node]) -> list[Span]:
    """What is never split: code, quotes, raw HTML, formulas, and all from a fence that is never closed."""
    spans: list[Span] = []
    if "$$" in text or "\\" in text:
        spans += [match.span() for match in _FORMULA.finditer(text)]
    fences = [match.span() for match in _FENCE.finditer(text)] if "```" in text or "~~~" in text else []
    spans += [(fences[i][0], fences[i + 1][1]) for i in range(0, len(fences) - 1, 2)]
    if len(fences) % 2:
        spans.append((fences[-1][0], len(text)))
    stack = list(nodes)
    while stack:
        node = stack.pop()
        if node.kind in ("fence", "code", "quote", "html"):
            spans.append((node.begin, node.end))
        else:
            stack += node.children
    return spans
