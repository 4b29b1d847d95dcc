"""Votes of a larger model, through any endpoint that speaks OpenAI's chat completions.

Three questions, each asked several times, and all votes must agree: are the parts independent; is the
structure well-formed; is it still the same answer. The last two are settled by the byte-exact round trip
already; they are asked all the same, so that a data set can be built as the paper builds its own.

Source: arXiv 2508.08895, section 3; the prompts were written for this project.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from aspd_local.data.example import Example, Rejection, Run, Segment, TrunkText, structure

STAGE = "judge"
Ask = Callable[[str, int], list[str]]  # a prompt and how many replies are wanted -> the replies
Vote = Literal["yes", "no", "unclear"]

_VERDICT = re.compile(r"\bverdict\b\W*(yes|no)\b", re.IGNORECASE)
_BARE = re.compile(r"\W*(yes|no)\W*", re.IGNORECASE)
_REPLY = 'Think briefly, then end with one line: "VERDICT: YES" or "VERDICT: NO".'

_INDEPENDENT = """\
Several writers are to write the parts of an answer at the same time. Each writer sees the question, the text
before the parts and the list of titles, but none of the other parts.

QUESTION
{question}

TEXT BEFORE THE PARTS
{before}

TITLES
{titles}

PARTS
{parts}

Could each part have been written like this, without knowing what the other parts say? Answer no if any part
uses a result, name, number or definition that only another part gives, refers to another part, or continues
it. {reply}"""

_FORMAT = """\
An answer was divided into serial text and blocks of parts. Parts of a block are shown between <part> and
</part>.

QUESTION
{question}

DIVIDED ANSWER
{divided}

Is it divided well: does every part begin and end where a point of the answer does, does its title say what
it is about, and is no sentence, list, code or formula cut in two?
{reply}"""

_SAME = """\
QUESTION
{question}

FIRST VERSION
{answer}

SECOND VERSION
{divided}

The second version has marks of the form <part title="..."> and </part>. Leaving these marks aside, do both
versions say the same, in the same order, with nothing missing and nothing added?
{reply}"""


@dataclass(frozen=True, kw_only=True)
class EndpointJudge:
    """A judge that asks. ask: sends a prompt, returns n_votes replies. n_votes: for each question."""

    ask: Ask
    n_votes: int = 3

    def independent(self, example: Example, run: Run) -> Rejection | None:
        """None where all votes call the parts independent. Raises: as ask."""
        parts = run.texts(example.answer)
        prompt = _INDEPENDENT.format(
            question=example.question,
            before=example.answer[: run.begin].strip() or "(none)",
            titles="\n".join(f"{i}. {title}" for i, title in enumerate(run.titles, 1)),
            parts="\n".join(f"<part>\n{part.strip()}\n</part>" for part in parts),
            reply=_REPLY,
        )
        return self._vote(prompt, "not independent")

    def same(self, example: Example, runs: Sequence[Run]) -> Rejection | None:
        """None where all votes find the structure well-formed and the answer unchanged. Raises: as ask."""
        divided = _divided(structure(example.answer, runs))
        question = example.question
        rejection = self._vote(
            _FORMAT.format(question=question, divided=divided, reply=_REPLY), "badly divided"
        )
        if rejection is not None:
            return rejection
        prompt = _SAME.format(question=question, answer=example.answer, divided=divided, reply=_REPLY)
        return self._vote(prompt, "not the same answer")

    def _vote(self, prompt: str, reason: str) -> Rejection | None:
        votes = [read_vote(reply) for reply in self.ask(prompt, self.n_votes)]
        if all(vote == "yes" for vote in votes):
            return None
        counts = ", ".join(f"{votes.count(vote)} {vote}" for vote in ("yes", "no", "unclear"))
        return Rejection(stage=STAGE, reason=reason, evidence=counts)


def read_vote(reply: str) -> Vote:
    """The last verdict of a reply; a bare yes or no counts as one."""
    found = _VERDICT.findall(reply) or [match[1] for match in [_BARE.fullmatch(reply)] if match]
    if not found:
        return "unclear"
    return "yes" if found[-1].lower() == "yes" else "no"


def _divided(segments: Sequence[Segment]) -> str:
    pieces: list[str] = []
    for segment in segments:
        if isinstance(segment, TrunkText):
            pieces.append(segment.text)
        else:
            pieces += [
                f'<part title="{each.title}">\n{each.text.rstrip()}\n</part>\n' for each in segment.branches
            ]
    return "".join(pieces)
