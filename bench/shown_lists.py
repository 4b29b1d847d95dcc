"""The lists and sections that a text shows to its reader: numbered and bulleted items, headings, bold lines.

Read from Markdown, whatever the language. Knows nothing of branches, and not what CommonMark makes of the
text: a list that is taken up again behind a paragraph is one list here, as it is to a reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["heading", "bold", "numbered", "bulleted"]
Closed = Literal["colon", "bold", "dash", "heading", ""]

_FENCE = re.compile(r"^\s*(?:(?:[-*+]|\d{1,3}[.)])\s+)?(`{3,}|~{3,})")
_HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(\S.*)$")
_RULE = re.compile(r"^\s*(?:[-*_]\s*){3,}$")
_BULLET = re.compile(r"^(\s*)(?:[-*+](?:\s+|$)|[•●·◦▪‣・]\s*)")
_NUMBER = re.compile(  # an ASCII point wants a blank behind it: 1.5 is no item
    r"^(\s*)[(\uff08]?(\d{1,3})(?:[.)](?=\s|\*\*|$)|[\u3001\uff0e\uff09])\s*"
    r"|^(\s*)([一二三四五六七八九十]{1,3})[\u3001\uff0e]\s*"
    r"|^(\s*)([①-⑳])\s*"
)
_BOLD = re.compile(r"^(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_COLON = re.compile(r"\uff1a|:(?=[\s*_\u3040-\u30ff\u4e00-\u9fff]|$)")
_DASH = re.compile(r"\s+[-\u2013\u2014](?:\s+|$)|\u2014\u2014")
_SENTENCE_END = re.compile(r"[.!?](?=\s)|[\u3002\uff01\uff1f]")
_LEADING_NUMBER = re.compile(r"^(\d{1,2})(?:[.)](?!\d)|[\u3001\uff0e])\s*")
_LETTER = re.compile(r"[^\W\d_]")
_SAID = re.compile(r"\w")
_COLONS = (":", "\uff1a")
_ENDS = " :\uff1a-\u2013\u2014"  # between a lead and what follows it
_HAN_DIGITS = "一二三四五六七八九十"
_MOST_WORDS = 12  # of a lead
_MOST_CHARACTERS = 80


@dataclass
class Item:
    """An item of a list, or a section.

    Attributes:
        lead: what it calls itself; "" if it does not. closed: by what that ends; "" without a lead.
        number: the one that it shows; None without one.
        body: the rest of it, lists in it included.
    """

    lead: str
    closed: Closed
    number: int | None
    body: str

    def add(self, line: str) -> None:
        """A further line of it."""
        self.body += "\n" + line


@dataclass(eq=False)
class ShownList:
    """Items of one kind at one indent that follow each other.

    Attributes:
        level: of headings their number of #, of items their indent in columns; 0 of bold lines.
        inner: whether it stands in an item of another list; sections do not count.
    """

    kind: Kind
    level: int
    inner: bool
    items: list[Item] = field(default_factory=list)

    @property
    def depth(self) -> tuple[int, int, int]:
        """What holds what: the smaller one the larger ones."""
        # bullets at the indent of numbers are in them, as small models like to write it
        order = {"heading": 0, "bold": 1, "numbered": 2, "bulleted": 2}
        return order[self.kind], self.level, int(self.kind == "bulleted")


def has_titled_list(text: str) -> bool:
    """Whether a text has a list with titles: two or more items of the same kind at the same indent that have
    a lead, closed by a colon, the end of its bold print or a dash, or two headings of a level.

    >>> has_titled_list("1. **Plan**: in the evening.\\n2. **Rest**: each hour.")
    True
    >>> has_titled_list("- eggs\\n- flour")
    False
    """
    return any(sum(bool(item.closed) for item in each.items) >= 2 for each in lists(text))


def lists(text: str) -> list[ShownList]:
    """All lists of a text, of one item or more, in the order in which they begin."""
    reader = _Reader()
    for line, is_code in _lines(text):
        reader.read(line, is_code)
    return reader.found


def without_code(text: str) -> str:
    """The lines of a text that stand outside of code fences."""
    return "\n".join(line for line, is_code in _lines(text) if not is_code)


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """Lines, and whether they are code; one that opens a fence or closes it counts as code."""
    fence = ""
    for line in text.expandtabs(4).split("\n"):
        mark = _FENCE.match(line)
        if fence:
            yield line, True
            if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        else:
            if mark:
                fence = mark[1]
            yield line, bool(mark)


class _Reader:
    """Reads line by line.

    found: lists in the order in which they begin. _open: those whose last item is not over, the outermost
    first. _outer: the last numbered list of each indent that stands in no other list.
    """

    def __init__(self) -> None:
        self.found: list[ShownList] = []
        self._open: list[ShownList] = []
        self._outer: dict[int, ShownList] = {}
        self._between = ""  # the last line of text since an item began

    def read(self, line: str, is_code: bool) -> None:
        """The next line."""
        begun = None if is_code else _begun(line)
        if begun is None:
            self._add(line)
            if line.strip() and not is_code:
                self._between = line
            return
        found, item = begun
        while self._open and self._open[-1].depth > found.depth:
            self._open.pop()
        same = self._taken_up(found, item)
        for outer in self._open:
            outer.items[-1].add(line)
        if same is None:
            found.inner = any(each.kind in ("numbered", "bulleted") for each in self._open)
            same = found
            self.found.append(found)
            if found.kind == "numbered" and not found.inner:
                self._outer[found.level] = found
        same.items.append(item)
        self._open.append(same)
        self._between = ""

    def _taken_up(self, found: ShownList, item: Item) -> ShownList | None:
        """The list that goes on with this item, taken from those that are open; None for a new one."""
        before = None
        if self._open and self._open[-1].depth == found.depth:
            before = self._open.pop()
        if before is not None and not self._is_new(before, item):
            return before
        # a numbered list goes on behind bold lines and the like
        outer = self._outer.get(found.level) if found.kind == "numbered" else None
        is_outside = not any(each.kind in ("numbered", "bulleted") for each in self._open)
        if outer is not None and is_outside and item.number == (outer.items[-1].number or 0) + 1 > 1:
            # bold lines that stood in its last item are over with it
            begun = set(self.found[: self.found.index(outer)])
            self._open = [each for each in self._open if each in begun]
            return outer
        return None

    def _is_new(self, before: ShownList, item: Item) -> bool:
        """Whether text between the last item of a list and this one begins another list."""
        if before.kind in ("heading", "bold") or not self._between:
            return False
        indent = len(self._between) - len(self._between.lstrip())
        if indent > before.level:
            return False
        introduces = self._between.rstrip(" *_").endswith(_COLONS)
        if before.kind == "bulleted":
            return introduces
        return item.number == 1 and (introduces or (before.items[-1].number or 0) > 1)

    def _add(self, line: str) -> None:
        for each in self._open:
            each.items[-1].add(line)


def _begun(line: str) -> tuple[ShownList, Item] | None:
    """What begins with a line: its list, without items, and its item."""
    if _RULE.match(line):
        return None
    if heading := _HEADING.match(line):
        lead = heading[2].rstrip(" #")
        return ShownList("heading", len(heading[1]), False), Item(lead, "heading", _number_in(lead), "")
    if number := _NUMBER.match(line):
        indent, digits = next((a, b) for a, b in zip(*[iter(number.groups())] * 2, strict=True) if b)
        return _item("numbered", indent, _value(digits), line[number.end() :])
    if bullet := _BULLET.match(line):
        return _item("bulleted", bullet[1], None, line[bullet.end() :])
    return _bold_line(line.rstrip())


def _bold_line(line: str) -> tuple[ShownList, Item] | None:
    """A line that is bold, or begins so and goes on behind a colon or dash. An indented one belongs to what
    stands above it.
    """
    bold = _BOLD.match(line)
    if bold is None:
        return None
    behind = line[bold.end() :]
    if behind and not bold[2].endswith(_COLONS) and behind.lstrip()[:1] not in _ENDS:
        return None
    item = Item(bold[2].rstrip(_ENDS), "bold", _number_in(bold[2]), behind.lstrip(_ENDS))
    return ShownList("bold", 0, False), item


def _item(kind: Kind, indent: str, number: int | None, said: str) -> tuple[ShownList, Item]:
    lead, closed, body = _led(said.strip())
    return ShownList(kind, len(indent), False), Item(lead, closed, number, body)


def _led(said: str) -> tuple[str, Closed, str]:
    """The lead of an item's first line, what closes it, and the rest."""
    if heading := re.match(r"#{1,6}\s+(\S.*)$", said):
        return heading[1], "heading", ""
    if bold := _BOLD.match(said):
        behind = said[bold.end() :].lstrip()
        is_colon = bold[2].endswith(_COLONS) or behind.startswith(_COLONS)
        return bold[2].rstrip(_ENDS), "colon" if is_colon else "bold", behind.lstrip(_ENDS)
    closed: Closed
    colon, dash = _COLON.search(said), _DASH.search(said)
    if colon and (dash is None or colon.start() < dash.start()):
        end, closed = colon, "colon"
    elif dash and _LETTER.search(said[: dash.start()]):  # 5 - 3 has none
        end, closed = dash, "dash"
    else:
        return "", "", said
    lead = said[: end.start()].strip()
    if not _is_lead(lead):
        return "", "", said
    return lead, closed, said[end.end() :].lstrip(" *_")


def _is_lead(lead: str) -> bool:
    """Whether some words may be a title: few, no whole sentence, no half of brackets or code."""
    return (
        bool(_SAID.search(lead))
        and len(lead.split()) <= _MOST_WORDS
        and len(lead) <= _MOST_CHARACTERS
        and not _SENTENCE_END.search(lead)
        and lead.count("`") % 2 == 0
        and lead.count("(") == lead.count(")")
        and lead.count("$") % 2 == 0
    )


def _number_in(lead: str) -> int | None:
    """The number with which a heading begins."""
    found = _LEADING_NUMBER.match(lead.lstrip("*_ "))
    return int(found[1]) if found else None


def _value(digits: str) -> int:
    if digits.isdecimal():
        return int(digits)
    if len(digits) == 1 and digits not in _HAN_DIGITS:
        return ord(digits) - ord("①") + 1
    tens, ten, ones = digits.rpartition("十")
    value = _HAN_DIGITS.index(ones) + 1 if ones else 0
    return value + (10 * (_HAN_DIGITS.index(tens) + 1 if tens else 1) if ten else 0)
