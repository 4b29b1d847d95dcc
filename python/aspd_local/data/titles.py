"""A title for each part: what a plan would say of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

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


def titles(parts: Sequence[str]) -> tuple[str, ...] | None:
    """A title of at most ten words for each part, all different; None where there are none.

    parts: [n_parts], texts with their markup.
    """
    if not parts:
        return None
    given = [lead_in(part) for part in parts]
    if all(given) and _differ([title for title in given if title]):
        return tuple(title for title in given if title)
    for n_words in _FIRST_WORDS:
        found = [title or first_words(part, n_words) for title, part in zip(given, parts, strict=True)]
        if all(found) and _differ(found):
            return tuple(found)
    found = [first_words(part, MAX_WORDS) for part in parts]
    return tuple(found) if all(found) and _differ(found) else None


def lead_in(part: str) -> str | None:
    """What a part calls itself: its heading, bold lead-in, or the text before its first colon or dash."""
    line = first_line(part)
    body = body_of(line)
    if line.lstrip().startswith("#"):
        return _short(body)
    if line.lstrip().startswith("|"):
        return _short(next((cell for cell in line.strip().strip("|").split("|") if cell.strip()), ""))
    if bold := _BOLD.match(body):
        return _short(bold[2])
    colon = _COLON.search(body) if ":" in body else None
    dash = None if _DASHES.isdisjoint(body) else _DASH.search(body)
    ends = [match.start() for match in (colon, dash) if match is not None]
    if not ends:
        return None
    head = body[: min(ends)]
    # an odd number of marks: the colon is inside code, a formula or brackets
    if head.count("`") % 2 or head.count("$") % 2 or head.count("(") != head.count(")") or ". " in head:
        return None
    return _short(head)


def first_words(part: str, n_words: int) -> str:
    """The first words of a part, without markup."""
    text = clean(body_of(first_line(part)))
    return " ".join(text.split()[:n_words]).strip(_ENDS)


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


def _short(text: str) -> str | None:
    title = clean(text).strip(_ENDS)
    return title if title and len(title.split()) <= MAX_WORDS and any(map(str.isalnum, title)) else None


def _differ(found: Sequence[str]) -> bool:
    return len({title.casefold() for title in found}) == len(found)
