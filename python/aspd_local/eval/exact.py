"""Whether an answer is right, where the right answer is known."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal, InvalidOperation

from aspd_local.eval.suites import Question

_NUMBER = re.compile(r"[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")  # noqa: RUF001
_SAID = re.compile(
    r"(?:####|\\boxed\{|answer(?: is|:)|total(?: is|:))[^\d\n]{0,40}" + _NUMBER.pattern, re.IGNORECASE
)


def right_share(question: Question, text: str) -> float | None:
    """How much of what is known of the answer the text holds, 0 to 1; None where nothing is known."""
    if question.number is not None:
        return float(_same_number(final_number(text), question.number))
    if question.facts:
        held = [any(_holds(text, each) for each in fact) for fact in question.facts]
        return sum(held) / len(held)
    return None


def final_number(text: str) -> str | None:
    """The number that a text ends with: behind "####", a box or "answer is" if there is such, else the last
    one.
    """
    said = list(_SAID.finditer(text))
    numbers = _NUMBER.findall(said[-1][0] if said else text)
    return numbers[-1] if numbers else None


def _same_number(found: str | None, right: str) -> bool:
    if found is None:
        return False
    try:
        return _decimal(found) == _decimal(right)
    except InvalidOperation:
        return False


def _decimal(text: str) -> Decimal:
    return Decimal(text.replace(",", "").replace("−", "-"))  # noqa: RUF001


def _holds(text: str, fact: str) -> bool:
    """Whether a text holds a fact as whole words; case, accents' form and white space do not count."""
    wanted = r"\s+".join(map(re.escape, _folded(fact).split()))
    return re.search(rf"(?<!\w){wanted}(?!\w)", _folded(text)) is not None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().replace("*", "").replace("’", "'")  # noqa: RUF001
