"""What the words of a part say about its siblings: references, steps of a procedure, names and numbers.

Knows no model. English only: in other languages it finds names and numbers alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from aspd_local.data import phrases
from aspd_local.data.example import Kind
from aspd_local.data.mentions import names, numbers
from aspd_local.data.titles import body_of, clean, first_line, lead_in

STAGE = "lexical"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A sign that a part needs a sibling.

    Attributes:
        branch: number of the part, from 1.
        reason: one of few, to be counted.
        evidence: the words.
    """

    branch: int
    reason: str
    evidence: str


_LEAD_IN = re.compile(r"[^:]{1,80}?(?:: | - | \u2013 )")
_INTRODUCED = re.compile(r"\b(?:a|an) ([a-z-]{3,})(?: ([a-z]{3,}))?\b")
_DEFINITE = re.compile(r"\bthe ([a-z]{3,})\b(?! (?:of|that|which|who|for|in|to|and|or)\b)")
_SENTENCE_ENDS = re.compile(r"[.!?:]$|[.!?] | [-\u2013]$")
_EVERYONES = frozenset("day type kind sort way case time thing people circumstance".split())  # noqa: SIM905
_SEQUENCED = ("numbered", "bulleted", "ordinal", "label", "headings", "bold")


def find_references(before: str, parts: Sequence[str], titles: Sequence[str], kind: Kind) -> list[Reference]:
    """What speaks against the parts being independent; empty where nothing does.

    Args:
        before: the question and the answer up to the parts.
        parts, titles: [n_parts].
        kind: how the parts were told apart.
    """
    found = list(_procedure(before, parts, kind))
    for number, part in enumerate(parts[1:], 2):
        found += _in_part(number, part, kind)
    found += comparisons(parts, titles)
    found += demonstratives(before, parts)
    found += names_of_siblings(before, parts, titles)
    found += things_of_siblings(before, parts, titles)
    return found


def _procedure(before: str, parts: Sequence[str], kind: Kind) -> Iterator[Reference]:
    """Steps in an order: labelled so, announced so, asked for, or told so."""
    first_lines = [body_of(first_line(part)).lstrip("*_ ") for part in parts]

    def ordered(evidence: str) -> Reference:
        return Reference(branch=1, reason="ordered procedure", evidence=evidence.strip()[:40])

    if all(map(phrases.STEP.match, first_lines)):
        yield ordered(first_lines[0])
    elif (kind in _SEQUENCED and (match := phrases.ANNOUNCED.search(_last_paragraph(before)))) or (
        kind in _SEQUENCED
        and phrases.OPENS.match(first_lines[0])
        and (match := phrases.ASKED.search(before) or phrases.CLOSES.match(first_lines[-1]))
    ):
        yield ordered(match[0])
    elif kind == "ordinal" and sum(map(bool, map(phrases.THEN.match, first_lines))) > 1:
        yield ordered(first_lines[-1])


def _last_paragraph(text: str) -> str:
    """The last two lines before the parts: a heading and what it says."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-2:])


def _in_part(number: int, part: str, kind: Kind) -> Iterator[Reference]:
    if match := phrases.BACK.search(clean(part)):
        yield Reference(branch=number, reason="refers to a sibling", evidence=match[0])
    body = clean(body_of(first_line(part)))
    match = phrases.CONTINUES.match(body)
    if (match and not (kind == "ordinal" and phrases.ENUMERATES.match(body))) or (
        match := phrases.CONTINUES_TITLE.match(_after_lead_in(body))
    ):
        yield Reference(branch=number, reason="starts as a continuation", evidence=match[0])
    # "**Title**: This ..." speaks of its own title
    if match := phrases.PRONOUN.match(lead_in(part) or body):
        yield Reference(branch=number, reason="starts with a pronoun", evidence=match[0])


def _after_lead_in(body: str) -> str:
    """The text behind a lead-in; "" where there is none."""
    found = _LEAD_IN.match(body)
    return body[found.end() :] if found else ""


def comparisons(parts: Sequence[str], titles: Sequence[str]) -> Iterator[Reference]:
    """ "Like oak, it ..." where an earlier sibling is called oak: what is said of it is needed."""
    own = [
        {word.lower() for word in _words(title)} if lead_in(part) == title else set[str]()
        for part, title in zip(parts, titles, strict=True)
    ]
    for number, part in enumerate(parts[1:], 2):
        names = set().union(*own[: number - 1]) - own[number - 1]
        for match in phrases.COMPARED.finditer(clean(part)):
            if any(_alike(match[1].lower(), name) for name in names):
                yield Reference(branch=number, reason="compares with a sibling", evidence=match[0])


def demonstratives(before: str, parts: Sequence[str]) -> Iterator[Reference]:
    """ "Despite these treatments": things in a part's first sentence that nothing but a sibling has named."""
    named = before.lower()
    for number, part in enumerate(parts[1:], 2):
        text = clean(body_of(first_line(part)))
        for match in phrases.THESE.finditer(text):
            own = text[: match.start()].rstrip()
            if not own or _SENTENCE_ENDS.search(own):
                break  # the title or the sentence before it is spoken of
            thing = match[1].lower()
            if thing not in named and thing not in own.lower() and thing not in _EVERYONES:
                yield Reference(branch=number, reason="refers to a sibling", evidence=match[0])


def _alike(word: str, name: str) -> bool:
    """Whether they are the same but for an ending."""
    return word == name or (
        min(len(name), len(word)) > 2 and (word.startswith(name) or name.startswith(word))
    )


def names_of_siblings(before: str, parts: Sequence[str], titles: Sequence[str]) -> Iterator[Reference]:
    """Names and numbers that a part takes from an earlier sibling: neither question nor titles have them."""
    known_names = names(before) | names("\n".join(titles)) | _words(before) | _words(" ".join(titles))
    known_numbers = numbers(before) | numbers("\n".join(titles))
    seen_names: set[str] = set()
    seen_numbers: set[str] = set()
    for number, part in enumerate(parts, 1):
        part_names, part_numbers = names(part), numbers(part)
        if number > 1:
            for name in sorted((part_names & seen_names) - known_names):
                yield Reference(branch=number, reason="a sibling's name", evidence=name)
            shared = sorted((part_numbers & seen_numbers) - known_numbers)
            # two digits may be the same by chance, once
            if len(shared) > 1 or any(len(value) > 2 for value in shared):
                yield Reference(branch=number, reason="a sibling's number", evidence=", ".join(shared))
        seen_names |= part_names
        seen_numbers |= part_numbers


def things_of_siblings(before: str, parts: Sequence[str], titles: Sequence[str]) -> Iterator[Reference]:
    """ "a timer" in a part, "the timer" in a later one: what only the first has told of."""
    known = {word.lower() for word in _words(before) | _words(" ".join(titles))}
    seen: set[str] = set()
    for number, part in enumerate(parts, 1):
        text = clean(part).lower()
        introduced = _INTRODUCED.findall(text)
        own = {word for pair in introduced for word in pair}
        for thing in sorted(set(_DEFINITE.findall(text)) & (seen - own - known)):
            yield Reference(branch=number, reason="a sibling's thing", evidence=f"the {thing}")
        seen |= {second or first for first, second in introduced}


@lru_cache(maxsize=64)
def _words(text: str) -> frozenset[str]:
    return frozenset(word for word in re.findall(r"[^\W\d_][\w'-]*", text))
