"""llama.cpp's server as a child process, and the contestant "ngram" that asks it.

The same model file decodes serially there, with speculation by n-grams of what was said (no second model).
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from typing_extensions import Self

from aspd_local.chat import Message
from aspd_local.errors import DataError
from aspd_local.eval.attempt import Attempt
from aspd_local.eval.config import EvalConfig
from aspd_local.model import Model

SPECULATION = "ngram-mod"
_START_S = 300.0
_ANSWER_S = 1800.0
_NAME = "llama-server"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A streamed answer. first_token_s, seconds: from the question to the first text, to the end."""

    text: str
    n_tokens: int
    prompt_s: float
    decode_s: float
    first_token_s: float
    seconds: float
    finish_reason: str


def find(program: Path | None) -> Path:
    """The path of llama-server. Raises ValueError where there is none."""
    found = program or (Path(where) if (where := shutil.which(_NAME)) else None)
    if found is None or not found.is_file():
        raise ValueError(
            f"the contestant ngram needs llama.cpp's {_NAME}: {program or 'not in PATH'}; see --server"
        )
    return found


class ServerProcess:
    """A running server; leaving the context ends it. url: where it listens."""

    def __init__(self, command: Sequence[str]) -> None:
        """Starts it and waits until the model is loaded.

        command: the program and its options but the address.

        Raises what failure() makes: it ended or is not ready in time.
        """
        self._log = tempfile.TemporaryFile(mode="w+", errors="replace")  # noqa: SIM115 (close() does)
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
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

    def close(self) -> None:
        """Ends the process."""
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                code = self._process.returncode
                raise self.failure(f"ended with exit code {code}: {self.last_line()}")
            try:
                with self._opener.open(f"{self.url}/health", timeout=5):
                    return
            except OSError:  # not listening yet, or 503 while the model is loaded
                time.sleep(0.2)
        raise self.failure(f"is not ready after {_START_S:.0f} s: {self.last_line()}")

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def failure(self, reason: str) -> Exception:
        """The error that says so."""
        return DataError(_NAME, reason)

    def open(self, body: Mapping[str, Any]) -> Any:
        """The open response to a chat completion. Raises OSError; urllib's HTTPError is one."""
        request = urllib.request.Request(
            f"{self.url}/v1/chat/completions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        return self._opener.open(request, timeout=_ANSWER_S)

    def last_line(self) -> str:
        self._log.seek(0)
        return (self._log.read().strip().splitlines() or ["no message"])[-1]


class LlamaServer(ServerProcess):
    """A server that streams its answers."""

    def chat(self, messages: Sequence[Message], **options: Any) -> Reply:
        """A streamed answer. options: fields of the request. Raises DataError."""
        begin = time.perf_counter()
        try:
            with self.open({"messages": list(messages), "stream": True, **options}) as response:
                return _read(response, begin)
        except urllib.error.HTTPError as error:
            raise self.failure(f"{error}: {error.read()[:200]!r}") from error
        except (OSError, HTTPException, ValueError, KeyError, IndexError, TypeError) as error:
            raise self.failure(f"{type(error).__name__}: {error}; {self.last_line()}") from error


@dataclass(frozen=True)
class NgramContestant:
    """Serial decoding with speculation. model: cuts texts into tokens, and is not asked."""

    server: LlamaServer
    model: Model
    config: EvalConfig

    def warm_up(self) -> None:
        self.server.chat(
            [{"role": "user", "content": "Hello."}], max_tokens=1, temperature=0, cache_prompt=False
        )

    def answer(self, messages: Sequence[Message], seed: int) -> Attempt:
        reply = self.server.chat(
            messages,
            max_tokens=self.config.max_tokens,
            temperature=self.config.temperature,
            seed=seed % 2**32,
            cache_prompt=False,
        )
        n_text = len(self.model.tokenize(reply.text))
        return Attempt(
            text=reply.text,
            n_words=len(reply.text.split()),
            n_text_tokens=n_text,
            protocol=SPECULATION,
            finish_reason=reply.finish_reason,
            n_sampled=reply.n_tokens,
            critical_path=reply.n_tokens,
            phases={"prompt": reply.prompt_s, "trunk": reply.decode_s},
            first_token_s=reply.first_token_s,
            seconds=reply.seconds,
        )


def command(program: Path, model: Path, config: EvalConfig, n_threads: int) -> list[str]:
    """How the server is started for a run."""
    threads = ["--threads", str(n_threads), "--threads-batch", str(n_threads)]
    cells = ["--ctx-size", str(config.n_ctx), "--parallel", "1"]
    return [str(program), "--model", str(model), *threads, *cells, "--spec-type", SPECULATION]


def _read(response: Any, begin: float) -> Reply:
    """Reads server-sent events to their end. Raises ValueError, KeyError, TypeError for anything else."""
    pieces: list[str] = []
    first: float | None = None
    timings: dict[str, Any] = {}
    finish = "stop"
    for raw in response:
        line = raw.decode("utf-8").strip()
        if not line.startswith("data:") or line == "data: [DONE]":
            continue
        chunk = json.loads(line.removeprefix("data:"))
        timings = chunk.get("timings") or timings
        for choice in chunk["choices"]:
            if piece := choice["delta"].get("content"):
                first = time.perf_counter() - begin if first is None else first
                pieces.append(piece)
            finish = choice.get("finish_reason") or finish
    seconds = time.perf_counter() - begin
    return Reply(
        text="".join(pieces),
        n_tokens=int(timings["predicted_n"]),
        prompt_s=float(timings["prompt_ms"]) / 1000,
        decode_s=float(timings["predicted_ms"]) / 1000,
        first_token_s=seconds if first is None else first,
        seconds=seconds,
        finish_reason=finish,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
