"""llama.cpp's server as a child process: start it, ask it, end it."""

from __future__ import annotations

import json
import urllib.error
from dataclasses import dataclass
from typing import Any

from comparison import PeerError

from aspd_local.eval.llama_server import ServerProcess


@dataclass(frozen=True)
class Reply:
    """An answer. decode_s: seconds of decoding n_tokens; drafted, accepted: speculated tokens."""

    text: str
    n_tokens: int
    decode_s: float
    drafted: int
    accepted: int


def parse(reply: dict[str, Any]) -> Reply:
    """What the server says of a chat completion. Raises PeerError for anything else."""
    try:
        timings = reply["timings"]
        return Reply(
            text=reply["choices"][0]["message"]["content"] or "",
            n_tokens=int(timings["predicted_n"]),
            decode_s=float(timings["predicted_ms"]) / 1000,
            drafted=int(timings.get("draft_n", 0)),
            accepted=int(timings.get("draft_n_accepted", 0)),
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise PeerError(f"llama-server answered something unexpected: {str(reply)[:200]}") from error


class LlamaServer(ServerProcess):
    """llama.cpp's server with one slot, whose answers come whole; its errors are PeerErrors."""

    def failure(self, reason: str) -> Exception:
        return PeerError(f"llama-server {reason}")

    def chat(self, question: str, max_tokens: int) -> Reply:
        """A greedy answer. Raises PeerError."""
        body = {
            "messages": [{"role": "user", "content": question}],
            "max_tokens": max_tokens,
            "temperature": 0,
        }
        try:
            with self.open(body) as response:
                return parse(json.load(response))
        except urllib.error.HTTPError as error:
            raise PeerError(f"llama-server: {error}: {error.read()[:200]!r}") from error
        except (OSError, ValueError) as error:
            raise PeerError(f"llama-server: {error}; {self.last_line()}") from error
