"""What a model answers: the text, its structure, its times. Plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

FinishReason = Literal["stop", "length", "cancelled", "rejected"]
FinishDetail = Literal["loop"]


@dataclass(frozen=True, kw_only=True)
class TokenLogprob:
    """How likely the model held a token of the text to be.

    Attributes:
        token_id: the token. piece: its bytes, which may be part of a code point.
        logprob: natural logarithm of its probability over the whole vocabulary, before penalties and filters.
        top: the likeliest tokens at its place, descending, as many as were asked for; their `top` is empty.
    """

    token_id: int
    piece: bytes
    logprob: float
    top: tuple[TokenLogprob, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; `bytes` are those of the piece."""
        return {
            "token_id": self.token_id,
            "piece": self.piece.decode("utf-8", errors="replace"),
            "bytes": list(self.piece),
            "logprob": self.logprob,
            "top": [told.to_dict() for told in self.top],
        }


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One independent part of an answer.

    Attributes:
        title: as planned.
        text: as in `Answer.text`, without its title.
        token_ids: [n] as they are in the cache: seed, body, closing marker.
        span: (begin, end) of `text` in `Answer.text`, in code points.
        n_tokens: sampled tokens of the body.
        end_reason: "stop", "length" or "cancelled"; "rejected": `draft_check` kept the beginning of its
            text or nothing, and the answer goes on behind the block.
    """

    title: str
    text: str
    token_ids: tuple[int, ...]
    span: tuple[int, int]
    n_tokens: int
    end_reason: FinishReason


@dataclass(frozen=True, kw_only=True)
class Block:
    """Branches that were decoded together."""

    branches: tuple[Branch, ...]


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens. completion_tokens counts all that were sampled for the answer: trunk, plans and branches."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int


@dataclass(frozen=True, kw_only=True)
class Timings:
    """Counts of tokens and steps; seconds of wall-clock time.

    Attributes:
        prompt_tokens: tokens of the prompt, of which cached_tokens were found in the cache.
        trunk_tokens, plan_tokens, branch_tokens: sampled tokens; markers and plans count as plan_tokens.
        rewound_tokens: sampled and taken back, because a plan could not be used.
        seed_tokens: decoded without being sampled: seeds, closing markers, the second pass of `linear`.
        steps: decode steps after the prompt; lanes: their lanes, added up; padding: tokens that only filled
            steps up to a cheaper width.
        queue_s, prompt_s, trunk_s, plan_s, branch_s, join_s: the phases.
        first_token_s: from the call to the first token.
        total_s: from the call to the end.
        one_lane_s: t(1), the median time of this engine's one-lane steps.
        speedup: an estimate: the one-lane steps that a serial run of the text's tokens would take, times
            t(1), divided by the measured decode time.
    """

    prompt_tokens: int
    cached_tokens: int
    trunk_tokens: int
    plan_tokens: int
    branch_tokens: int
    rewound_tokens: int
    seed_tokens: int
    steps: int
    lanes: int
    padding: int
    queue_s: float
    prompt_s: float
    trunk_s: float
    plan_s: float
    branch_s: float
    join_s: float
    first_token_s: float
    total_s: float
    one_lane_s: float
    speedup: float

    @property
    def decode_s(self) -> float:
        """Seconds of decoding after the prompt."""
        return self.trunk_s + self.plan_s + self.branch_s + self.join_s


@dataclass(frozen=True, kw_only=True, repr=False)
class Answer:
    """A finished answer.

    Attributes:
        text: what a reader sees: trunk and branches in reading order, no markers.
        blocks: the parts that were decoded in parallel; empty for a serial answer.
        finish_reason: "stop", "length" or "cancelled".
        finish_detail: "loop": it was ended as it repeated itself for ever (Options.loop_guard); else None.
        fallback: why a plan, or the last list that stayed one text, was decoded serially, or why parallel
            decoding was not possible; None if neither.
        protocol: name of the protocol, or "serial".
        logprobs: of the text's sampled tokens, in reading order, where they were asked for; else None. What
            the protocol writes, such as titles, has none.
        others: the answers beside this one, where several were asked for.
    """

    text: str
    blocks: tuple[Block, ...]
    finish_reason: FinishReason
    fallback: str | None
    protocol: str
    usage: Usage
    timings: Timings
    finish_detail: FinishDetail | None = None
    logprobs: tuple[TokenLogprob, ...] | None = None
    others: tuple[Answer, ...] = ()

    @property
    def choices(self) -> tuple[Answer, ...]:
        """All answers to the question, this one first."""
        return (self, *self.others)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        head = self.text if len(self.text) <= 60 else self.text[:57] + "..."
        shape = ", ".join(f"{len(block.branches)} branches" for block in self.blocks) or "serial"
        return f"<Answer {head!r}, {shape}, {self.usage.completion_tokens} tokens, {self.finish_reason}>"

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, in the form of `aspd run --json`; `logprobs` and `others` where there are any."""
        more: dict[str, Any] = {}
        if self.logprobs is not None:
            more["logprobs"] = [told.to_dict() for told in self.logprobs]
        if self.others:
            more["others"] = [other.to_dict() for other in self.others]
        return {
            "text": self.text,
            "blocks": [
                {
                    "branches": [
                        {
                            "title": b.title,
                            "span": list(b.span),
                            "n_tokens": b.n_tokens,
                            "end_reason": b.end_reason,
                        }
                        for b in block.branches
                    ]
                }
                for block in self.blocks
            ],
            "finish_reason": self.finish_reason,
            "finish_detail": self.finish_detail,
            "fallback": self.fallback,
            "protocol": self.protocol,
            "usage": asdict(self.usage),
            "timings": asdict(self.timings),
            **more,
        }
