"""Names and numbers in a text, as far as they can be told without a model."""

from __future__ import annotations

import re
from functools import lru_cache

from aspd_local.data.titles import clean

_WORD = re.compile(r"[^\W\d_][\w'’&-]*|[.!?:;\n\"“(*•-]")  # noqa: RUF001
_ENDS = frozenset('.!?:;\n"“(*•-')
# a mark of a list at the start of a line is no number; neither is what is part of a word
_NUMBER = re.compile(r"(?<![\w.,])[$€£]?(\d[\d,]*(?:\.\d+)?)(?![\w])%?")
_LIST_MARK = re.compile(r"^\s*(?:\(?\d{1,3}[.):]|[-*+•#]+)\s", re.MULTILINE)
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_INITIALISM = re.compile(r"\(([A-Z]{2,6})\)")

# Names that a writer needs no sibling for, lower case.
_EVERYDAY = frozenset(
    """
    i i'm i've i'll i'd january february march april may june july august september october november december
    monday tuesday wednesday thursday friday saturday sunday english spanish french german chinese japanese
    italian russian latin greek arabic american british european african asian indian canadian australian
    western eastern northern southern america europe africa asia australia canada china japan india germany
    france italy spain russia england britain us usa uk eu u.s. united states kingdom god bible internet web
    wi-fi wifi google youtube facebook twitter instagram linkedin amazon apple microsoft windows linux mac
    macos android ios iphone python java javascript html css sql c c++ http https api apis url pdf tv dvd cd
    usb cpu gpu ram pc ai ml nlp it dna rna covid-19 covid ph roman christian christmas world war earth sun
    moon north south east west mr mrs ms dr ok diy faq ceo gb mb tip note example option reason step pros
    cons yes no
    """.split()  # noqa: SIM905
)
# Numbers that everyone uses.
_ROUND = frozenset(
    "0 1 2 3 4 5 6 7 8 9 10 12 15 20 24 25 30 40 45 50 60 70 80 90 100 200 365 500 1000".split()  # noqa: SIM905
)


@lru_cache(maxsize=4096)
def names(text: str) -> frozenset[str]:
    """Words with a capital inside a sentence, and short forms in brackets; everyday ones left out."""
    plain = clean_lines(text)
    found = set(_INITIALISM.findall(plain))
    start = True
    for match in _WORD.finditer(plain):
        word = match[0]
        if word in _ENDS:
            start = start or word in '.!?:\n"“(*•-'
            continue
        word = word.rstrip("'’").removesuffix("'s").removesuffix("’s")  # noqa: RUF001
        if not start and word[:1].isupper() and word.lower() not in _EVERYDAY and len(word) > 1:
            found.add(word)
        start = False
    return frozenset(found)


@lru_cache(maxsize=4096)
def numbers(text: str) -> frozenset[str]:
    """Numbers in digits, as they are written without commas; round ones and years left out."""
    plain = _CODE.sub(" ", _LIST_MARK.sub(" ", text))
    written = {match[1].rstrip(",") for match in _NUMBER.finditer(plain)}
    values = {value.replace(",", "") for value in written if not _is_year(value)}
    return frozenset(values - _ROUND)


def clean_lines(text: str) -> str:
    """The text without code and inline markup, its lines kept apart."""
    return "\n".join(clean(line) for line in _CODE.sub(" ", text).splitlines())


def _is_year(value: str) -> bool:
    return len(value) == 4 and value.isdigit() and 1000 <= int(value) <= 2100
