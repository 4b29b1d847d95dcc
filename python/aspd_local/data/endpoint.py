"""An endpoint that speaks OpenAI's chat completions: replies kept on disk, retries, a limit of its rate.

Knows nothing of what is asked. Only the standard library talks to it.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from aspd_local.errors import DataError

_RETRIED = (408, 409, 425, 429, 500, 502, 503, 504)
_LONGEST_WAIT_S = 60.0
_MOST_BYTES = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How an endpoint is asked.

    Attributes:
        url: its base, such as "http://localhost:8080/v1"; "/chat/completions" is added unless it is there.
        model: the model's name there.
        api_key: sent as a bearer token; empty: none. Never written to disk.
        temperature, max_tokens: of each reply.
        per_minute: most requests a minute; 0: no limit.
        tries: of each request. timeout_s: of each try.
        parallel: requests under way at once.
    """

    url: str
    model: str
    api_key: str = field(default="", repr=False)
    temperature: float = 0.7
    max_tokens: int = 512
    per_minute: float = 0
    tries: int = 6
    timeout_s: float = 120
    parallel: int = 4

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise ValueError(f"the endpoint must be an http or https URL, not {self.url!r}")
        if self.tries < 1 or self.parallel < 1 or self.per_minute < 0:
            raise ValueError("tries and parallel must be at least 1, per_minute not negative")

    @property
    def address(self) -> str:
        """Where requests go."""
        base = self.url.rstrip("/")
        return base if base.endswith("/chat/completions") else f"{base}/chat/completions"


class Endpoint:
    """Asks and remembers. Use as a context, or close() it."""

    def __init__(
        self,
        settings: Settings,
        cache: Path,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """cache: an SQLite file, made where there is none; a later run finds its replies there.

        Raises: DataError when it cannot be used.
        """
        self._settings = settings
        self._sleep, self._clock = sleep, clock
        self._pace = threading.Lock()
        self._next = 0.0  # when the next request may leave
        try:
            cache.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(cache, timeout=30, isolation_level=None)
            self._db.execute("CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL)")
        except (sqlite3.Error, OSError) as error:
            raise DataError(str(cache), f"no cache of replies: {error}") from None
        self._threads = ThreadPoolExecutor(settings.parallel)

    def ask(self, prompt: str, n: int) -> list[str]:
        """n replies to a prompt, [n]; those known already are not asked for.

        Raises: DataError when the endpoint refuses, or fails for all tries; replies that came are kept.
        """
        keys = [self._key(prompt, i) for i in range(n)]
        found = [self._recall(key) for key in keys]
        missing = [i for i, reply in enumerate(found) if reply is None]
        failure: DataError | None = None
        for i, future in [(i, self._threads.submit(self._request, prompt, i)) for i in missing]:
            try:
                reply = future.result()
            except DataError as error:
                failure = error
                continue
            self._db.execute("INSERT OR REPLACE INTO replies VALUES (?, ?)", (keys[i], reply))
            found[i] = reply
        if failure is not None:
            raise failure
        return [reply for reply in found if reply is not None]

    def close(self) -> None:
        """Ends requests that have not begun, and closes the cache."""
        self._threads.shutdown(cancel_futures=True)
        self._db.close()

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _recall(self, key: str) -> str | None:
        row = self._db.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def _key(self, prompt: str, index: int) -> str:
        asked = [self._settings.address, self._settings.model, self._settings.temperature, prompt, index]
        return sha256(json.dumps([*asked, self._settings.max_tokens]).encode()).hexdigest()

    def _request(self, prompt: str, index: int) -> str:
        """One reply, tried several times. Runs on a thread of its own."""
        body = {
            "model": self._settings.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": self._settings.temperature,
            "max_tokens": self._settings.max_tokens,
            "seed": index,
        }
        reason = ""
        for attempt in range(self._settings.tries):
            self._wait_for_turn()
            try:
                return self._send(body)
            except HTTPError as error:
                reason = f"HTTP {error.code}"
                wait = _retry_after(error)
                error.close()
                if error.code not in _RETRIED:
                    break
            except (URLError, HTTPException, OSError, ValueError) as error:
                reason, wait = str(getattr(error, "reason", None) or error or type(error).__name__), None
            if attempt + 1 < self._settings.tries:
                self._sleep(min(_LONGEST_WAIT_S, 2.0**attempt if wait is None else wait))
        raise DataError(self._settings.address, reason)

    def _send(self, body: dict[str, Any]) -> str:
        headers = {"Content-Type": "application/json"}
        if self._settings.api_key:
            headers["Authorization"] = f"Bearer {self._settings.api_key}"
        request = Request(self._settings.address, json.dumps(body).encode(), headers)
        with urlopen(request, timeout=self._settings.timeout_s) as response:
            found = json.loads(response.read(_MOST_BYTES))
        try:
            content = found["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError):
            raise ValueError("the reply is no chat completion") from None
        if not isinstance(content, str):
            raise ValueError("the reply has no text")
        return content

    def _wait_for_turn(self) -> None:
        if not self._settings.per_minute:
            return
        with self._pace:
            now = self._clock()
            wait = max(0.0, self._next - now)
            self._next = max(now, self._next) + 60 / self._settings.per_minute
        if wait:
            self._sleep(wait)


def _retry_after(error: HTTPError) -> float | None:
    """Seconds that the endpoint asks to wait; None where it does not say."""
    try:
        return max(0.0, float(error.headers.get("Retry-After", "")))
    except ValueError:
        return None
