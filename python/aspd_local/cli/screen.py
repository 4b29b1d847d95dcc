"""Shows an answer while it is decoded: on a terminal with panes, elsewhere as plain text in reading order."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text as Line

from aspd_local.cli.panes import ASCII, ROUND, Panes
from aspd_local.cli.wrap import Wrapper, harmless
from aspd_local.events import Done, End, Event, Fork, Join, ReadingOrder, Text

if TYPE_CHECKING:
    from aspd_local.results import Answer

FRAMES_PER_SECOND = 12


class Screen(Protocol):
    """Takes the events of one answer. Closed early, it leaves the text that was there on the screen."""

    def __enter__(self) -> Screen: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def feed(self, event: Event) -> None: ...


def open_screen(file: TextIO | None = None) -> Screen:
    """The screen that fits stdout, or `file`."""
    console = Console(file=file, highlight=False, markup=False, emoji=False)
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveScreen(console)
    return PlainScreen(file or sys.stdout)


def show(
    events: Iterable[Event], screen: Screen, *, on_first: Callable[[], None] | None = None
) -> Answer | None:
    """Feeds all events to the screen and returns the answer; None if the events end without one.

    Args:
        on_first: called when the first event is here.
    """
    answer = None
    with screen:
        for event in events:
            if on_first is not None:
                on_first()
                on_first = None
            screen.feed(event)
            if isinstance(event, Done):
                answer = event.result
    return answer


class Silent:
    """Shows nothing."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def feed(self, event: Event) -> None: ...


class PlainScreen:
    """Text in reading order, piece by piece, as it is; at the end a newline."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._order = ReadingOrder()
        self._last = "\n"

    def __enter__(self) -> PlainScreen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and issubclass(kind, BrokenPipeError):
            return
        if self._last != "\n":
            self._write("\n")

    def feed(self, event: Event) -> None:
        if piece := self._order.feed(event):
            self._write(piece)

    def _write(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()
        self._last = text[-1]


class LiveScreen:
    """The trunk as it comes; the branches of a block in panes, which fold into the text at the join."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._borders = ROUND if console.encoding.lower().startswith("utf") else ASCII
        self._wrapper = Wrapper(console.width)
        self._panes: Panes | None = None
        self._live: Live | None = None
        self._drawn_at = 0.0
        self._at_line_start = True
        self._broke_line = False  # before the panes, in the middle of a line

    def __enter__(self) -> LiveScreen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._fold()
        self._write(self._wrapper.flush())
        self._end_line()

    def feed(self, event: Event) -> None:
        match event:
            case Text(None, _, text):
                self._say(text)
            case Fork():
                self._open(event)
            case Text() | End():
                self._grow(event)
            case Join() | Done():
                self._fold()

    def _open(self, fork: Fork) -> None:
        self._write(self._wrapper.flush())
        self._broke_line = not self._at_line_start
        self._end_line()
        self._panes = Panes(fork)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            vertical_overflow="crop",
        )
        self._live.start()
        self._draw()

    def _grow(self, event: Event) -> None:
        if self._panes is None:
            return
        self._panes.feed(event)
        if isinstance(event, End) or self._clock() - self._drawn_at >= 1 / FRAMES_PER_SECOND:
            self._draw()

    def _draw(self) -> None:
        if self._live is None or self._panes is None:
            return
        width, height = self._console.size
        # One line stays free for the cursor; the last column too, where some terminals wrap early.
        lines = self._panes.draw(width - 1, height - 2, self._borders)
        self._live.update(Group(*lines), refresh=True)
        self._drawn_at = self._clock()

    def _fold(self) -> None:
        """Takes the panes away and writes what was in them."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        panes, self._panes = self._panes, None
        if panes is None:
            return
        for pane in panes.panes:
            lead, heading, body = pane.split()
            if self._broke_line:
                lead = lead.removeprefix("\n")
                self._broke_line = False
            self._say(lead)
            if not heading.endswith("\n"):
                body = heading + body
            else:
                self._write(self._wrapper.flush())
                self._end_line()
                title = Line(harmless(pane.title), style=f"bold {pane.colour}")
                self._console.print(title)
                self._at_line_start = True
                self._wrapper = Wrapper(self._console.width)
            self._say(body)

    def _say(self, text: str) -> None:
        self._wrapper.resize(self._console.width)
        self._write(self._wrapper.feed(harmless(text)))

    def _end_line(self) -> None:
        if not self._at_line_start:
            self._say("\n")

    def _write(self, text: str) -> None:
        if text:
            self._console.file.write(text)
            self._console.file.flush()
            self._at_line_start = text.endswith("\n")
