"""Enough of a terminal to see what a person sees: printing, newlines, cursor up, erased lines."""

from __future__ import annotations

import io
import re

from rich.cells import cell_len

_CODES = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b\][^\x07]*\x07|(.)", re.DOTALL)


class Terminal(io.StringIO):
    """A file that says it is a terminal. Wide characters take two columns; lines have no end.

    Its cursor does not leave the last `height` lines: what is above them has scrolled away.
    """

    encoding = "utf-8"

    def __init__(self, height: int = 1000) -> None:
        super().__init__()
        self.height = height
        self.lines: list[list[str]] = [[]]
        self.row = self.column = 0
        self.cursor_visible = True
        self.widest = 0

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        for match in _CODES.finditer(text):
            argument, code, character = match.groups()
            if character is not None:
                self._put(character)
            elif code is not None:
                self._obey(code, argument)
        return len(text)

    def screen(self) -> str:
        """All lines that were not erased, without spaces at their ends."""
        return "\n".join("".join(line).rstrip() for line in self.lines).rstrip("\n")

    def _put(self, character: str) -> None:
        if character == "\n":
            self.row, self.column = self.row + 1, 0
            while self.row >= len(self.lines):
                self.lines.append([])
        elif character == "\r":
            self.column = 0
        else:
            line = self.lines[self.row]
            line += [" "] * (self.column - len(line))
            n_cells = cell_len(character)
            line[self.column : self.column + max(n_cells, 1)] = [character, ""][: max(n_cells, 1)]
            self.column += n_cells
            self.widest = max(self.widest, self.column)

    def _obey(self, code: str, argument: str) -> None:
        if code == "A":
            self.row -= int(argument or 1)
            assert self.row >= max(0, len(self.lines) - self.height)
        elif code == "K":
            assert argument == "2"
            self.lines[self.row] = []
        elif code in "hl" and argument.startswith("?"):
            if argument == "?25":
                self.cursor_visible = code == "h"
        else:
            assert code == "m", f"unknown code {argument}{code}"
