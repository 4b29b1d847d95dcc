"""What clients get: chunks of a stream and whole answers, in OpenAI's form with one key of ours.

Every piece of text is once in `content`, in reading order, and, for those who ask for "live", once in the
events, as soon as it is decoded: an aware client reads only events, any other only content.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from aspd_local.events import Done, End, Fork, Join, Text, Unfork
from aspd_local.results import Answer, TokenLogprob
from aspd_local.server.loop import Timed
from aspd_local.server.tools import Call, Said

VERSION = 1  # of the key `aspd`
Kind = Literal["chat", "text", "response"]
_PREFIXES: dict[Kind, str] = {"chat": "chatcmpl-", "text": "cmpl-", "response": "resp_"}


@dataclass(frozen=True)
class Naming:
    """What every chunk of an answer repeats. kind: "text": a plain completion."""

    kind: Kind
    id: str
    model: str
    created: int

    @classmethod
    def new(cls, kind: Kind, model: str) -> Naming:
        """Of an answer that begins now."""
        return cls(kind, _PREFIXES[kind] + secrets.token_hex(12), model, int(time.time()))

    def chunk(self, choice: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
        """A chunk of a stream; without a choice: the one that tells the usage."""
        return self._with("chat.completion.chunk", [] if choice is None else [choice], more)

    def whole(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """A whole answer."""
        return self._with("chat.completion", choices, more)

    def _with(self, kind: str, choices: list[dict[str, Any]], more: dict[str, Any]) -> dict[str, Any]:
        name = kind if self.kind == "chat" else "text_completion"
        said = {"id": self.id, "object": name, "created": self.created, "model": self.model}
        return {**said, "choices": choices, **more}

    def delta(
        self, index: int, text: str, logprobs: Sequence[TokenLogprob] | None, reason: str | None
    ) -> dict[str, Any]:
        """A choice of a chunk. logprobs: None: not asked for. reason: None but in a choice's last chunk."""
        said = (
            {"delta": {"content": text} if text or reason is None else {}}
            if self.kind == "chat"
            else {"text": text}
        )
        return {"index": index, **said, "logprobs": self.logprobs(logprobs), "finish_reason": reason}

    def calls(self, index: int, calls: Sequence[Call]) -> dict[str, Any]:
        """A choice of a chunk: whole calls, one after another."""
        said = [{"index": i, **call.to_json()} for i, call in enumerate(calls)]
        return {"index": index, "delta": {"tool_calls": said}, "logprobs": None, "finish_reason": None}

    def choice(
        self,
        index: int,
        answer: Answer,
        logprobs: Sequence[TokenLogprob] | None,
        said: Said,
        echoed: str = "",
    ) -> dict[str, Any]:
        """A choice of a whole answer. echoed: what a plain text begins with."""
        body: dict[str, Any] = {"text": echoed + answer.text}
        if self.kind == "chat":
            body = {"message": {"role": "assistant", "content": said.content, "refusal": None}}
            if said.calls:
                body["message"]["content"] = said.content or None
                body["message"]["tool_calls"] = [call.to_json() for call in said.calls]
        return {
            "index": index,
            **body,
            "logprobs": self.logprobs(logprobs),
            "finish_reason": finish_reason(answer, said),
        }

    def logprobs(self, told: Sequence[TokenLogprob] | None) -> dict[str, Any] | None:
        """In the form of the route."""
        if told is None:
            return None
        if self.kind == "chat":
            return {"content": chat_logprobs(told)}
        return {
            "tokens": [_spelling(each) for each in told],
            "token_logprobs": [each.logprob for each in told],
            "top_logprobs": [{_spelling(other): other.logprob for other in each.top} for each in told],
        }


def chat_logprobs(told: Sequence[TokenLogprob]) -> list[dict[str, Any]]:
    """As chats and responses tell tokens."""
    return [{**_logprob(each), "top_logprobs": list(map(_logprob, each.top))} for each in told]


def finish_reason(answer: Answer, said: Said) -> str:
    """As clients expect it: whoever calls has not stopped."""
    return "tool_calls" if said.calls and answer.finish_reason == "stop" else answer.finish_reason


def _spelling(token: TokenLogprob) -> str:
    return token.piece.decode("utf-8", errors="replace")


def _logprob(token: TokenLogprob) -> dict[str, Any]:
    return {"token": _spelling(token), "logprob": token.logprob, "bytes": list(token.piece)}


def usage(answers: Sequence[Answer], n: int) -> dict[str, Any]:
    """Tokens of all choices, n for each prompt; a prompt counts once, as with OpenAI."""
    asked = answers[::n]
    prompt = sum(answer.usage.prompt_tokens for answer in asked)
    completion = sum(answer.usage.completion_tokens for answer in answers)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": sum(answer.usage.cached_tokens for answer in asked)},
    }


def structure(answer: Answer, n_before: int = 0) -> dict[str, Any]:
    """The key `aspd` of a last chunk or a whole answer. n_before: code points before the answer's text."""
    t = answer.timings
    return {
        "v": VERSION,
        "protocol": answer.protocol,
        "fallback": answer.fallback,
        "finish_detail": answer.finish_detail,
        "tokens": t.trunk_tokens + t.branch_tokens,
        "steps": t.steps,
        "blocks": [
            {
                "id": number,
                "branches": [
                    {
                        "id": f"{number}.{i}",
                        "title": branch.title,
                        "span": [n_before + at for at in branch.span],
                        "tokens": branch.n_tokens,
                        "reason": branch.end_reason,
                    }
                    for i, branch in enumerate(block.branches, 1)
                ],
            }
            for number, block in enumerate(answer.blocks, 1)
        ],
    }


def facts(answer: Answer, n_before: int = 0) -> dict[str, Any]:
    """What a last chunk and a whole answer say of how it was written. n_before: as in structure()."""
    return {"aspd": structure(answer, n_before), "timings": timings(answer)}


def timings(answer: Answer) -> dict[str, Any]:
    """Ours, and llama-server's names for what it has too."""
    t = answer.timings
    n_read = t.prompt_tokens - t.cached_tokens
    n_written = answer.usage.completion_tokens
    return {
        **{key: round(value, 6) if isinstance(value, float) else value for key, value in asdict(t).items()},
        "cache_n": t.cached_tokens,
        "prompt_n": n_read,
        "prompt_ms": 1e3 * t.prompt_s,
        "prompt_per_second": n_read / t.prompt_s if t.prompt_s > 0 else 0.0,
        "predicted_n": n_written,
        "predicted_ms": 1e3 * t.decode_s,
        "predicted_per_second": n_written / t.decode_s if t.decode_s > 0 else 0.0,
    }


def event_body(timed: Timed) -> dict[str, Any] | None:
    """An event as live chunks carry it; None for Done, which the last chunk stands for."""
    event = timed.event
    at = {"t": round(timed.seconds, 6)}
    match event:
        case Text(branch, offset, text):
            return {"type": "text", "branch": branch, "offset": offset, "text": text, **at}
        case Fork(block, titles, offset):
            return {"type": "fork", "block": block, "titles": list(titles), "offset": offset, **at}
        case Unfork(block):
            return {"type": "unfork", "block": block, **at}
        case End(branch, reason):
            return {"type": "end", "branch": branch, "reason": reason, **at}
        case Join(block):
            return {"type": "join", "block": block, **at}
        case Done():
            return None
