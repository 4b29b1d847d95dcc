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

from aspd_local.cli.panes import ASCII, ROUND, Pane, Panes
from aspd_local.cli.wrap import harmless
from aspd_local.cli.written import Written
from aspd_local.events import Done, End, Event, Fork, Join, ReadingOrder, Text, Unfork

if TYPE_CHECKING:
    from aspd_local.results import Answer

FRAMES_PER_SECOND = 12
# Beside the panes: for the cursor, and for the line in which the text goes on, which its last word may break.
_SPARE_LINES = 3
_SPARE_COLUMNS = 2  # for the ^C that a terminal echoes: it must begin no line


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
        if kind is not None and issubclass(kind, OSError):  # of the stream, most likely
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
    """The trunk as it comes; the branches of a block in panes, which fold into the text at the join.

    Text of the trunk that becomes branch 1 moves into its pane. If it has left the screen, it stays where it
    is, and stands in the pane too while that is open.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._borders = ROUND if console.encoding.lower().startswith("utf") else ASCII
        self._written = Written(console)
        self._n_trunk = 0  # code points
        self._stretch = ""  # of the trunk since the last block
        self._panes: Panes | None = None
        self._n_above = 0  # code points of the open block's branch 1 that stand above the panes
        self._live: Live | None = None
        self._n_drawn = 0  # lines that the open block's panes have taken at most
        self._drawn_at = 0.0

    def __enter__(self) -> LiveScreen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._fold()
        self._written.end()

    def feed(self, event: Event) -> None:
        match event:
            case Text(None, offset, text):
                self._n_trunk = offset + len(text)
                self._stretch += text
                self._written.say(text)
            case Fork(block) if self._panes is not None and self._panes.block == block:
                self._panes.grow(event)
                self._draw()
            case Fork():
                self._open(event)
            case Text() | End():
                self._grow(event)
            case Unfork():
                self._unfork()
            case Join() | Done():
                self._fold()

    def _open(self, fork: Fork) -> None:
        n_moved = self._n_trunk - fork.offset
        n_kept = len(self._stretch) - n_moved
        moved, self._stretch = self._stretch[n_kept:], self._stretch[:n_kept]
        self._n_trunk = fork.offset
        self._n_above = 0 if self._written.take_back(n_moved) else n_moved
        self._written.end()
        self._panes = Panes(fork, moved)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            vertical_overflow="crop",
        )
        self._live.start()
        self._n_drawn = 0
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
        lines = self._panes.draw(width - _SPARE_COLUMNS, height - _SPARE_LINES, self._borders)
        self._live.update(Group(*lines), refresh=True)
        self._n_drawn = max(self._n_drawn, len(lines))
        self._drawn_at = self._clock()

    def _close(self) -> list[Pane]:
        """Takes the panes away, if there are some; the cursor is where the trunk paused."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._panes is None:
            return []
        panes, self._panes = self._panes.panes, None
        self._written.resume(self._n_drawn)
        return panes

    def _unfork(self) -> None:
        """Takes the panes away and writes what the first one said, as the trunk's."""
        if panes := self._close():
            text = panes[0].text
            self._n_trunk += len(text)
            self._stretch += text
            self._written.say(text[self._n_above :])

    def _fold(self) -> None:
        """Takes the panes away and writes what was in them."""
        for pane in self._close():
            self._stretch = ""
            if pane.number == 1 and self._n_above:
                self._written.say(pane.text[self._n_above :])
                continue
            lead, heading, body = pane.split()
            self._written.say(lead)
            if heading.endswith("\n"):
                self._written.title(Line(harmless(pane.title), style=f"bold {pane.colour}"))
            else:
                body = heading + body
            self._written.say(body)
