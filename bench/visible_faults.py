"""Faults of an answer that a reader sees, by rules on its text alone: the same for serial and parallel ones.

repeated items: two items of a list have the same lead, or the same body of more than a few letters.
empty items: an item says nothing, or its lead ends with a colon or dash and nothing follows, or it has a lead
    alone where two thirds of the other leads in its list have more.
numbering: the numbers of a list that stands in no other do not go up by one.
language: letters of a script that neither the question nor its language uses, or hardly any of its own
    script. Code does not count; answers to translation tasks are not looked at.
cut: the answer ended at the limit of tokens.
repetition: sentences or runs of words that come again, as aspd_local.eval.faults counts it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import shown_lists
from shown_lists import ShownList

KINDS = ("repeated items", "empty items", "numbering", "language", "cut", "repetition")

_SAID = re.compile(r"\w")
_PUNCTUATION = re.compile(r"(?:[^\w+#]|_)+")  # C, C++ and C# are three things
_INLINE_CODE = re.compile(r"`[^`\n]*`")
_LEAST_BODY_BYTES = 12  # of a body without punctuation: the same "Yes" or "500 g" twice is no fault
_LEAST_LETTERS = 40
_LEAST_OWN_SHARE = 0.2
_SCRIPTS = {
    "ARABIC",
    "ARMENIAN",
    "BENGALI",
    "CJK",
    "CYRILLIC",
    "DEVANAGARI",
    "GEORGIAN",
    "GREEK",
    "HANGUL",
    "HEBREW",
    "HIRAGANA",
    "KATAKANA",
    "LATIN",
    "TAMIL",
    "THAI",
}
_EVERYWHERE = {"LATIN", "GREEK"}  # names, units, formulas
_OWN_SCRIPTS = {"ru": {"CYRILLIC"}, "zh": {"CJK"}, "ja": {"CJK", "HIRAGANA", "KATAKANA"}}


def visible_faults(
    text: str, *, language: str, question: str = "", kind: str = "", finish_reason: str = "stop"
) -> tuple[str, ...]:
    """The kinds of faults that an answer has, each once, in the order of KINDS."""
    found = shown_lists.lists(text)
    has = {
        "repeated items": any(map(has_repeated_items, found)),
        "empty items": any(map(has_empty_items, found)),
        "numbering": any(map(is_misnumbered, found)),
        "language": kind != "translation" and is_wrong_language(text, language, question),
        "cut": finish_reason == "length",
        "repetition": _repeats(text),
    }
    return tuple(fault for fault in KINDS if has[fault])


def has_repeated_items(shown: ShownList) -> bool:
    """Whether two items have the same lead, or the same body."""
    leads = Counter(_normal(item.lead) for item in shown.items if item.closed)
    bodies = Counter(_normal(item.body) or _normal(item.lead) for item in shown.items)
    return any(n > 1 for lead, n in leads.items() if lead) or any(
        n > 1 for body, n in bodies.items() if len(body.encode()) >= _LEAST_BODY_BYTES
    )


def has_empty_items(shown: ShownList) -> bool:
    """Whether an item lacks what its form promises, or what most others of its list have behind a lead."""
    has_body = [bool(_SAID.search(item.body)) for item in shown.items]
    n_others = sum(bool(item.closed) for item in shown.items) - 1
    n_full = sum(bool(item.closed) and body for item, body in zip(shown.items, has_body, strict=True))
    lead_alone_is_empty = n_full > 0 and 3 * n_full >= 2 * n_others
    return any(
        not body and (item.closed not in ("bold", "heading") or lead_alone_is_empty)
        for item, body in zip(shown.items, has_body, strict=True)
    )


def is_misnumbered(shown: ShownList) -> bool:
    """Whether the numbers of a list that stands in no other do not go up by one."""
    numbers = [item.number for item in shown.items if item.number is not None]
    return not shown.inner and any(b != a + 1 for a, b in pairwise(numbers))


def is_wrong_language(text: str, language: str, question: str = "") -> bool:
    """Whether a text uses letters of a foreign script, or hardly any letters of its language's own."""
    own = _OWN_SCRIPTS.get(language, {"LATIN"})
    found = Counter(_scripts(_INLINE_CODE.sub(" ", shown_lists.without_code(text))))
    if set(found) - own - _EVERYWHERE - set(_scripts(question)):
        return True
    n_letters = found.total()
    return n_letters >= _LEAST_LETTERS and sum(found[each] for each in own) < _LEAST_OWN_SHARE * n_letters


def _scripts(text: str) -> Iterator[str]:
    """The script of each letter, where it is one of those that are known here."""
    for character in text:
        if not character.isalpha():
            continue
        if character.isascii():
            yield "LATIN"
            continue
        words = re.split(r"[ -]", unicodedata.name(character, ""))
        script = words[1] if words[0] in ("FULLWIDTH", "HALFWIDTH") and len(words) > 1 else words[0]
        if script in _SCRIPTS and "SOUND" not in words:  # the long sound mark
            yield script


def _repeats(text: str) -> bool:
    from aspd_local.eval.attempt import Attempt
    from aspd_local.eval.faults import faults

    attempt = Attempt(text=text, n_words=0, n_text_tokens=0, phases={}, first_token_s=0.0, seconds=0.0)
    return "repetition" in faults(attempt)


def _normal(text: str) -> str:
    """Without case, punctuation and markup."""
    return _PUNCTUATION.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()
