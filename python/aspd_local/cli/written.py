"""Text on a terminal, line by line, whose end can be taken back while it is on the screen.

Knows nothing of answers.
"""

from __future__ import annotations

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text as Line

from aspd_local.cli.wrap import Wrapper, harmless

_ERASE = (ControlType.ERASE_IN_LINE, 2)
_UP = (ControlType.CURSOR_UP, 1)


class Written:
    """Writes to a console and remembers what it wrote since its last title."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._n_below = 0  # lines below the cursor that were used: the screen has scrolled for them
        self._begin()

    def _begin(self) -> None:
        """What comes now stands on a line of its own; what is above it stays."""
        self._width = self._console.width
        self._resized = False
        self._wrapper = Wrapper(self._width)
        self._said = ""
        self._shown = ""  # of it, with line breaks put in
        self._broke_line = False  # which was not over

    def say(self, text: str) -> None:
        """Goes on with this text. Its last word waits until it is complete."""
        if text and self._broke_line:
            text = text.removeprefix("\n")
            self._broke_line = False
        self._resized |= self._console.width != self._width
        self._wrapper.resize(self._console.width)
        self._said += text
        self._put(self._wrapper.feed(harmless(text)))

    def title(self, line: Line) -> None:
        """Writes a line of its own, which stays."""
        self.end()
        self._console.print(line)
        self._n_below = max(0, self._n_below - 1)
        self._begin()

    def end(self) -> None:
        """The last word waits no longer, and the line is over."""
        self._put(self._wrapper.flush())
        if self._shown and not self._shown.endswith("\n"):
            self._put("\n")

    def resume(self, n_drawn: int) -> None:
        """After end(): goes on in the line that was ended, below which so many lines were drawn and erased.

        Where that line cannot be reached any more, the next newline is dropped, as one is there already.
        """
        self._n_below = max(self._n_below, n_drawn)
        broken = self._said != "" and not self._said.endswith("\n")
        if not self._rewrite(self._said):
            self._begin()
            self._broke_line = broken

    def take_back(self, n: int) -> bool:
        """Takes the last n code points off the screen. False: they have left it, and nothing happens."""
        return n <= len(self._said) and self._rewrite(self._said[: len(self._said) - n])

    def _rewrite(self, said: str) -> bool:
        """Shows this instead of what is shown, if the lines that differ are on the screen."""
        if self._resized or self._console.width != self._width:
            return False  # the terminal may have broken the lines anew
        wrapper = Wrapper(self._width)
        shown = wrapper.feed(harmless(said))
        old, new = self._shown.split("\n"), shown.split("\n")
        n_same = 0
        while n_same < min(len(old), len(new)) - 1 and old[n_same] == new[n_same]:
            n_same += 1
        n_up = len(old) - 1 - n_same
        if n_up + self._n_below >= self._console.height:
            return False
        if shown != self._shown:
            self._console.control(Control(ControlType.CARRIAGE_RETURN, _ERASE, *[_UP, _ERASE] * n_up))
            self._n_below += n_up
            self._put("\n".join(new[n_same:]))
        self._wrapper, self._said, self._shown = wrapper, said, shown
        return True

    def _put(self, text: str) -> None:
        if text:
            self._console.file.write(text)
            self._console.file.flush()
            self._shown += text
            self._n_below = max(0, self._n_below - text.count("\n"))
