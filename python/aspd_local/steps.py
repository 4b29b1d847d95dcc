"""The answers under way in one engine, for any number of threads and event loops.

One thread at a time is inside the engine. Whoever waits for news of an answer makes the next step for all of
them, unless somebody else is making it; what else needs the engine (submit() and the calls about the cache)
goes before the next step. Knows requests, events and their order; knows neither chats nor protocols.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeVar

from aspd_local import _core
from aspd_local.errors import DecodeError
from aspd_local.log import drain_log

if TYPE_CHECKING:
    import asyncio

_Value = TypeVar("_Value")
When = Literal["now", "soon", "next"]
CLOSED = "the model is closed"


class Ticket:
    """An answer under way. Whoever lets go of it, or calls leave(), ends the answer.

    Attributes:
        request_id: the engine's name of it.
    """

    def __init__(self, steps: Steps, request_id: int, timeout_s: float | None) -> None:
        self.request_id = request_id
        self._steps = steps
        self._timeout_s = timeout_s
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._queue: deque[_core.Event | Exception] = deque()
        self._over = False

    def take(self) -> _core.Event | None:
        """What has happened and was not taken yet; None: nothing. Raises DecodeError, TimeoutError."""
        late = self._deadline is not None and time.monotonic() > self._deadline
        if late and not any(map(_is_end, self._queue)):
            raise TimeoutError(f"the answer was not over after {self._timeout_s:g} seconds")
        if not self._queue:
            return None
        news = self._queue.popleft()
        if isinstance(news, Exception):
            self._over = True
            raise news
        self._over = news.kind == _core.EventKind.DONE
        return news

    def leave(self) -> None:
        """Ends the answer, if it is not over, and frees its cells."""
        self._leave("now")

    def leave_soon(self) -> None:
        """As leave(), without waiting: its cells become free on another thread."""
        self._leave("soon")

    def __del__(self) -> None:
        self._leave("next")  # perhaps within the collection of garbage, where nothing may be waited for

    def _leave(self, when: When) -> None:
        if not self._over:
            self._over = True
            self._steps.drop(self.request_id, when)


class Steps:
    """See the module's text. engine: nobody else's."""

    def __init__(self, engine: _core.Engine) -> None:
        self._engine: _core.Engine | None = engine
        self._changed = threading.Condition()  # guards all of the following
        self._inside = False  # somebody is in the engine
        self._n_calls = 0  # that wait for it, and go before the next step
        self._queues: dict[int, deque[_core.Event | Exception]] = {}
        self._loose_ids: set[int] = set()  # requests of submit()
        self._loose: list[_core.Event] = []  # of those
        self._dropped: set[int] = set()  # whose end the engine has not told yet
        self._cancelled: set[int] = set()
        self._failure: DecodeError | None = None  # of the step before
        self._asleep: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._thread: ThreadPoolExecutor | None = None  # for those who must not block: one, as one is inside

    # --- the engine ------------------------------------------------------------------------------------

    @property
    def engine(self) -> _core.Engine:
        """The engine. Raises ValueError when closed."""
        if (engine := self._engine) is None:
            raise ValueError(CLOSED)
        return engine

    @property
    def is_closed(self) -> bool:
        """Whether close() was called."""
        return self._engine is None

    @contextmanager
    def inside(self) -> Iterator[_core.Engine]:
        """The engine to oneself, as soon as the step that runs is over. Raises ValueError when closed."""
        with self._changed:
            self._n_calls += 1
            try:
                while self._inside and self._engine is not None:
                    self._changed.wait()
                engine = self.engine
                self._inside = True
            finally:
                self._n_calls -= 1
        try:
            self._settle()
            yield engine
        finally:
            self._go_out()

    def close(self) -> None:
        """Breaks off the step that runs and gives up the engine. Whoever waits gets a ValueError."""
        with self._changed:
            engine, self._engine = self._engine, None
            if engine is None:
                return
            for request_id in [*self._queues, *self._loose_ids]:
                engine.cancel(request_id)
            self._wake()
            while self._inside:
                self._changed.wait()
            self._queues.clear()
            self._loose_ids.clear()
            self._loose.clear()
            if self._thread is not None:
                self._thread.shutdown(wait=False)

    # --- answers ---------------------------------------------------------------------------------------

    def begin(
        self, request: _core.Request, before: Callable[[], None] | None, timeout_s: float | None = None
    ) -> Ticket:
        """Submits a request. before: called first, with nobody in the engine. Raises: as Engine.submit()."""
        with self.inside() as engine:
            return self._submit(engine, request, before, timeout_s)

    async def abegin(
        self, request: _core.Request, before: Callable[[], None] | None, timeout_s: float | None = None
    ) -> Ticket:
        """As begin(), without blocking the event loop. Whoever is cancelled here leaves nothing behind."""
        begun: list[Ticket] = []
        wanted = True  # under the lock, as what is begun

        def submit(engine: _core.Engine) -> Ticket:
            ticket = self._submit(engine, request, before, timeout_s)
            with self._changed:
                begun.append(ticket)
                if not wanted:
                    ticket.leave_soon()
            return ticket

        try:
            return await self.acall(submit)
        except BaseException:
            with self._changed:
                wanted = False
                for ticket in begun:
                    ticket.leave_soon()
            raise

    def _submit(
        self,
        engine: _core.Engine,
        request: _core.Request,
        before: Callable[[], None] | None,
        timeout_s: float | None,
    ) -> Ticket:
        if before is not None:
            before()
        ticket = Ticket(self, engine.submit(request), timeout_s)
        with self._changed:
            self._queues[ticket.request_id] = ticket._queue
        return ticket

    def submit(
        self, request: _core.Request, before: Callable[[], None] | None, after: Callable[[int], None]
    ) -> int:
        """As begin(), for a request whose events step() gives out. after: called with its id before that."""
        with self.inside() as engine:
            if before is not None:
                before()
            request_id = engine.submit(request)
            with self._changed:
                self._loose_ids.add(request_id)
            after(request_id)
            return request_id

    def next(self, ticket: Ticket) -> _core.Event:
        """The next event of an answer.

        Raises:
            DecodeError: a step of it could not be computed.
            TimeoutError: it has taken too long.
            ValueError: the model was closed.
        """
        while True:
            with self._changed:
                while (event := ticket.take()) is None and not (self._may_step() and self._engine):
                    _ = self.engine
                    self._changed.wait()
                if event is not None:
                    return event
                self._inside = True
            self._step_and_go_out()

    async def anext(self, ticket: Ticket) -> _core.Event:
        """As next(), without blocking the event loop."""
        while True:
            with self._changed:
                if (event := ticket.take()) is not None:
                    return event
                _ = self.engine
                steps = self._may_step()
                if steps:
                    self._inside = True
                    work: asyncio.Future[None] = _on_loop(self._start(self._step_and_go_out))
                else:
                    work = self._sleep()
            await _shielded(work)

    def step(self) -> list[_core.Event]:
        """One step; the events of requests of submit(). Raises DecodeError: as Engine.step()."""
        with self.inside() as engine:
            error = self._step(engine)
        with self._changed:
            news, self._loose = self._loose, []
        if error is not None:
            with self._changed:
                self._loose = [*news, *self._loose]
            raise error
        return news

    @property
    def has_work(self) -> bool:
        """Whether step() would do anything."""
        with self.inside() as engine:
            return bool(self._loose) or engine.has_work

    async def acall(self, call: Callable[[_core.Engine], _Value]) -> _Value:
        """What a call returns that has the engine to itself, computed on another thread."""
        with self._changed:
            self._n_calls += 1
        try:
            while True:
                with self._changed:
                    engine = self.engine
                    if not self._inside:
                        self._inside = True
                        break
                    asleep = self._sleep()
                await asleep
        finally:
            with self._changed:
                self._n_calls -= 1
                self._wake()

        def run() -> _Value:
            try:
                self._settle()
                return call(engine)
            finally:
                self._go_out()

        with self._changed:
            work = _on_loop(self._start(run))
        return await _shielded(work)

    def cancel(self, request_id: int | None = None) -> None:
        """Ends an answer, or all that are under way: they keep what they have. From any thread."""
        with self._changed:
            engine = self._engine
            if engine is None:
                return
            under_way = [*self._queues, *self._loose_ids]
            for each in under_way if request_id is None else [request_id]:
                if each in self._queues:
                    self._cancelled.add(each)
                engine.cancel(each)

    def drop(self, request_id: int, when: When) -> None:
        """Nobody wants an answer any more.

        Args:
            when: its cells are freed before this returns ("now") or on another thread ("soon"), if nobody is
                in the engine; by whoever is in it or comes next ("next").
        """
        with self._changed:
            queue = self._queues.pop(request_id, None)
            self._cancelled.discard(request_id)
            engine = self._engine
            if queue is None or engine is None:
                return
            self._dropped.add(request_id)
            engine.cancel(request_id)
            if when == "next" or not self._may_step():
                return
            self._inside = True
            if when == "soon":
                self._start(self._step_and_go_out)
                return
        self._step_and_go_out()

    # --- inside ----------------------------------------------------------------------------------------

    def _may_step(self) -> bool:
        return not self._inside and self._n_calls == 0

    def _step_and_go_out(self) -> None:
        try:
            if (engine := self._engine) is not None:
                self._step(engine)
        finally:
            self._go_out()

    def _go_out(self) -> None:
        """The engine is free again, with the cells of answers that were dropped while somebody was in it."""
        settled: set[int] = set()
        while True:
            with self._changed:
                dropped = self._dropped - settled
                if self._engine is None or not dropped:
                    self._set_free()
                    return
            settled |= dropped
            try:
                self._settle()
            except BaseException:
                self._set_free()
                raise

    def _set_free(self) -> None:
        with self._changed:
            self._inside = False
            self._wake()

    def _settle(self) -> None:
        """Frees the cells of answers that were dropped."""
        if self._dropped and (engine := self._engine) is not None:
            self._step(engine)

    def _step(self, engine: _core.Engine) -> DecodeError | None:
        """One step; its events go to their queues, an error to those whose step it was, with the next one."""
        error = None
        events: list[_core.Event] = []
        try:
            events = engine.step()
        except DecodeError as failed:
            error = failed
        finally:
            drain_log()
        with self._changed:
            failure, self._failure = self._failure, error
            for event in events:
                self._give_out(event, failure)
            self._wake()
        return error

    def _give_out(self, event: _core.Event, failure: DecodeError | None) -> None:
        ends = event.kind == _core.EventKind.DONE
        queue = self._queues.get(event.request)
        if queue is not None:
            lost = ends and failure is not None and event.result.finish_reason == _core.FinishReason.CANCELLED
            queue.append(failure if lost and failure and event.request not in self._cancelled else event)
            if ends:
                del self._queues[event.request]
        elif event.request in self._loose_ids:
            self._loose.append(event)
        if ends:
            self._loose_ids.discard(event.request)
            self._dropped.discard(event.request)
            self._cancelled.discard(event.request)

    def _wake(self) -> None:
        """Lets all look again who wait."""
        self._changed.notify_all()
        asleep, self._asleep = self._asleep, []
        for loop, future in asleep:
            try:
                loop.call_soon_threadsafe(_finish, future)
            except RuntimeError:  # that loop is closed
                continue

    def _sleep(self) -> asyncio.Future[None]:
        """Done at the next _wake(). On an event loop."""
        import asyncio  # most programs need none of it, and it takes its time

        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._asleep.append((loop, future))
        return future

    def _start(self, work: Callable[[], _Value]) -> Future[_Value]:
        """Runs what has the engine to itself on the thread for it."""
        try:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="aspd-steps")
            return self._thread.submit(work)
        except RuntimeError:  # the interpreter ends
            self._inside = False
            self._wake()
            raise


def _is_end(news: _core.Event | Exception) -> bool:
    return isinstance(news, Exception) or news.kind == _core.EventKind.DONE


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _on_loop(work: Future[_Value]) -> asyncio.Future[_Value]:
    import asyncio

    return asyncio.wrap_future(work)


async def _shielded(work: asyncio.Future[_Value]) -> _Value:
    """What `work` gives. Who is cancelled leaves at once, and the work goes on."""
    import asyncio

    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        work.add_done_callback(lambda done: None if done.cancelled() else done.exception())
        raise
