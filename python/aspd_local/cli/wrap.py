"""Text for a terminal: control characters made harmless, lines broken at words. Knows nothing of answers."""

from __future__ import annotations

import re

from rich.cells import cell_len, set_cell_size

_TAB = 8
_IDEOGRAPH = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
# Escape sequences in an answer must not reach the terminal. Carriage returns go, tabs and newlines stay.
_CONTROL = dict.fromkeys((*range(32), *range(127, 160)), "\ufffd")
_CONTROL |= {ord("\t"): "\t", ord("\n"): "\n", ord("\r"): ""}


def harmless(text: str) -> str:
    """The text without control characters that a terminal would obey; tabs and newlines stay."""
    return text.translate(_CONTROL)


def fit(text: str, width: int) -> str:
    """One line of exactly `width` cells, white space collapsed; filled with spaces or cut."""
    text = " ".join(text.split())
    if cell_len(text) > width > 0:
        text = set_cell_size(text, width - 1).rstrip() + "…"
    return set_cell_size(text, width)


class Wrapper:
    """Breaks a text that arrives in pieces into lines of at most `width` cells, at spaces where it can.

    The last word waits until it is complete, because it may have to move to the next line. A wide character
    is a word of its own.
    """

    def __init__(self, width: int) -> None:
        self.width = max(width, 2)
        self.column = 0  # cells used in the unfinished line
        self._gap = ""  # spaces before the word
        self._word: list[str] = []
        self._word_cells = 0

    def feed(self, text: str) -> str:
        """The text that may be shown now, with line breaks put in."""
        pieces: list[str] = []
        for character in text:
            if character == "\n":
                pieces += [self.flush(), "\n"]
                self.column = 0
            elif character in " \t":
                pieces.append(self._place())
                self._gap += " " if character == " " else self._tab()
            else:
                n_cells = cell_len(character)
                after_wide = self._word_cells > 1 and cell_len(self._word[0]) > 1
                if self._word_cells + n_cells > self.width or (n_cells and (n_cells > 1 or after_wide)):
                    pieces.append(self._place())
                self._word.append(character)
                self._word_cells += n_cells
        return "".join(pieces)

    def flush(self) -> str:
        """The word that was waiting. Spaces at the end of a line are dropped."""
        placed = self._place()
        self._gap = ""
        return placed

    def waiting(self) -> str:
        """What flush() would return, changing nothing."""
        column, gap, word, n_cells = self.column, self._gap, self._word, self._word_cells
        placed = self.flush()
        self.column, self._gap, self._word, self._word_cells = column, gap, word, n_cells
        return placed

    def resize(self, width: int) -> None:
        """Lines from here on have another width."""
        self.width = max(width, 2)

    def _tab(self) -> str:
        return " " * (_TAB - (self.column + len(self._gap)) % _TAB)

    def _place(self) -> str:
        if not self._word:
            return ""
        gap, word, n_cells = self._gap, "".join(self._word), self._word_cells
        self._gap, self._word, self._word_cells = "", [], 0
        if self.column + len(gap) + n_cells <= self.width:
            self.column += len(gap) + n_cells
            return gap + word
        line_break = "\n" if self.column else ""
        self.column = n_cells
        return line_break + word


def n_words(text: str) -> int:
    """Words as a reader counts them: what spaces part; of Chinese and Japanese text each character.

    Korean has spaces. Thai and other scripts without spaces, of which only a dictionary tells the words, are
    counted by their spaces all the same.
    """
    n = 0
    for word in text.split():
        others = _IDEOGRAPH.split(word)
        n_ideographs = len(others) - 1
        n += n_ideographs + sum(any(map(str.isalnum, part)) for part in others) if n_ideographs else 1
    return n
