"""A title for each part: what a plan would say of it; and the words of the part that say it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

MAX_WORDS = 10
_FIRST_WORDS = (5, 6, 7, 8, 9, 10)  # as few as make the titles of a block differ
_MARK = re.compile(r"^(?:\s*(?:[-*+•◦▪]|\(?\d{1,3}[.):]|\(?[A-Za-z][.)]|#{1,6}|>)(?=\s))+\s*")
_BOLD = re.compile(r"^(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_COLON = re.compile(r":(?=\s|$|\*)")
_DASH = re.compile(r"\s+[-–—]\s+")  # noqa: RUF001
_DASHES = frozenset("-–—")  # noqa: RUF001
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARKUP = re.compile(r"\*\*|__|~~|`|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)|</?\w+>")
_MARKUP_CHARACTERS = frozenset("*_~`<")
_ENDS = " \t.,:;-–—|"  # noqa: RUF001
_WORD = re.compile(r"\S+")
_LABEL = re.compile(r"(?:[A-Z][a-z]* ?)?#?(?:\d{1,2}|[A-Z]|[IVX]{1,4})", re.ASCII)


class _Opening(NamedTuple):
    """A title, and where in its part what says it ends, in code points."""

    title: str
    end: int


def titles(parts: Sequence[str]) -> tuple[str, ...] | None:
    """A title of at most ten words for each part, all different; None where there are none.

    parts: [n_parts], texts with their markup.
    """
    ends = _opening_ends(parts)
    return None if ends is None else tuple(title for title, _ in ends)


def openings(parts: Sequence[str]) -> tuple[str, ...] | None:
    """How each part begins, as far as its title goes: with its list mark, its emphasis and its colon.

    A label that says nothing of its part ("Q1:", "Option B:") takes a few more words with it.

    parts: [n_parts], texts with their markup. None where there are no titles, or a part begins with a blank
        line.
    """
    ends = _opening_ends(parts)
    if ends is None or any(part.lstrip(" ")[:1].isspace() for part in parts):
        return None
    return tuple(
        part[: _telling_end(part, end) if _LABEL.fullmatch(title) else end].rstrip()
        for part, (title, end) in zip(parts, ends, strict=True)
    )


def _telling_end(part: str, end: int) -> int:
    """Where the first words behind a label end, on its line."""
    words = [match.end() for match in _WORD.finditer(part[end:].partition("\n")[0])]
    return end + words[: _FIRST_WORDS[0]][-1] if words else end


def _opening_ends(parts: Sequence[str]) -> list[_Opening] | None:
    """Titles of parts, all different, and where in each part what says them ends, [n_parts]."""
    if not parts:
        return None
    given = [_named(part) for part in parts]
    named = [opening for opening in given if opening is not None]
    if len(named) == len(given) and _differ(named):
        return named
    for n_words in _FIRST_WORDS:
        found = [name or _first(part, n_words) for name, part in zip(given, parts, strict=True)]
        if _differ(found):
            return found
    found = [_first(part, MAX_WORDS) for part in parts]
    return found if _differ(found) else None


def lead_in(part: str) -> str | None:
    """What a part calls itself: its heading, bold lead-in, or the text before its first colon or dash."""
    named = _named(part)
    return None if named is None else named.title


def _named(part: str) -> _Opening | None:
    line = first_line(part)
    at = part.find(line)
    body = body_of(line)
    begin = line.find(body) if body else 0
    if line.lstrip().startswith("#"):
        return _opening(body, at + begin + len(body))
    if line.lstrip().startswith("|"):
        cells = [cell for cell in line.strip().strip("|").split("|") if cell.strip()]
        first = cells[0] if cells else ""
        return _opening(first, at + line.find(first) + len(first))
    if bold := _BOLD.match(body):
        behind = body[bold.end() :]
        return _opening(bold[2], at + begin + bold.end() + len(behind) - len(behind.removeprefix(":")))
    colon = _COLON.search(body) if ":" in body else None
    dash = None if _DASHES.isdisjoint(body) else _DASH.search(body)
    ends = [match.span() for match in (colon, dash) if match is not None]
    if not ends:
        return None
    head = body[: min(ends)[0]]
    # an odd number of marks: the colon is inside code, a formula or brackets
    if head.count("`") % 2 or head.count("$") % 2 or head.count("(") != head.count(")") or ". " in head:
        return None
    return _opening(head, at + begin + min(ends)[1])


def _first(part: str, n_words: int) -> _Opening:
    """The first words of a part, without markup."""
    line = first_line(part)
    body = body_of(line)
    words = [match.end() for match in _WORD.finditer(body)][:n_words]
    end = part.find(line) + (line.find(body) if body else 0) + (words[-1] if words else 0)
    return _Opening(" ".join(clean(body).split()[:n_words]).strip(_ENDS), end)


def body_of(line: str) -> str:
    """A line without the marks of its list or heading."""
    mark = _MARK.match(line)
    return line[mark.end() :].strip() if mark else line.strip()


def first_line(part: str) -> str:
    """The first line that is not blank; "" if there is none."""
    head = part.partition("\n")[0]
    return next((line for line in (head if head.strip() else part).splitlines() if line.strip()), "")


def clean(text: str) -> str:
    """Inline markup removed, white space made single."""
    if "](" in text:
        text = _LINK.sub(r"\1", text)
    if not _MARKUP_CHARACTERS.isdisjoint(text):
        text = _MARKUP.sub("", text)
    return " ".join(text.split())


def _opening(text: str, end: int) -> _Opening | None:
    title = clean(text).strip(_ENDS)
    if not title or len(title.split()) > MAX_WORDS or not any(map(str.isalnum, title)):
        return None
    return _Opening(title, end)


def _differ(found: Sequence[_Opening]) -> bool:
    folded = {opening.title.casefold() for opening in found}
    return len(folded) == len(found) and "" not in folded
