"""The blocks of a Markdown text as spans of the text itself. Knows nothing of branches.

markdown-it-py parses blocks only; inline markup, which costs most of its time, is left alone. Its rule for
paragraphs is replaced by one that keeps no text and tries the rules that may end a paragraph only on lines
that begin like something else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING

from aspd_local.data.example import Span

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.token import Token

# What the parser takes for the end of a line; nothing else is one.
_LINE_END = re.compile(r"\r\n?|\n")
_KINDS = {
    "paragraph": "paragraph",
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


# Rules that a text in which none of these is found cannot need: most of the time goes into trying rules.
_NEEDED_FOR = {
    "table": ("|",),
    "html_block": ("<",),
    "blockquote": (">",),
    "heading": ("#",),
    "fence": ("```", "~~~"),
    "code": ("    ", "\t"),
    "hr": ("--", "**", "__", "- ", "* ", "_ ", "-\t", "*\t", "_\t"),
}
# What a line begins with that may end a paragraph, tables apart.
_MARKS = frozenset("*-+_>#`~<0123456789")


@cache
def _parser(unneeded: tuple[str, ...]) -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.enableOnly(["normalize", "block"])
    # "---" under a paragraph is a rule to those who write it, not a heading; definitions are text here.
    parser.disable(["lheading", "reference", *unneeded])
    parser.block.ruler.at("paragraph", _paragraph_rule(any_line="table" not in unneeded))
    return parser


def _paragraph_rule(*, any_line: bool) -> Callable[[StateBlock, int, int, bool], bool]:
    """markdown-it-py's rule for paragraphs, with one token for each. any_line: may any line end one?"""

    def paragraph(state: StateBlock, start: int, _end: int, _silent: bool) -> bool:
        ends_it = state.md.block.ruler.getRules("paragraph")
        above, state.parentType = state.parentType, "paragraph"
        line = start + 1
        while line < state.lineMax:
            at = state.bMarks[line] + state.tShift[line]
            if at >= state.eMarks[line]:
                break
            # four columns further in, or left of a quote, it goes on whatever it begins with
            indent = state.sCount[line]
            candidate = 0 <= indent <= state.blkIndent + 3 and (any_line or state.src[at] in _MARKS)
            if candidate and any(rule(state, line, state.lineMax, True) for rule in ends_it):
                break
            line += 1
        state.line = line
        state.push("paragraph", "p", 0).map = [start, line]
        state.parentType = above
        return True

    return paragraph


def parse(text: str) -> list[Node]:
    """The top-level blocks of a text, with their children."""
    starts = _line_starts(text)
    top: list[Node] = []
    open_nodes = [top]  # where children go
    unneeded = tuple([rule for rule, marks in _NEEDED_FOR.items() if not any(map(text.__contains__, marks))])
    for token in _parser(unneeded).parse(text):
        if token.nesting < 0:
            open_nodes.pop()
            continue
        children = open_nodes[-1]
        kind = _KINDS.get(token.type)
        if kind is not None and token.map is not None:
            node = _node(kind, token, token.map, starts, text)
            children.append(node)
            children = node.children
        if token.nesting > 0:
            open_nodes.append(children)
    return top


def _line_starts(text: str) -> list[int]:
    """Where each line begins, and the end of the text, if that is not the same."""
    if "\r" in text:
        starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
    else:
        starts = list(accumulate([len(line) + 1 for line in text.split("\n")], initial=0))
        del starts[-1]
    if starts[-1] != len(text):
        starts.append(len(text))
    return starts


def _node(kind: str, token: Token, lines: Sequence[int], starts: Sequence[int], text: str) -> Node:
    first, last = lines
    most = len(starts) - 1
    begin, end = starts[min(first, most)], starts[min(last, most)]
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
