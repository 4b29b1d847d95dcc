"""Who answers: the same weights on the same machine, each in its own way.

serial: one token after another.
parallel: the protocol that fits the model.
PROTOCOL, PROTOCOL:RULE: that protocol, with its own or another join rule.
reprefill: as parallel, but branches are decoded again at the join, as training-free predecessors do.
skeleton: Skeleton-of-Thought (arXiv 2307.15337): a request for an outline, then one for each point, all at
once. ngram: serial, with llama.cpp's n-gram speculation in `llama-server` (llama_server.py).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from aspd_local import protocol
from aspd_local.chat import Message
from aspd_local.eval.attempt import Attempt, Part
from aspd_local.eval.config import SERIAL, EvalConfig
from aspd_local.events import Done, End, Event, Fork, Text, Unfork, branch_name
from aspd_local.layout import JOIN_RULES, JoinRule
from aspd_local.model import Model
from aspd_local.results import Answer
from aspd_local.typing import AnswerOptions

NGRAM = "ngram"
_POINT = re.compile(r"^\s*(?:\d{1,2}[.):]|[-*+•])\s+(\S.*?)\s*$", re.MULTILINE)
_MOST_POINTS = 8
_OUTLINE = """\
{question}

Do not answer yet. First write only the outline of a good answer: a numbered list of 3 to 8 points that do not
depend on each other, each of 3 to 6 words and nothing else."""
_EXPAND = """\
{question}

The outline of the answer is:
{outline}

Write only point {number}, "{point}", in one to three sentences. Do not write the other points."""


class Contestant(Protocol):
    """Answers the last of some turns."""

    def warm_up(self) -> None:
        """Brings what does not depend on the question into the cache: instructions, the template."""

    def answer(self, messages: Sequence[Message], seed: int) -> Attempt:
        """Raises AspdError."""


def make(name: str, model: Model, config: EvalConfig) -> Contestant:
    """A contestant that uses this model; not "ngram", which has its own.

    Raises:
        ValueError: an unknown name, or a protocol that the model cannot speak.
    """
    if name == SERIAL:
        return EngineContestant(model, config, parallel="off", rule=None)
    if name == "parallel":
        return EngineContestant(model, config, parallel=_own_protocol(model), rule=None)
    if name == "reprefill":
        return EngineContestant(model, config, parallel=_own_protocol(model), rule="linear")
    if name == "skeleton":
        return SkeletonContestant(model, config)
    protocol_name, _, wanted = name.partition(":")
    if protocol_name not in protocol.names():
        known = [SERIAL, "parallel", "reprefill", "skeleton", NGRAM, *protocol.names()]
        raise ValueError(f"unknown contestant {name!r}; known are {', '.join(known)}, PROTOCOL:RULE")
    rule: JoinRule | None = next((each for each in JOIN_RULES if each == wanted), None)
    if wanted and rule is None:
        raise ValueError(f"{name!r}: the join rule must be one of {', '.join(JOIN_RULES)}")
    return EngineContestant(model, config, parallel=protocol_name, rule=rule)


def _own_protocol(model: Model) -> str:
    if model.protocol == SERIAL:
        raise ValueError(
            f"{model.path.name} decodes serially only: {model.cannot_join_reason or 'no protocol fits it'}"
        )
    return model.protocol


@dataclass(frozen=True)
class EngineContestant:
    """The engine, serial or by a protocol."""

    model: Model
    config: EvalConfig
    parallel: str
    rule: JoinRule | None

    def warm_up(self) -> None:
        self.model.reset()
        options = self._options(0)
        options["max_tokens"] = 1
        for question in ("Hello.", "Hello.\n1. a\n2. b"):  # a protocol may tell more of lists
            self.model.chat(question, **options)

    def answer(self, messages: Sequence[Message], seed: int) -> Attempt:
        watch = _Watch()
        for event in self.model.stream(list(messages), **self._options(seed)):
            watch.see(event)
        return watch.attempt(self.model)

    def _options(self, seed: int) -> AnswerOptions:
        return {
            "parallel": self.parallel,
            "join_rule": self.rule,
            "temperature": self.config.temperature,
            "max_tokens": self.config.max_tokens,
            "seed": seed,
        }


class _Watch:
    """Events as they come, with the time."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._first: float | None = None
        self._begins: dict[str, float] = {}
        self._ends: dict[str, float] = {}
        self._answer: Answer | None = None
        self._seconds = 0.0

    def see(self, event: Event) -> None:
        now = time.perf_counter() - self._begin
        if isinstance(event, Text):
            self._first = now if self._first is None else self._first
        elif isinstance(event, Fork):
            for number in range(1, len(event.titles) + 1):
                self._begins.setdefault(branch_name(event.block, number), now)  # the block may have grown
        elif isinstance(event, Unfork):  # its number is the next block's
            for times in (self._begins, self._ends):
                for name in [name for name in times if name.startswith(f"{event.block}.")]:
                    del times[name]
        elif isinstance(event, End):
            self._ends[event.branch] = now
        elif isinstance(event, Done):
            self._answer, self._seconds = event.result, now

    def attempt(self, model: Model) -> Attempt:
        answer = self._answer
        assert answer is not None, "an answer ends with Done"
        timings = answer.timings
        parts = []
        path = timings.trunk_tokens + timings.plan_tokens
        for block, branches in enumerate(answer.blocks, 1):
            path += max(branch.n_tokens for branch in branches.branches)
            for number, branch in enumerate(branches.branches, 1):
                name = branch_name(block, number)
                begin, end = branch.span
                parts.append(
                    Part(
                        block=block,
                        number=number,
                        title=branch.title,
                        text=answer.text[begin:end],
                        n_tokens=branch.n_tokens,
                        begin_s=self._begins[name],
                        end_s=self._ends.get(name, self._seconds),
                        end_reason=branch.end_reason,
                    )
                )
        return Attempt(
            text=answer.text,
            n_words=len(answer.text.split()),
            n_text_tokens=len(model.tokenize(answer.text)),
            parts=tuple(parts),
            protocol=answer.protocol,
            fallback=answer.fallback,
            finish_reason=answer.finish_reason,
            n_sampled=answer.usage.completion_tokens + timings.rewound_tokens,
            n_plan=timings.plan_tokens,
            steps=timings.steps,
            lanes=timings.lanes,
            critical_path=path,
            phases={
                "prompt": timings.queue_s + timings.prompt_s,
                "trunk": timings.trunk_s,
                "plan": timings.plan_s,
                "branches": timings.branch_s,
                "join": timings.join_s,
            },
            first_token_s=self._seconds if self._first is None else self._first,
            seconds=self._seconds,
        )


@dataclass(frozen=True)
class SkeletonContestant:
    """Skeleton-of-Thought with prompts of this project's own; its points share the decode steps."""

    model: Model
    config: EvalConfig

    def warm_up(self) -> None:
        self.model.reset()
        self.model.chat("Hello.", parallel="off", max_tokens=1, temperature=0)

    def answer(self, messages: Sequence[Message], seed: int) -> Attempt:
        begin = time.perf_counter()
        question, before = messages[-1]["content"], list(messages[:-1])
        outline = self.model.chat(
            _asked(before, _OUTLINE.format(question=question)), **self._options(seed, 150)
        )
        outlined = time.perf_counter() - begin
        points = [match[1].strip("*_: .") for match in _POINT.finditer(outline.text)][:_MOST_POINTS]
        if len(points) < 2:  # no outline to go on with: an ordinary answer
            answer = self.model.chat(list(messages), **self._options(seed, self.config.max_tokens))
            return self._attempt(
                [(None, answer)], [outline], begin, outlined, "the outline has fewer than two points"
            )
        listed = "\n".join(f"{number}. {point}" for number, point in enumerate(points, 1))
        prompts = [
            _asked(before, _EXPAND.format(question=question, outline=listed, number=number, point=point))
            for number, point in enumerate(points, 1)
        ]
        each = max(1, self.config.max_tokens // len(points))
        answers = asyncio.run(self._all(prompts, seed, each))
        written = [(point, answer) for point, answer in zip(points, answers, strict=True)]
        return self._attempt(written, [outline], begin, outlined, None)

    async def _all(self, prompts: Sequence[Sequence[Message]], seed: int, max_tokens: int) -> list[Answer]:
        options = self._options(seed, max_tokens)
        return list(await asyncio.gather(*(self.model.achat(list(prompt), **options) for prompt in prompts)))

    def _options(self, seed: int, max_tokens: int) -> AnswerOptions:
        return {
            "parallel": "off",
            "temperature": self.config.temperature,
            "max_tokens": max_tokens,
            "seed": seed,
        }

    def _attempt(
        self,
        written: Sequence[tuple[str | None, Answer]],
        others: Sequence[Answer],
        begin: float,
        outlined: float,
        fallback: str | None,
    ) -> Attempt:
        seconds = time.perf_counter() - begin
        bodies = [answer.text.strip() for _, answer in written]
        pieces = [
            body if point is None else f"{number}. **{point}**: {body}"
            for number, (body, (point, _)) in enumerate(zip(bodies, written, strict=True), 1)
        ]
        parts = tuple(
            Part(
                block=1,
                number=number,
                title=point,
                text=body,
                n_tokens=answer.usage.completion_tokens,
                begin_s=outlined,
                end_s=seconds,
                end_reason=answer.finish_reason,
            )
            for number, (body, (point, answer)) in enumerate(zip(bodies, written, strict=True), 1)
            if point is not None
        )
        text = "\n".join(pieces)
        answers = [*others, *(answer for _, answer in written)]
        longest = max(answer.usage.completion_tokens for _, answer in written)
        return Attempt(
            text=text,
            n_words=len(text.split()),
            n_text_tokens=len(self.model.tokenize(text)),
            parts=parts,
            protocol="skeleton",
            fallback=fallback,
            finish_reason="length" if any(a.finish_reason == "length" for _, a in written) else "stop",
            n_sampled=sum(answer.usage.completion_tokens for answer in answers),
            n_plan=sum(answer.usage.completion_tokens for answer in others),
            steps=sum(answer.timings.steps for answer in others) + longest,
            lanes=sum(answer.timings.lanes for answer in answers),
            critical_path=sum(answer.usage.completion_tokens for answer in others) + longest,
            phases={"plan": outlined, "branches" if parts else "trunk": seconds - outlined},
            first_token_s=outlined + min(answer.timings.first_token_s for _, answer in written),
            seconds=seconds,
        )


def _asked(before: Sequence[Message], text: str) -> list[Message]:
    return [*before, {"role": "user", "content": text}]
