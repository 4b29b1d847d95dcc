"""Server-sent events as unmodified clients bear them: `data:` lines alone, a keep-alive of one line.

No `id:` lines, no comment with a blank line behind it, and `event:` lines in responses alone, whose clients
know them: some clients stop at each of these.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

KEEP_ALIVE_S = 15.0
DONE = b"data: [DONE]\n\n"


def data_line(body: dict[str, Any]) -> bytes:
    """An event of the stream."""
    return b"data: " + json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def event_lines(body: dict[str, Any]) -> bytes:
    """An event that has a type, which its own line names too."""
    return f"event: {body['type']}\n".encode() + data_line(body)


async def gone(receive: Receive) -> None:
    """Returns when the client has left."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return


class EventStream(Response):
    """An answer in pieces. When the client leaves, or takes nothing for too long, they are closed.

    held: what the answer needs; given back at the end, also where no piece was asked for.
    """

    media_type = "text/event-stream"

    def __init__(self, pieces: AsyncIterator[bytes], held: AsyncExitStack, send_s: float) -> None:
        self.status_code = 200
        self.background = None
        self.body = b""
        self._pieces = pieces
        self._held = held
        self._send_s = send_s
        self.init_headers({"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        self.raw_headers = [header for header in self.raw_headers if header[0] != b"content-length"]

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await self._send_while_there(receive, send)

    async def _send_while_there(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        left = asyncio.ensure_future(gone(receive))
        sent = asyncio.ensure_future(self._send_all(send))
        try:
            await asyncio.wait({left, sent}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (left, sent):
                task.cancel()
            await asyncio.gather(left, sent, return_exceptions=True)

    async def _send_all(self, send: Send) -> None:
        pieces = self._pieces.__aiter__()
        waiting = asyncio.ensure_future(anext(pieces, None))
        try:
            while True:
                done, _ = await asyncio.wait({waiting}, timeout=KEEP_ALIVE_S)
                piece = waiting.result() if done else b": ping\n"
                more = piece is not None
                body = {"type": "http.response.body", "body": piece or b"", "more_body": more}
                await _within(self._send_s, send(body))
                if not more:
                    return
                if done:
                    waiting = asyncio.ensure_future(anext(pieces, None))
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            if (close := getattr(pieces, "aclose", None)) is not None:
                await close()


async def _within(seconds: float, work: Awaitable[None]) -> None:
    """Awaits it for so long. Raises asyncio.TimeoutError.

    Unlike asyncio.wait_for() before Python 3.12 it never swallows a cancellation that comes in the very
    moment in which the work is done.
    """
    running = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({running}, timeout=seconds)
        if not done:
            raise asyncio.TimeoutError
        running.result()
    finally:
        running.cancel()
