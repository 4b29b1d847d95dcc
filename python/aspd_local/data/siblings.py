"""Groups of neighbouring blocks that a writer set side by side, whatever they say.

A part begins where a list item, a heading or a paragraph with a lead-in begins, and goes on to the next one
of its kind; so nested and unindented content stays inside its part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from aspd_local.data.example import Kind, Span
from aspd_local.data.markdown import Node

_ORDINALS = (
    "first|firstly|second|secondly|third|thirdly|fourth|fourthly|fifth|fifthly|sixth|seventh|eighth|ninth|tenth|"
    "finally|lastly|another|next"
)
# What the first line of a paragraph may begin with, and what kind of part that makes.
_LEADS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("question", re.compile(r"(?:\*\*|__)?(?:Q|Question)\s*\d{0,3}\s*[:.)]", re.IGNORECASE)),
    (
        "label",
        re.compile(
            r"(?:\*\*|__)?(?:[A-Z][a-z]+ )?\(?(?:\d{1,2}|[A-Za-z]|[IVX]{1,4})[:.)](?:\*\*|__)?\s", re.ASCII
        ),
    ),
    ("label", re.compile(r"(?:\*\*|__)?[A-Z][a-z]+ #?(?:\d{1,2}|[A-Z])\b\s*(?:[:.)(–—-]|\*\*)")),  # noqa: RUF001
    ("bold", re.compile(r"(\*\*|__)(?=\S)[^\n]{1,120}?\1")),
    ("ordinal", re.compile(rf"(?:{_ORDINALS})\b(?: of all)?,? ", re.IGNORECASE)),
    ("lead", re.compile(r"[A-Z][^.:!?\n]{1,60}:(?:[ \t]+\S|\n[-*+ ])")),
)
_BULLET_LINE = re.compile(r"^[ \t]*[•◦▪●‣][ \t]*(?=\S)", re.MULTILINE)
_LEAD_LINE = re.compile(r"^(?:\*\*)?[A-Z][^.:!?\n]{1,60}:", re.MULTILINE)
_SPACE = re.compile(r"\s*")
# How a paragraph begins that speaks of all parts, and what such a part is called.
_CLOSING = re.compile(
    r"(?:\*\*)?(?:in (?:conclusion|summary|short|general|the end)|overall|to (?:sum|conclude|summari[sz]e)|"
    r"by (?:following|doing|using|taking|implementing|incorporating)|remember|these|this|with these|i hope|"
    r"let me know|ultimately|all in all|as you can see|feel free|please|note that|keep in mind|if you|"
    r"it['\u2019]?s (?:important|worth)|it is (?:important|worth)|there are|good luck|enjoy|conclusion)\b",
    re.IGNORECASE,
)
_CLOSING_TITLE = re.compile(
    r"(?:[-*+#\s]|\(?\d{1,3}[.):]|[IVX]{1,4}\.)*(?:conclusions?|(?:final )?(?:summary|thoughts|notes?)|"
    r"in conclusion|in summary|overall|wrap[- ]?up|takeaways?|key takeaways?|recap|outlook|the end|ending)\b",
    re.IGNORECASE,
)
_LISTS = ("numbered", "bulleted")
_BREAKS = ("heading", "rule")  # nothing but headings goes on behind these


def sibling_groups(text: str, nodes: Sequence[Node]) -> Iterator[tuple[Kind, list[Span]]]:
    """All groups of two or more parts: kind and spans of the parts, [n_parts].

    A last part that is called a conclusion speaks of the others: it is left out.
    """
    for kind, spans in _in_region(text, nodes):
        begin, end = spans[-1]
        closing = _CLOSING_TITLE.match(text[begin:end]) is not None
        if not closing or len(spans) > 2:
            yield kind, spans[:-1] if closing else spans


def _in_region(text: str, nodes: Sequence[Node]) -> Iterator[tuple[Kind, list[Span]]]:
    """Groups among these neighbours, then those inside of them."""
    sections = _sections(nodes)
    for members in sections:
        yield from _cut("headings", text, nodes, members)
    plain = [i for i, node in enumerate(nodes) if node.kind not in _BREAKS]
    for stretch in _stretches(plain):
        yield from _lists(text, nodes, stretch)
        yield from _paragraphs(text, nodes, stretch)
    for node in nodes:
        if node.kind == "table":
            yield from _rows(text, node)
        elif node.kind == "paragraph":
            yield from _lines(text, node)
        elif node.kind in _LISTS:
            for item in node.children:
                if inner := [child for child in item.children if child.line != item.line]:
                    yield from _in_region(text, inner)


def _stretches(indices: Sequence[int]) -> Iterator[list[int]]:
    """Runs of consecutive numbers."""
    stretch: list[int] = []
    for i in indices:
        if stretch and i != stretch[-1] + 1:
            yield stretch
            stretch = []
        stretch.append(i)
    if stretch:
        yield stretch


def _sections(nodes: Sequence[Node]) -> Iterator[list[list[int]]]:
    """Headings of one level that no higher one interrupts, each with the nodes of its section."""
    headings = [i for i, node in enumerate(nodes) if node.kind == "heading"]
    for level in sorted({nodes[i].level for i in headings}):
        group: list[list[int]] = []
        for i in headings:
            if nodes[i].level < level:
                if len(group) > 1:
                    yield group
                group = []
            elif nodes[i].level == level:
                group.append([i])
        if len(group) > 1:
            yield group


def _lists(text: str, nodes: Sequence[Node], stretch: Sequence[int]) -> Iterator[tuple[Kind, list[Span]]]:
    """Items of each list; and of numbered lists that go on counting behind other blocks, as one."""
    runs: list[list[int]] = []  # indices of numbered lists
    for i in stretch:
        node = nodes[i]
        if node.kind not in _LISTS:
            continue
        if len(node.children) > 1:
            kind: Kind = "numbered" if node.kind == "numbered" else "bulleted"
            starts = [item.begin for item in node.children]
            yield kind, _spans(text, starts, _last_item_end(text, node))
        if node.kind == "numbered":
            last = nodes[runs[-1][-1]] if runs else None
            if last is not None and node.level == last.level + len(last.children):
                runs[-1].append(i)
            else:
                runs.append([i])
    for run in runs:
        if len(run) > 1:
            yield from _numbered(text, nodes, stretch, run)


def _numbered(
    text: str, nodes: Sequence[Node], stretch: Sequence[int], run: Sequence[int]
) -> Iterator[tuple[Kind, list[Span]]]:
    starts = [item.begin for i in run for item in nodes[i].children]
    after = [[nodes[j].kind for j in range(i + 1, k)] for i, k in pairwise(run)]
    end = run[-1]
    n_followers = _n_followers(after, [nodes[j].kind for j in range(end + 1, stretch[-1] + 1)])
    last = nodes[end + n_followers]
    yield "numbered", _spans(text, starts, last.end if n_followers else _last_item_end(text, nodes[end]))


def _paragraphs(
    text: str, nodes: Sequence[Node], stretch: Sequence[int]
) -> Iterator[tuple[Kind, list[Span]]]:
    """Paragraphs that begin alike, each with what stands below it."""
    kinds: dict[Kind, list[int]] = {}
    for i in stretch:
        if nodes[i].kind == "paragraph":
            first = text[nodes[i].begin : nodes[i].begin + 140].lstrip()
            for kind, pattern in _LEADS:
                if pattern.match(first):
                    kinds.setdefault(kind, []).append(i)
                    break
    for kind, starts in kinds.items():
        if len(starts) < 2:
            continue
        after = [[nodes[j].kind for j in range(i + 1, k)] for i, k in pairwise(starts)]
        rest = [nodes[j].kind for j in range(starts[-1] + 1, stretch[-1] + 1)]
        last = nodes[starts[-1] + _n_followers(after, rest)]
        yield kind, _spans(text, [nodes[i].begin for i in starts], last.end)


def _n_followers(after: Sequence[Sequence[str]], rest: Sequence[str]) -> int:
    """How many of the blocks behind the last part belong to it.

    after: kinds of the blocks behind each earlier part. A paragraph belongs to it where every earlier part
    has one there; another block where any has one of that kind.
    """
    ever = {kind for kinds in after for kind in kinds} - {"paragraph"}
    fewest = min(map(len, after), default=0)
    n = 0
    for kind in rest:
        everywhere = n < fewest and all(kinds[n] == kind for kinds in after)
        if not everywhere and kind not in ever:
            break
        n += 1
    return n


def _rows(text: str, table: Node) -> Iterator[tuple[Kind, list[Span]]]:
    rows = [child for child in table.children if child.kind == "row"][1:]
    if len(rows) > 1:
        yield "table", _spans(text, [row.begin for row in rows], rows[-1].end)


def _lines(text: str, paragraph: Node) -> Iterator[tuple[Kind, list[Span]]]:
    """Lines of one paragraph that begin with a bullet that Markdown does not know, or with a lead-in."""
    body = text[paragraph.begin : paragraph.end]
    if "\n" not in body:
        return
    kinds: tuple[tuple[Kind, re.Pattern[str]], ...] = (("bulleted", _BULLET_LINE), ("lead", _LEAD_LINE))
    for kind, pattern in kinds:
        starts = [paragraph.begin + match.start() for match in pattern.finditer(body)]
        if len(starts) > 1:
            yield kind, _spans(text, starts, paragraph.end)
            return


def _cut(
    kind: Kind, text: str, nodes: Sequence[Node], members: Sequence[Sequence[int]]
) -> Iterator[tuple[Kind, list[Span]]]:
    """Sections; the last one ends before a heading of a higher level, or before a closing paragraph."""
    starts = [section[0] for section in members]
    level = nodes[starts[0]].level
    end = starts[-1]
    while end + 1 < len(nodes) and not (nodes[end + 1].kind == "heading" and nodes[end + 1].level <= level):
        end += 1
    last = end
    while last > starts[-1] and nodes[last].kind == "rule":
        last -= 1
    if last - starts[-1] > 1 and nodes[last].kind == "paragraph" and _closes(text, nodes[last]):
        last -= 1
    while last > starts[-1] and nodes[last].kind == "rule":
        last -= 1
    yield kind, _spans(text, [nodes[i].begin for i in starts], nodes[last].end)


def _closes(text: str, paragraph: Node) -> bool:
    """Whether a paragraph speaks of all that came before it."""
    return _CLOSING.match(text[paragraph.begin : paragraph.end].lstrip()) is not None


def _last_item_end(text: str, node: Node) -> int:
    """Where the last item of a list ends: before a line that only runs on because it has no blank line above.

    Markdown takes an unindented line behind an item for more of it; to who wrote it, it is often the tail.
    """
    items = node.children
    ends = [_end_of_own_lines(text, item) for item in items]
    early = all(end == item.end for end, item in zip(ends[:-1], items[:-1], strict=True))
    if early and ends[-1] < items[-1].end:
        return ends[-1]
    # a closing paragraph that was indented into the last item alone
    children = items[-1].children
    if len(children) > 1 and children[-1].kind == "paragraph" and _closes(text, children[-1]):
        others = {child.kind for item in items[:-1] for child in item.children[1:]}
        if "paragraph" not in others:
            return children[-2].end
    return items[-1].end


def _end_of_own_lines(text: str, item: Node) -> int:
    if not item.children or item.children[-1].kind != "paragraph":
        return item.end
    paragraph = item.children[-1]
    at = text.find("\n", paragraph.begin, paragraph.end)
    while at != -1:
        if at + 1 < len(text) and text[at + 1] not in " \t":
            return at
        at = text.find("\n", at + 1, paragraph.end)
    return item.end


def _spans(text: str, starts: Sequence[int], end: int) -> list[Span]:
    """Parts from each start to the next. The last keeps as much white space behind it as the first has."""
    spans = list(pairwise(starts))
    if spans:
        first = text[spans[0][0] : spans[0][1]]
        space = first[len(first.rstrip()) :]
        match = _SPACE.match(text, end)
        behind = text[end : match.end()] if match else ""
        end += next((n for n in range(len(space), 0, -1) if behind.startswith(space[:n])), 0)
    return [*spans, (starts[-1], end)]
