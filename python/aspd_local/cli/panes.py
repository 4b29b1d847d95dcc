"""The branches of one block, side by side: what is known of them, and how that is drawn.

Pure: events in, lines out. Knows nothing of terminals, clocks and models.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text as Line

from aspd_local.cli.wrap import Wrapper, fit, harmless, n_words
from aspd_local.data.titles import body_of, clean
from aspd_local.events import End, Event, Fork, Text, branch_name

_COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "red")
_ROOMY = (30, 5)  # cells and lines of a pane, borders included, that read well
_TIGHT = (20, 4)  # and the least that can be read


@dataclass(frozen=True)
class Borders:
    """The characters that boxes are made of."""

    corners: str
    across: str
    down: str
    over: str


ROUND = Borders(corners="╭╮╰╯", across="─", down="│", over="✓")
ASCII = Borders(corners="++++", across="-", down="|", over="*")


def heading(title: str) -> str:
    """How a branch's text begins where the protocol shows the title as a heading."""
    return f"**{title}**\n"


def name(title: str) -> str:
    """A title without the marks of its list and its emphasis: panes have numbers of their own."""
    return clean(body_of(title)).strip(":-–—| ") or title  # noqa: RUF001


class Pane:
    """One branch."""

    def __init__(self, number: int, title: str, colour: str) -> None:
        self.number = number
        self.title = title
        self.colour = colour
        self.text = ""
        self.over = False
        self.n_lines = 1  # drawn so far; a pane never shrinks
        self._wrapper: Wrapper | None = None
        self._wrapped = ""
        self._n_wrapped = 0

    def split(self) -> tuple[str, str, str]:
        """White space before the title, the title as shown, what the branch says; together the text."""
        body = self.text.lstrip()
        lead = self.text[: len(self.text) - len(body)]
        for line in (heading(self.title), self.title):
            if body.startswith(line):
                return lead, line, body[len(line) :]
        return lead, "", body

    def n_words(self) -> int:
        return n_words(self.split()[2])

    def lines(self, width: int) -> list[str]:
        """What the branch says, in lines of at most `width` cells. Only what is new is wrapped."""
        said = self.split()[2].lstrip()
        if self._wrapper is None or self._wrapper.width != width or self._n_wrapped > len(said):
            self._wrapper, self._wrapped, self._n_wrapped = Wrapper(width), "", 0
        self._wrapped += self._wrapper.feed(harmless(said[self._n_wrapped :]))
        self._n_wrapped = len(said)
        return (self._wrapped + self._wrapper.waiting()).rstrip().split("\n")


@dataclass(frozen=True)
class Grid:
    """How many panes stand in each row, and how high a row may become, borders included."""

    rows: tuple[int, ...]
    height: int


def arrange(n_panes: int, width: int, height: int) -> Grid | None:
    """As few rows as leave panes that read well, else panes that can be read at all, else None."""
    for least_width, least_height in (_ROOMY, _TIGHT):
        for n_rows in range(1, n_panes + 1):
            n_columns = -(-n_panes // n_rows)
            if width // n_columns >= least_width and height // n_rows >= least_height:
                filled = [n_panes // n_rows + (row < n_panes % n_rows) for row in range(n_rows)]
                return Grid(rows=tuple(filled), height=height // n_rows)
    return None


class Panes:
    """The open block."""

    def __init__(self, fork: Fork, moved: str = "") -> None:
        """moved: text of the trunk that has become the beginning of branch 1."""
        self.block = fork.block
        self.panes: list[Pane] = []
        self._by_name: dict[str, Pane] = {}
        self.grow(fork)
        if moved:
            self.panes[0].text = moved

    def grow(self, fork: Fork) -> None:
        """Adds panes for the titles that are new."""
        for number, title in list(enumerate(fork.titles, 1))[len(self.panes) :]:
            pane = Pane(number, title, _COLOURS[(number - 1) % len(_COLOURS)])
            self.panes.append(pane)
            self._by_name[branch_name(fork.block, number)] = pane

    def feed(self, event: Event) -> None:
        """Takes in text and ends of this block's branches; other events change nothing."""
        if isinstance(event, Text) and event.branch is not None:
            self._by_name[event.branch].text += event.text
        elif isinstance(event, End):
            self._by_name[event.branch].over = True

    def draw(self, width: int, height: int, borders: Borders = ROUND) -> list[Line]:
        """At most `height` lines of exactly `width` cells; of a long branch the last lines."""
        grid = arrange(len(self.panes), width, height)
        if grid is None:
            return self._draw_list(width, height, borders)
        lines: list[Line] = []
        left = list(self.panes)
        for n_columns in grid.rows:
            lines += _draw_row(left[:n_columns], width, grid.height - 2, borders)
            del left[:n_columns]
        return lines

    def _draw_list(self, width: int, height: int, borders: Borders) -> list[Line]:
        """A line for each branch, for terminals too small for boxes; those still being written come first."""
        n_shown = len(self.panes) if len(self.panes) <= height else max(height - 1, 0)
        chosen = sorted(self.panes, key=lambda pane: (pane.over, pane.number))[:n_shown]
        lines = [_draw_line(pane, width, borders) for pane in sorted(chosen, key=lambda pane: pane.number)]
        if n_shown < len(self.panes) and height > 0:
            lines.append(Line(fit(f"… and {len(self.panes) - n_shown} more", width), style="dim"))
        return lines


def _draw_row(panes: list[Pane], width: int, most_lines: int, borders: Borders) -> list[Line]:
    widths = [width // len(panes) + (i < width % len(panes)) for i in range(len(panes))]
    said = [pane.lines(w - 4) for pane, w in zip(panes, widths, strict=True)]
    longest = max(*(len(lines) for lines in said), *(pane.n_lines for pane in panes))
    for pane in panes:
        pane.n_lines = min(longest, most_lines)
    boxes = [_draw_box(pane, lines, w, borders) for pane, lines, w in zip(panes, said, widths, strict=True)]
    return [Line.assemble(*parts) for parts in zip(*boxes, strict=True)]


def _draw_box(pane: Pane, said: list[str], width: int, borders: Borders) -> list[Line]:
    edge = f"dim {pane.colour}" if pane.over else pane.colour
    top = Line(f"{borders.corners[0]}{borders.across} ", style=edge)
    title = fit(f"{pane.number} {harmless(name(pane.title))}", width - 5).rstrip()
    top.append(title, style=f"bold {pane.colour}")
    top.append(" " + borders.across * (width - 5 - cell_len(title)) + borders.corners[1])
    n_words = pane.n_words()
    note = f" {n_words} word{'s' if n_words != 1 else ''}{' ' + borders.over if pane.over else ''} "
    bottom = Line(borders.corners[2] + borders.across * (width - 3 - len(note)), style=edge)
    bottom.append(note + borders.across + borders.corners[3])
    visible = said[-pane.n_lines :]
    lines = [top]
    for i in range(pane.n_lines):
        line = Line(f"{borders.down} ", style=edge)
        line.append(set_cell_size(visible[i] if i < len(visible) else "", width - 4), style="default not dim")
        line.append(f" {borders.down}")
        lines.append(line)
    return [*lines, bottom]


def _draw_line(pane: Pane, width: int, borders: Borders) -> Line:
    mark = borders.over if pane.over else " "
    title = f"{pane.number} {harmless(name(pane.title))}:"
    line = Line(f"{mark} {fit(title, min(cell_len(title), width // 2))}", style=pane.colour)
    rest = width - line.cell_len - 1
    tail = " ".join(harmless(pane.split()[2]).split())[-rest:]
    while cell_len(tail) > rest:
        tail = tail[1:]
    line.append(" " + set_cell_size(tail, rest), style="default")
    return line
