"""What the words of a part say about its siblings: references, steps of a procedure, names and numbers.

Knows no model. English only: in other languages it finds names and numbers alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

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


# Anywhere in parts 2 ... n.
_BACK = re.compile(
    r"\b(?:as|like) (?:mentioned|noted|described|stated|explained|discussed|shown|listed|seen|said|before|above|"
    r"previously)\b|\b(?:mentioned|described|listed|discussed|created|prepared|chosen|obtained|calculated|defined|found)"
    r" (?:above|earlier|before|previously)\b|\b(?:the )?above[- ](?:mentioned|step|point|example|method|result|code|"
    r"formula|equation|list)|\baforementioned\b|\bthe (?:former|latter)\b|"
    r"\b(?:the |this |that |these |those |your )?(?:previous|preceding|prior|earlier|last|next|following|other|remaining) "
    r"(?:\w+ )?(?:steps?|points?|items?|parts?|sections?|examples?|results?|values?|methods?|options?|answers?|"
    r"questions?|paragraphs?|stages?|phases?|tips?|reasons?|ones?|two|three|four)\b|"
    r"\b(?:this|that|these|those) (?:steps?|processe?s?|results?|values?|numbers?|amounts?|sums?|totals?|answers?|"
    r"equations?|differences?|products?|figures?|balances?|scores?)\b(?! (?:can|may|might) (?:be found|vary))|"
    r"\b(?:in|from|of|see|repeat|to|at|after|before|and|with) (?:step|point|item|part|section|stage|phase|option|"
    r"method|question|number|no\.) ?#?\d+|\bsteps? \d+ ?(?:-|–|to|and|through) ?\d+|\bfrom before\b|\bagain,? as\b|"  # noqa: RUF001
    r"\bunlike (?:the|that|this)\b|\b(?:the )?same (?:as (?:above|before)|way as|procedure|steps?)\b|"
    r"\bwhat (?:you|we) (?:just|already)\b|\b(?:repeat|reverse) (?:the|this|these)\b|\ball (?:of )?(?:the |these )?above\b|"
    r"\b(?:once|after|when|now that|because|since) (?:that|this|it|they|he|she|these|those|you have|you've|we have|"
    r"everything|all)\b[^.]{0,30}\b(?:is|are|was|were|has|have|had|done|ready|finished|complete[d]?)\b",
    re.IGNORECASE,
)
# At the start of parts 2 ... n, behind their marks.
_START = re.compile(
    r"(?:then|next|after|afterwards|afterward|once|now|finally|lastly|similarly|likewise|also|additionally|furthermore|"
    r"moreover|besides|however|therefore|thus|hence|consequently|as a result|in contrast|on the other hand|conversely|"
    r"instead|alternatively|otherwise|meanwhile|later|subsequently|by contrast|in addition|another|other|again|so|"
    r"and|but|or|for this reason|from (?:there|this|that|here)|with (?:that|this|these|those|it)|at that|by then|"
    r"last(?:ly)?|continue|repeat|when (?:done|finished|ready)|both|even so|still|yet|because of (?:this|that)|"
    r"adding|subtracting|combining|given that|using (?:that|this|these|those))\b",
    re.IGNORECASE,
)
_ENUMERATION = re.compile(r"(?:another|next|finally|lastly|also|also,|last(?:ly)?|other)\b", re.IGNORECASE)
_PRONOUN = re.compile(
    r"(?:it|its|it's|they|their|them|he|him|his|she|her|hers|this|that|these|those|such|there|here|one of (?:them|these))\b",
    re.IGNORECASE,
)
_STEP = re.compile(r"(?:\*\*)?(?:step|phase|stage|week|day|month|round|level|chapter|act|scene)\s*#?\d+", re.IGNORECASE)
_PROCEDURE = re.compile(
    r"\b(?:these|following|this|the|simple|basic|general|few|some|necessary|by|\d+)[- ](?:\w+ )?(?:steps?|procedure|"
    r"instructions|process|recipe|guide|timeline|sequence|chronolog\w+|order)\b|\bstep[- ]by[- ]step\b|\bhere(?:'s| is) how\b|"
    r"\b(?:steps|instructions|directions|procedure|method|recipe|timeline|algorithm|derivation|proof|solution)\b[^\n]{0,60}:\s*\**\s*$|"
    r"\bfollow (?:these|the|this)\b|\bin (?:this|the following|chronological) order\b",
    re.IGNORECASE,
)
_THEN = re.compile(r"\b(?:then|next|after (?:that|this)|once|finally)\b", re.IGNORECASE)
_SEQUENCED = ("numbered", "ordinal", "label")


def find_references(
    before: str, parts: Sequence[str], titles: Sequence[str], kind: Kind
) -> list[Reference]:
    """What speaks against the parts being independent; empty where nothing does.

    Args:
        before: the question and the answer up to the parts.
        parts, titles: [n_parts].
        kind: how the parts were told apart.
    """
    found = list(_procedure(before, parts, kind))
    for number, part in enumerate(parts[1:], 2):
        found += _in_part(number, part, kind)
    found += names_of_siblings(before, parts, titles)
    return found


def _procedure(before: str, parts: Sequence[str], kind: Kind) -> Iterator[Reference]:
    """Steps in an order: labelled so, announced so, or told so."""
    steps = [_STEP.match(body_of(first_line(part)).lstrip("*_ ")) for part in parts]
    if all(steps):
        yield Reference(branch=1, reason="ordered procedure", evidence=first_line(parts[0])[:40])
        return
    announced = _last_paragraph(before)
    if kind in _SEQUENCED and (match := _PROCEDURE.search(announced)):
        yield Reference(branch=1, reason="ordered procedure", evidence=match[0].strip())
        return
    if kind == "ordinal":
        rest = [number for number, part in enumerate(parts, 1) if _THEN.match(body_of(first_line(part)))]
        if len(rest) > 1:
            yield Reference(branch=rest[0], reason="ordered procedure", evidence=first_line(parts[rest[0] - 1])[:40])


def _last_paragraph(text: str) -> str:
    """The paragraph right before the parts, or the heading and the paragraph before it."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-2:])


def _in_part(number: int, part: str, kind: Kind) -> Iterator[Reference]:
    text = clean(part)
    if match := _BACK.search(text):
        yield Reference(branch=number, reason="refers to a sibling", evidence=match[0])
    body = clean(body_of(first_line(part)))
    match = _START.match(body)
    if match and not (kind == "ordinal" and _ENUMERATION.match(body)):
        yield Reference(branch=number, reason="starts as a continuation", evidence=match[0])
    # "**Title**: This ..." speaks of its own title
    if lead_in(part) is None and (match := _PRONOUN.match(body)):
        yield Reference(branch=number, reason="starts with a pronoun", evidence=match[0])
    elif (title := lead_in(part)) and (match := _PRONOUN.match(title)):
        yield Reference(branch=number, reason="starts with a pronoun", evidence=match[0])
    after = _after_lead_in(part)
    if after and (match := _START.match(after)) and match[0].lower() in _AFTER_TITLE:
        yield Reference(branch=number, reason="starts as a continuation", evidence=match[0])


_AFTER_TITLE = {"then", "next", "afterwards", "after", "once", "now", "now that", "therefore", "thus", "hence", "finally"}


def _after_lead_in(part: str) -> str:
    body = clean(body_of(first_line(part)))
    for mark in (": ", " - ", " – "):  # noqa: RUF001
        head, found, rest = body.partition(mark)
        if found and len(head.split()) <= 10:
            return rest
    return ""


def names_of_siblings(before: str, parts: Sequence[str], titles: Sequence[str]) -> Iterator[Reference]:
    """Names and numbers that a part takes from an earlier sibling: neither question nor titles have them."""
    known_names = names(before) | names("\n".join(titles)) | _words(before) | _words(" ".join(titles))
    known_numbers = numbers(before) | numbers("\n".join(titles))
    seen_names: set[str] = set()
    seen_numbers: set[str] = set()
    for number, part in enumerate(parts, 1):
        own = first_line(part) if number == 1 else part
        part_names, part_numbers = names(part), numbers(own if number == 1 else part)
        if number > 1:
            for name in sorted((part_names & seen_names) - known_names):
                yield Reference(branch=number, reason="a sibling's name", evidence=name)
            for value in sorted((part_numbers & seen_numbers) - known_numbers):
                yield Reference(branch=number, reason="a sibling's number", evidence=value)
        seen_names |= part_names
        seen_numbers |= numbers(part)


@lru_cache(maxsize=64)
def _words(text: str) -> frozenset[str]:
    return frozenset(word for word in re.findall(r"[^\W\d_][\w'-]*", text))
