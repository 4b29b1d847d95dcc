"""Clients that leave at any moment, or read nothing: their answers end, and everything is given back."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
from served import QUESTION, TEXT, Running, running

from aspd_local.server import Limits, ServerConfig
from tiny import stories
from tiny.script import write_scripted

CHAT = "/v1/chat/completions"


def leave_early(server: Running, seed: int) -> None:
    """Asks and goes at a random moment: queued, in the prompt, in the trunk, in a block."""
    dice = random.Random(seed)
    said = {"messages": [{"role": "user", "content": f"Hello {seed}"}], "stream": dice.random() < 0.7, "n": 2}
    with server.client() as client:
        try:
            with client.stream(
                "POST", CHAT, json=said, timeout=dice.choice([0.002, 0.01, 0.05, 20])
            ) as answer:
                for _, _line in zip(range(dice.randint(0, 12)), answer.iter_lines(), strict=False):
                    pass
        except httpx2.TimeoutException:
            pass


def test_three_hundred_leave_at_random_moments(server: Running, idle: Callable[[], None]) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda seed: leave_early(server, seed), range(300)))
    idle()
    engine = server.inside.pool.entries["story"].engine
    assert engine is not None
    engine.model.reset()
    assert engine.model.engine.cells_in_use == 0
    assert engine.model.engine.sequences_free == engine.model.engine.n_sequences
    with server.client() as client:
        found = client.post(CHAT, json={"messages": QUESTION, "temperature": 0}).json()
    assert found["choices"][0]["message"]["content"] == TEXT


def test_answers_of_many_clients_do_not_cross(
    configured: Callable[..., ServerConfig], tiny_folder: Path
) -> None:
    # What each says depends on its own digit, and on all that its own context holds.
    script = stories.forking("ab", "cde", "fg", "hij")
    model = write_scripted(tiny_folder / "crossed.gguf", script, seed=5)
    engine = {"n_ctx": 2048, "n_requests": 8, "n_threads": 1, "n_threads_batch": 1, "profile": "off"}
    exact = {"flash_attn": "off", "cache_type": "f32"}
    config = configured(models={"forking": str(model.path)}, engine={**engine, **exact})
    with running(config) as server, server.client() as client:

        def ask(number: int) -> tuple[str, int]:
            said = {
                "prompt": f"{'x' * (number % 16)} So {number % 4 + 1}",
                "temperature": 0,
                "max_tokens": 60,
            }
            found = client.post("/v1/completions", json=said).json()
            return found["choices"][0]["text"], len(found["aspd"]["blocks"])

        alone = [ask(number) for number in range(16)]
        assert len(set(alone)) >= 8
        assert sum(n_blocks for _, n_blocks in alone) >= 8
        with ThreadPoolExecutor(16) as pool:
            together = list(pool.map(ask, range(16 * 20)))
        assert together == alone * 20


def test_reader_that_takes_nothing_is_let_go(configured: Callable[..., ServerConfig]) -> None:
    with running(configured(limits=Limits(send_s=0.5))) as server:
        host, port = server.address.removeprefix("http://").split(":")
        wanted = {"stream": True, "n": 8, "logprobs": True, "top_logprobs": 20, "aspd": {"parallel": "off"}}
        sampling = {"temperature": 9, "top_k": 0, "max_tokens": 100}
        body = json.dumps({"messages": QUESTION, **wanted, **sampling}).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        silent = socket.socket()
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        silent.connect((host, int(port)))
        silent.sendall(head.encode() + body)
        with server.client() as client:  # others are served meanwhile
            found = client.post(CHAT, json={"messages": QUESTION, "temperature": 0}).json()
        assert found["choices"][0]["message"]["content"] == TEXT
        until = time.monotonic() + 20
        while server.inside.under_way and time.monotonic() < until:
            time.sleep(0.05)
        assert not server.inside.under_way
        silent.close()
