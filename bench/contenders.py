"""Who answers the questions of peers.py, each behind the same face: question in, text and times out."""

from __future__ import annotations

import importlib
import importlib.util
import time
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import comparison
from llama_server import LlamaServer

from aspd_local import Model


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One answer of one peer.

    seconds: from the question to the end. decode_s: of decoding n_tokens. detail: JSON values.
    """

    text: str
    n_tokens: int
    decode_s: float
    seconds: float
    detail: dict[str, Any]

    @property
    def is_empty(self) -> bool:
        """Whether there is too little of it to have figures."""
        return not self.text.split() or self.decode_s <= 0

    def figures(self) -> dict[str, float]:
        """Tokens per second of decoding, seconds, seconds per 100 words; not of an empty answer."""
        return {
            "tokens_per_s": self.n_tokens / self.decode_s,
            "seconds": self.seconds,
            "seconds_per_100_words": 100 * self.seconds / len(self.text.split()),
        }


class Peer(Protocol):
    """Who answers."""

    @property
    def name(self) -> str: ...

    def answer(self, question: str, max_tokens: int) -> Reading: ...


@dataclass(frozen=True)
class EnginePeer:
    """The engine through the Python package."""

    name: str
    model: Model
    parallel: Literal["auto", "off"]

    def answer(self, question: str, max_tokens: int) -> Reading:
        start = time.perf_counter()
        answer = self.model.chat(question, parallel=self.parallel, temperature=0, max_tokens=max_tokens)
        return Reading(
            text=answer.text,
            n_tokens=answer.usage.completion_tokens,
            decode_s=answer.timings.decode_s,
            seconds=time.perf_counter() - start,
            detail={"branches": [len(block.branches) for block in answer.blocks]},
        )


@dataclass(frozen=True)
class ServerPeer:
    """llama-server."""

    name: str
    server: LlamaServer

    def answer(self, question: str, max_tokens: int) -> Reading:
        start = time.perf_counter()
        reply = self.server.chat(question, max_tokens)
        return Reading(
            text=reply.text,
            n_tokens=reply.n_tokens,
            decode_s=reply.decode_s,
            seconds=time.perf_counter() - start,
            detail={"drafted": reply.drafted, "accepted": reply.accepted},
        )


@dataclass(frozen=True)
class BindingPeer:
    """llama-cpp-python. llm: a llama_cpp.Llama; its streamed pieces are its tokens."""

    name: str
    llm: Any

    def answer(self, question: str, max_tokens: int) -> Reading:
        start = time.perf_counter()
        messages = [{"role": "user", "content": question}]
        pieces, times = [], []
        for chunk in self.llm.create_chat_completion(
            messages=messages, temperature=0, max_tokens=max_tokens, stream=True
        ):
            if piece := chunk["choices"][0]["delta"].get("content"):
                pieces.append(piece)
                times.append(time.perf_counter())
        return Reading(
            text="".join(pieces),
            n_tokens=len(pieces) - 1,
            decode_s=times[-1] - times[0] if times else 0.0,
            seconds=time.perf_counter() - start,
            detail={},
        )


def load_binding(settings: comparison.Settings, n_ctx: int) -> BindingPeer | None:
    """llama-cpp-python with these settings; None where it is not installed. Raises PeerError."""
    if importlib.util.find_spec("llama_cpp") is None:
        return None
    llama_cpp = importlib.import_module("llama_cpp")
    cache = getattr(llama_cpp, f"GGML_TYPE_{settings.cache_type.upper()}")
    try:
        llm = llama_cpp.Llama(
            model_path=str(settings.model),
            n_ctx=n_ctx,
            n_threads=settings.threads,
            n_threads_batch=settings.threads,
            flash_attn=settings.flash_attn == "on",
            type_k=cache,
            type_v=cache,
            verbose=False,
        )
    except (ValueError, RuntimeError) as error:
        raise comparison.PeerError(f"llama-cpp-python: {error}") from error
    return BindingPeer(f"llama-cpp-python {llama_cpp.__version__}", llm)


def open_engine(settings: comparison.Settings, n_ctx: int, n_retained: int) -> Model:
    """The engine through the Python package. Raises ModelError."""
    return Model(
        settings.model,
        n_ctx=n_ctx,
        n_retained=n_retained,
        n_threads=settings.threads,
        n_threads_batch=settings.threads,
        flash_attn=settings.flash_attn,
        cache_type=settings.cache_type,
    )
