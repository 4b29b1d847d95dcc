"""Asking an OpenAI-compatible endpoint: cache, retries, rate, failures. Nothing here waits for real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from recorded_endpoint import RecordedEndpoint, completion, failure

from aspd_local import DataError
from aspd_local.data.endpoint import Endpoint, Settings


class Time:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "replies"


def connect(url: str, cache: Path, time: Time, **more: Any) -> Endpoint:
    settings = Settings(url=url, model="m", parallel=1, timeout_s=10, **more)
    return Endpoint(settings, cache, sleep=time.sleep, clock=time.clock)


def test_request_is_that_of_openai(cache: Path, time: Time) -> None:
    with RecordedEndpoint(lambda *_: completion("hello")) as recorded:
        with connect(recorded.url, cache, time, api_key="secret") as endpoint:
            assert endpoint.ask("Hi?", 2) == ["hello", "hello"]
        assert recorded.paths == ["/v1/chat/completions"] * 2
        assert recorded.headers[0]["Authorization"] == "Bearer secret"
    body = recorded.requests[0]
    assert (body["model"], body["messages"]) == ("m", [{"role": "user", "content": "Hi?"}])
    assert [request["seed"] for request in recorded.requests] == [0, 1]
    assert b"secret" not in cache.read_bytes()


def test_replies_are_kept_on_disk(cache: Path, time: Time) -> None:
    with RecordedEndpoint(lambda _, n: completion(f"reply {n}")) as recorded:
        with connect(recorded.url, cache, time) as endpoint:
            first = endpoint.ask("Hi?", 2)
        with connect(recorded.url, cache, time) as endpoint:
            assert endpoint.ask("Hi?", 3) == [*first, "reply 2"]
            assert endpoint.ask("Ho?", 1) == ["reply 3"]
        assert len(recorded.requests) == 4


@pytest.mark.parametrize("status", [429, 500, 503])
def test_retries_wait_longer_each_time(cache: Path, time: Time, status: int) -> None:
    with RecordedEndpoint(lambda _, n: failure(status) if n < 3 else completion("late")) as recorded:
        with connect(recorded.url, cache, time) as endpoint:
            assert endpoint.ask("Hi?", 1) == ["late"]
        assert len(recorded.requests) == 4
    assert time.slept == [1, 2, 4]


def test_endpoint_says_how_long_to_wait(cache: Path, time: Time) -> None:
    replies = [failure(429, Retry_After="7"), failure(429, Retry_After="9999"), completion("late")]
    with (
        RecordedEndpoint(lambda _, n: replies[n]) as recorded,
        connect(recorded.url, cache, time) as endpoint,
    ):
        assert endpoint.ask("Hi?", 1) == ["late"]
    assert time.slept == [7, 60]


def test_refusal_is_not_tried_again(cache: Path, time: Time) -> None:
    with (
        RecordedEndpoint(lambda *_: failure(401)) as recorded,
        connect(recorded.url, cache, time) as endpoint,
    ):
        with pytest.raises(DataError, match="HTTP 401") as error:
            endpoint.ask("Hi?", 1)
        assert error.value.source == f"{recorded.url}/chat/completions"
        assert len(recorded.requests) == 1


def test_replies_that_came_before_a_failure_are_kept(cache: Path, time: Time) -> None:
    with RecordedEndpoint(lambda _, n: failure(400) if n == 1 else completion(f"reply {n}")) as recorded:
        with connect(recorded.url, cache, time) as endpoint:
            with pytest.raises(DataError, match="HTTP 400"):
                endpoint.ask("Hi?", 3)
            assert endpoint.ask("Hi?", 3) == ["reply 0", "reply 3", "reply 2"]
        assert len(recorded.requests) == 4


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"choices": []}', b'{"choices": [{"message": {}}]}'])
def test_reply_that_is_no_completion_is_tried_again(cache: Path, time: Time, body: bytes) -> None:
    with (
        RecordedEndpoint(lambda _, n: (200, {}, body) if n == 0 else completion("good")) as recorded,
        connect(recorded.url, cache, time) as endpoint,
    ):
        assert endpoint.ask("Hi?", 1) == ["good"]


def test_nobody_there_fails_after_all_tries(cache: Path, time: Time) -> None:
    with RecordedEndpoint(lambda *_: failure(500)) as recorded:
        url = recorded.url
    with connect(url, cache, time, tries=3) as endpoint, pytest.raises(DataError, match="refused"):
        endpoint.ask("Hi?", 1)
    assert time.slept == [1, 2]


def test_rate_limit_spaces_requests(cache: Path, time: Time) -> None:
    with (
        RecordedEndpoint(lambda *_: completion("x")) as recorded,
        connect(recorded.url, cache, time, per_minute=30) as endpoint,
    ):
        endpoint.ask("Hi?", 4)
    assert time.slept == [2, 2, 2]


def test_cache_that_is_none_is_an_error(tmp_path: Path, time: Time) -> None:
    path = tmp_path / "text"
    path.write_text("no database " * 100)
    with pytest.raises(DataError, match="no cache of replies"):
        connect("http://localhost:1", path, time)


@pytest.mark.parametrize("url", ["localhost:8080", "file:///etc/passwd", ""])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="http or https"):
        Settings(url=url, model="m")


def test_key_is_not_shown() -> None:
    assert "secret" not in repr(Settings(url="http://a", model="m", api_key="secret"))
