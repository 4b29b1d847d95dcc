"""A server that ends while it answers: what is under way is told as far as it is."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
from served import QUESTION, TEXT, Running, running
from wire import chunks, content

from aspd_local.server import Limits, ServerConfig

CHAT = "/v1/chat/completions"
BODY = {"messages": QUESTION, "temperature": 0}


def slow(server: Running, seconds: float) -> None:
    """Each step takes so long."""
    engine = server.inside.pool.entries["story"].engine
    assert engine is not None
    step = engine.model.step

    def slow_step() -> Any:
        time.sleep(seconds)
        return step()

    engine.model.step = slow_step  # type: ignore[method-assign]


def test_answers_under_way_keep_what_they_have(configured: Callable[..., ServerConfig]) -> None:
    with running(configured(limits=Limits(shutdown_s=0.3))) as server:
        slow(server, 0.15)

        def whole(path: str, body: dict[str, Any]) -> httpx2.Response:
            with server.client() as client:
                answer: httpx2.Response = client.post(path, json=body)
                return answer

        with ThreadPoolExecutor(4) as pool, server.client() as client:
            chat = pool.submit(whole, CHAT, BODY)
            response = pool.submit(whole, "/v1/responses", {"input": "Hello", "temperature": 0})
            until = time.monotonic() + 20
            while len(server.inside.under_way) < 2 and time.monotonic() < until:
                time.sleep(0.01)
            with client.stream("POST", CHAT, json={**BODY, "stream": True}) as answer:
                lines = []
                for line in answer.iter_lines():
                    lines.append(line)
                    if '"content":"Hm' in line or '"content":"H"' in line:
                        server.end()
        found = chunks(lines)
        assert found[-1]["choices"][0]["finish_reason"] == "cancelled"
        assert TEXT.startswith(content(found))
        assert 0 < len(content(found)) < len(TEXT)
        choice = chat.result().json()["choices"][0]
        assert choice["finish_reason"] == "cancelled"
        assert TEXT.startswith(choice["message"]["content"])
        assert response.result().json()["status"] == "incomplete"


def test_answers_that_end_in_time_are_whole(configured: Callable[..., ServerConfig]) -> None:
    with running(configured()) as server, server.client() as client:
        slow(server, 0.02)
        with client.stream("POST", CHAT, json={**BODY, "stream": True}) as answer:
            lines: list[str] = []
            for line in answer.iter_lines():
                if not lines:
                    server.end()
                lines.append(line)
    assert content(chunks(lines)) == TEXT


def test_what_cannot_begin_is_told_so_as_json(configured: Callable[..., ServerConfig]) -> None:
    with running(configured(limits=Limits(shutdown_s=0.2))) as server:
        engine = server.inside.pool.entries["story"].engine
        assert engine is not None
        prepare, prepared = engine.model.prepare, threading.Event()

        def slow_prepare(*args: Any, **options: Any) -> Any:
            prepared.set()
            time.sleep(1)
            return prepare(*args, **options)

        engine.model.prepare = slow_prepare  # type: ignore[method-assign]
        with ThreadPoolExecutor(1) as pool, server.client() as client:
            late = pool.submit(client.post, CHAT, json=BODY)
            assert prepared.wait(20)
            server.end()
            answer = late.result()
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.text)["error"]["code"] == "shutting_down"
