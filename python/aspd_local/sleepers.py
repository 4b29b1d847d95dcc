"""Tasks that wait for a thread, on any event loops.

asyncio is imported when it is needed: most programs need none of it, and it takes its time.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import asyncio

_Value = TypeVar("_Value")


class Sleepers:
    """Tasks that sleep until something changes. Locks nothing: its owner does."""

    def __init__(self) -> None:
        self._asleep: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def sleep(self) -> asyncio.Future[None]:
        """Done at the next wake(). On an event loop."""
        import asyncio

        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._asleep.append((loop, future))
        return future

    def wake(self) -> None:
        """Lets all look again. From any thread."""
        asleep, self._asleep = self._asleep, []
        for loop, future in asleep:
            try:
                loop.call_soon_threadsafe(_finish, future)
            except RuntimeError:  # that loop is closed
                continue


def on_loop(work: Future[_Value]) -> asyncio.Future[_Value]:
    """A thread's work, as this event loop waits for it."""
    import asyncio

    return asyncio.wrap_future(work)


async def shielded(work: asyncio.Future[_Value]) -> _Value:
    """What `work` gives. Who is cancelled leaves at once, and the work goes on."""
    import asyncio

    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        work.add_done_callback(lambda done: None if done.cancelled() else done.exception())
        raise


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
