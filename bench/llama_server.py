"""llama.cpp's server as a child process: start it, ask it, end it."""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from comparison import PeerError

START_S = 300.0
ANSWER_S = 1800.0


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


class LlamaServer:
    """A running server with one slot; leaving the context ends it."""

    def __init__(self, command: Sequence[str]) -> None:
        """Starts it and waits until the model is loaded.

        command: the program and its options but the address.

        Raises PeerError: it ended or is not ready in time.
        """
        self._log = tempfile.TemporaryFile(mode="w+", errors="replace")  # noqa: SIM115 (close() does)
        port = _free_port()
        self._url = f"http://127.0.0.1:{port}"
        # A proxy of the environment is for other machines.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        address = ["--host", "127.0.0.1", "--port", str(port)]
        self._process = subprocess.Popen(
            [*command, *address], stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def chat(self, question: str, max_tokens: int) -> Reply:
        """A greedy answer. Raises PeerError."""
        body = {
            "messages": [{"role": "user", "content": question}],
            "max_tokens": max_tokens,
            "temperature": 0,
        }
        request = urllib.request.Request(
            f"{self._url}/v1/chat/completions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=ANSWER_S) as response:
                return parse(json.load(response))
        except urllib.error.HTTPError as error:
            raise PeerError(f"llama-server: {error}: {error.read()[:200]!r}") from error
        except (OSError, ValueError) as error:
            raise PeerError(f"llama-server: {error}; {self._last_line()}") from error

    def close(self) -> None:
        """Ends the process."""
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def __enter__(self) -> LlamaServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                code = self._process.returncode
                raise PeerError(f"llama-server ended with exit code {code}: {self._last_line()}")
            try:
                with self._opener.open(f"{self._url}/health", timeout=5):
                    return
            except OSError:  # not listening yet, or 503 while the model is loaded
                time.sleep(0.2)
        raise PeerError(f"llama-server is not ready after {START_S:.0f} s: {self._last_line()}")

    def _last_line(self) -> str:
        self._log.seek(0)
        return (self._log.read().strip().splitlines() or ["no message"])[-1]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
