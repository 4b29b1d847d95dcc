"""Who may ask, and which bodies are read: hosts, origins, keys, sizes, depth."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from served import QUESTION, Running, running

from aspd_local.server import Limits, ServerConfig

CHAT = "/v1/chat/completions"
JSON = {"Content-Type": "application/json"}
KEY = "a key of this test"


@pytest.fixture(scope="module")
def locked(configured: Callable[..., ServerConfig]) -> Iterator[Running]:
    config = configured(
        api_key=KEY, hosts=("box.example",), origins=("https://app.example",), limits=Limits(read_s=1.0)
    )
    with running(config) as found:
        yield found


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8411",
        "LOCALHOST",
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:8411",
        "box.example:5",
    ],
)
def test_own_hosts_are_served(locked: Running, host: str) -> None:
    with locked.client() as client:
        assert client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "evil.example:8411",
        "localhost.",
        "127.0.0.1.evil.example",
        "127.0.0.2",
        "10.0.0.1",
        "0.0.0.0",
        "localhost@evil.example",
        "localhost/evil",
        "localhost:port",
        "[::2]",
        "[::1",
        "2130706433",
        "",
    ],
)
def test_other_hosts_are_refused(locked: Running, host: str) -> None:
    with locked.client() as client:
        answer = client.get("/health", headers={"Host": host})
    assert answer.status_code in (400, 403), answer.text


@pytest.mark.parametrize(
    ("origin", "served", "cors"),
    [
        ("https://app.example", True, True),
        ("https://APP.example/", True, True),
        ("SELF", True, False),
        ("http://app.example", False, False),
        ("https://app.example:444", False, False),
        ("https://app.example.evil.example", False, False),
        ("http://localhost:1", False, False),
        ("https://evil.example", False, False),
        ("null", False, False),
        ("", False, False),
        ("file://", False, False),
    ],
)
def test_origins(locked: Running, origin: str, served: bool, cors: bool) -> None:
    said = locked.address if origin == "SELF" else origin
    with locked.client() as client:
        answer = client.get("/health", headers={"Origin": said})
    assert answer.status_code == (200 if served else 403)
    assert ("access-control-allow-origin" in answer.headers) == cors
    assert "access-control-allow-credentials" not in answer.headers


def test_preflight_of_an_allowed_page(locked: Running) -> None:
    ask = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    with locked.client() as client:
        answer = client.options(CHAT, headers=ask)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert client.options(CHAT, headers={**ask, "Origin": "https://evil.example"}).status_code == 403


def test_preflight_allows_the_headers_that_it_asks_for(locked: Running) -> None:
    asked = "authorization,content-type,x-stainless-arch,x-stainless-retry-count"
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": asked}
    with locked.client() as client:
        answer = client.options(CHAT, headers={**ask, "Origin": "https://app.example"})
        assert answer.headers["access-control-allow-headers"] == asked
        assert "Access-Control-Request-Headers" in answer.headers["vary"]
        private = {"Origin": "https://app.example", "Access-Control-Request-Private-Network": "true"}
        told = client.options(CHAT, headers={**ask, **private})
        assert told.headers["access-control-allow-private-network"] == "true"
        own = client.options(CHAT, headers={**ask, "Origin": locked.address})
        assert "access-control-allow-headers" not in own.headers
        assert "access-control-allow-headers" not in client.options(CHAT, headers=ask).headers
        odd = {**ask, "Access-Control-Request-Headers": "a: b", "Origin": "https://app.example"}
        answer = client.options(CHAT, headers=odd)
        assert answer.headers["access-control-allow-headers"] == "authorization, content-type"


@pytest.mark.parametrize(
    "said",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY}x",
        f"Basic {KEY}",
        KEY,
        "Bearer k\u00e9y".encode("latin-1").decode("latin-1"),
    ],
)
def test_without_the_key_only_health_and_the_page_are_open(locked: Running, said: str | None) -> None:
    headers = {} if said is None else {"Authorization": said.encode("latin-1")}
    with locked.client() as client:
        for path in ("/v1/models", "/metrics", "/openapi.json", "/v1/nothing"):
            answer = client.get(path, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
        assert client.post(CHAT, json={"messages": QUESTION}).status_code == 401
        assert client.get("/health").status_code == 200


def test_with_the_key_all_is_open(locked: Running) -> None:
    with locked.client(headers={"Authorization": f"Bearer {KEY}"}) as client:
        assert client.get("/v1/models").status_code == 200
        assert client.post(CHAT, json={"messages": QUESTION}).status_code == 200


def test_other_machines_need_a_key(configured: Callable[..., ServerConfig]) -> None:
    with pytest.raises(ValueError, match="can be reached from other machines"):
        configured(host="0.0.0.0")
    with pytest.raises(ValueError, match="can be reached from other machines"):
        configured(host="::")
    with pytest.raises(ValueError, match="8 characters"):
        configured(api_key="short")
    assert not configured(host="0.0.0.0", insecure=True).is_loopback
    assert configured(host="::1").is_loopback


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'"text"', 400),
        (b"\xff\xfe{}", 400),
        (b'{"messages": NaN}', 400),
        (b'{"temperature": Infinity}', 400),
        (b'{"n": ' + b"9" * 10_000 + b"}", 400),
        (b'{"temperature": 1e999}', 400),
        (b'{"a":' * 100 + b"1" + b"}" * 100, 400),
        (b"[" * 1_000_000, 400),
        (b"[]" * 1_000_000, 400),
        (b'{"a": "' + b"[" * 100_000, 400),
        (b'{"messages": [' + b",".join([b'{"role":"user","content":"x"}'] * 10_000) + b"]}", 400),
        (b'{"messages": [{"role": "user", "content": "' + b"x " * 1_000_000 + b'"}]}', 400),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', 400),
        (b'{"messages": "' + b"x" * (5 << 20) + b'"}', 413),
    ],
)
def test_hostile_bodies_are_refused_soon_and_the_server_lives(
    client: httpx2.Client, body: bytes, status: int
) -> None:
    begun = time.monotonic()
    answer = client.post(CHAT, content=body, headers=JSON)
    assert answer.status_code == status, answer.text[:300]
    assert len(answer.text) < 2000
    assert time.monotonic() - begun < 5  # bench/serve.py measures it
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize("depth", [63, 64, 65, 150])
def test_what_is_the_clients_own_nests_so_far(client: httpx2.Client, depth: int) -> None:
    metadata: dict[str, Any] = {}
    for _ in range(depth - 1):
        metadata = {"a": metadata}
    answer = client.post(CHAT, json={"messages": QUESTION, "metadata": metadata, "max_tokens": 1})
    assert answer.status_code == (200 if depth <= 64 else 400)
    if depth > 64:
        assert answer.json()["error"]["param"] == "metadata"
        assert "nested more than 64 deep" in answer.json()["error"]["message"]


def test_prompt_that_cannot_fit_is_refused_by_its_length(client: httpx2.Client, server: Running) -> None:
    entry = server.inside.pool.entries["story"]
    assert entry.engine is not None
    longest = entry.engine.model.core.longest_piece
    assert longest > 0
    answer = client.post(CHAT, json={"messages": [{"role": "user", "content": "a" * longest * 1025}]})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"
    assert ", 1024 available" in answer.json()["error"]["message"]


def test_brackets_in_strings_do_not_nest(client: httpx2.Client) -> None:
    said = [{"role": "user", "content": '[{"' * 60 + "\\" + '"['}]
    assert client.post(CHAT, json={"messages": said, "max_tokens": 1}).status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_only_json_is_a_body(client: httpx2.Client, kind: str) -> None:
    answer = client.post(CHAT, content=json.dumps({"messages": QUESTION}), headers={"Content-Type": kind})
    assert answer.status_code == 415


def test_slow_sender_is_let_go(locked: Running) -> None:
    host, port = locked.address.removeprefix("http://").split(":")
    head = f"POST {CHAT} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {KEY}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head.encode())
        assert b" 408 " in connection.recv(100)
    with locked.client() as client:
        assert client.get("/health").status_code == 200


def test_answers_carry_headers_that_keep_a_browser_safe(client: httpx2.Client) -> None:
    for path in ("/", "/health", "/page/page.css"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in headers["content-security-policy"]
