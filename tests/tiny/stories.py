"""Scripts that several tests tell: answers with blocks whose wording the context decides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tiny.script import Script
from tiny.vocabulary import BRANCH, BRANCH_END, EOS, PARA, PARA_END, TITLE, TITLE_END

_BODY = "klmnopqrstuvwxyz"
_TRUNK = "KLMNOPQRSTUVWXYZ"


def plan(titles: Iterable[str]) -> str:
    return "".join(f"{TITLE}{title}{TITLE_END}" for title in titles) + PARA


def block(branches: Mapping[str, str]) -> str:
    """A block as the model would write it serially. branches: body by title."""
    bodies = "".join(f"{BRANCH}{title}:{body}{BRANCH_END}" for title, body in branches.items())
    return plan(branches) + bodies + PARA_END


def ladder(first: str, rungs: str, end: str) -> dict[str, Sequence[str]]:
    """Choices that climb: after `first`, and after each rung, comes one of the next four rungs or the end."""
    steps: dict[str, Sequence[str]] = {first: list(rungs[:4])}
    for i, rung in enumerate(rungs):
        steps[rung] = [*rungs[i + 1 : i + 4], end]
    return steps


def forking(*plans: str) -> Script:
    """The digit n is followed by the n-th of plans, bodies and a closing text, worded as the context decides.

    plans: one letter a title, each in one plan only. Without a protocol only the first branch is written.
    """
    texts = [f"{BRANCH_END}{PARA_END}"]
    for digit, titles in enumerate(plans, 1):
        texts.append(f"{digit}{plan(titles)}{BRANCH}{titles[0]}:")  # no text knows what follows the colon
    choices = ladder(":", _BODY, BRANCH_END) | ladder(PARA_END, _TRUNK, EOS)
    return Script(texts, choices)


STORY = {"a": "one", "b": "two→2!", "c": "é"}  # titles and bodies
STORY_END = "So."


def fixed() -> Script:
    """After "1" comes STORY, then STORY_END, always the same."""
    return Script([f"1Hm{block(STORY)}{STORY_END}{EOS}"])
