"""A stream and a client that leaves in any turn of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from aspd_local.server.sending import EventStream


class Client:
    """Leaves after so many turns of the event loop. Takes a piece in one turn, or never."""

    def __init__(self, n_turns: int, *, takes: bool = True) -> None:
        self._n_turns = n_turns
        self._takes = takes
        self.n_pieces = 0

    async def receive(self) -> dict[str, Any]:
        for _ in range(self._n_turns):
            await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            self.n_pieces += 1
            if not self._takes:
                await asyncio.Event().wait()
            await asyncio.sleep(0)


async def listened(client: Client, send_s: float = 30) -> bool:
    """Whether an answer without an end was ended, in less than ten more pieces."""
    closed = False

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal closed
        try:
            for _ in range(client._n_turns + 10):
                yield b"data: {}\n\n"
                await asyncio.sleep(0)
            raise AssertionError("nobody listens any more")
        finally:
            closed = True

    async with AsyncExitStack() as held:
        answer = EventStream(pieces(), held.pop_all(), send_s)
        await answer({"type": "http"}, client.receive, client.send)  # type: ignore[arg-type]
    return closed


@pytest.mark.parametrize("n_turns", range(40))
def test_answer_ends_whenever_its_client_leaves(n_turns: int) -> None:
    client = Client(n_turns)
    assert asyncio.run(asyncio.wait_for(listened(client), 10))
    assert client.n_pieces <= n_turns + 2


def test_answer_ends_when_nothing_is_taken() -> None:
    client = Client(10**9, takes=False)
    assert asyncio.run(asyncio.wait_for(listened(client, send_s=0.05), 10))
    assert client.n_pieces == 1
