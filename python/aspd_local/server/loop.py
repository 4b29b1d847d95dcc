"""A thread that steps an engine for many answers at once, and their events on the event loop's side."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from aspd_local.errors import AspdError, CancelledError, DecodeError
from aspd_local.events import Done, Event
from aspd_local.model import Model, Prepared

_log = logging.getLogger("aspd_local.server")


class QueueFullError(AspdError):
    """As many answers wait as may wait."""

    def __init__(self, n_waiting: int) -> None:
        super().__init__(f"{n_waiting} answers are waiting already")
        self.args = (n_waiting,)


@dataclass(frozen=True)
class Timed:
    """An event and when it happened, in seconds after the answer was asked for."""

    event: Event
    seconds: float


class Stream:
    """An answer under way. Made by EngineLoop.ask(); read by one task of its event loop."""

    def __init__(self, owner: EngineLoop, prepared: Prepared) -> None:
        self._owner = owner
        self._news: asyncio.Queue[list[Timed] | Exception] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self.prepared = prepared
        self.begun = time.monotonic()
        self.request_id: int | None = None  # of the engine, once it knows it
        self._accepted: asyncio.Future[None] = self._loop.create_future()
        self.cancelled = False
        self.over = False

    async def accepted(self) -> None:
        """Returns when the engine has taken the question. Raises what it refuses it with."""
        await asyncio.shield(self._accepted)

    async def batches(self) -> AsyncIterator[list[Timed]]:
        """What happened, step by step; the last event is Done. Leaving it early cancels the answer.

        After accepted() has returned.

        Raises:
            DecodeError: a step could not be computed.
        """
        try:
            while True:
                news = await self._news.get()
                if isinstance(news, Exception):
                    raise news
                yield news
                if isinstance(news[-1].event, Done):
                    return
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Ends the answer within the step that runs; nothing happens where it is over."""
        if not self.over and not self.cancelled:
            self.cancelled = True
            self._owner.cancel(self)

    def cancel_branch(self, branch: str) -> None:
        """As Model.cancel_branch(). Raises ValueError."""
        if self.request_id is not None and not self.over:
            self._owner.model.cancel_branch(self.request_id, branch)

    # --- from the engine's thread ------------------------------------------------------------------

    def accept(self, error: Exception | None) -> None:
        """The engine has taken the question, or refused it with an error."""
        self._loop.call_soon_threadsafe(self._settle, error)

    def _settle(self, error: Exception | None) -> None:
        if self._accepted.done():
            return
        if error is None:
            self._accepted.set_result(None)
        else:
            self._accepted.set_exception(error)
            self._accepted.exception()  # nobody need ask

    def put(self, news: list[Timed] | Exception) -> None:
        """Something has happened."""
        self._loop.call_soon_threadsafe(self._news.put_nowait, news)


class EngineLoop:
    """The one thread that is inside a model's engine."""

    def __init__(self, model: Model, n_waiting: int) -> None:
        """n_waiting: most answers that may wait over those that the engine works at."""
        self.model = model
        self._most = model.engine.options.n_requests + n_waiting
        self._n_waiting = n_waiting
        self._wake = threading.Condition()
        self._new: deque[Stream] = deque()
        self._streams: dict[int, Stream] = {}
        self._closing = False
        self._refusing = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="aspd-engine", daemon=True)
        self._thread.start()

    @property
    def n_under_way(self) -> int:
        """Answers that are not over."""
        return len(self._new) + len(self._streams)

    def ask(self, prepared: Sequence[Prepared]) -> list[Stream]:
        """Answers for these questions. On the event loop.

        Raises:
            QueueFullError: they are too many together with those under way.
            CancelledError: after refuse().
        """
        if self._refusing:
            raise CancelledError("no more answers are begun")
        streams = [Stream(self, each) for each in prepared]
        with self._wake:
            if self._closing or self.n_under_way + len(streams) > self._most:
                raise QueueFullError(self._n_waiting)
            self._new.extend(streams)
            self._wake.notify()
        return streams

    def cancel(self, stream: Stream) -> None:
        """See Stream.cancel()."""
        with self._wake:
            if stream.request_id is not None:
                self.model.cancel(stream.request_id)
            self._wake.notify()

    def refuse(self) -> None:
        """Begins no answer any more, nor one that the engine does not know yet."""
        with self._wake:
            self._refusing = True
            for stream in self._new:
                stream.cancelled = True

    def close(self) -> None:
        """Cancels what is under way and ends the thread. The model stays."""
        with self._wake:
            self._closing = True
            for stream in [*self._new, *self._streams.values()]:
                stream.cancelled = True
            self.model.cancel()
            self._wake.notify()
        self._thread.join()

    # --- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._new and not self._streams and not self._closing:
                    self._wake.wait()
                new = list(self._new)
                for stream in new:
                    self._submit(stream)
                self._new.clear()
                if self._closing and not self._streams:
                    return
            self._step()

    def _submit(self, stream: Stream) -> None:
        """The stream's question reaches the engine, which nobody is inside now."""
        if stream.cancelled:
            stream.over = True
            stream.accept(CancelledError("the answer was cancelled before it began"))
            return
        try:
            stream.request_id = self.model.submit(stream.prepared)
        except (AspdError, ValueError) as error:
            stream.over = True
            stream.accept(error)
            return
        self._streams[stream.request_id] = stream
        stream.accept(None)

    def _step(self) -> None:
        try:
            happened = self.model.step()
        except DecodeError as error:
            _log.error("a step failed: %s", error)
            self._failure = error  # the next step() ends the answers of this one
            return
        except Exception as error:
            _log.exception("the engine's loop")
            self._drop_all(error)
            return
        failure, self._failure = self._failure, None
        now = time.monotonic()
        news: dict[int, list[Timed]] = {}
        for request_id, event in happened:
            if (stream := self._streams.get(request_id)) is not None:
                news.setdefault(request_id, []).append(Timed(event, now - stream.begun))
        for request_id, batch in news.items():
            stream = self._streams[request_id]
            last = batch[-1].event
            if isinstance(last, Done):
                stream.over = True
                with self._wake:
                    del self._streams[request_id]
                if last.result.finish_reason == "cancelled" and failure is not None and not stream.cancelled:
                    stream.put(failure)
                    continue
            stream.put(batch)

    def _drop_all(self, error: Exception) -> None:
        """Something that must not happen has: every answer ends with it, the next ones are served."""
        with self._wake:
            streams = list(self._streams.values())
            self._streams.clear()
        self.model.cancel()
        for stream in streams:
            stream.over = True
            stream.put(error)
