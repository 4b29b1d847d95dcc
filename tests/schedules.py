"""Random answers as an engine might tell them: what its events are, and what a reader reads."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from aspd_local.events import End, Event, Fork, Join, Text, Unfork, branch_name
from aspd_local.results import FinishReason

LETTERS = ("a", "é", "→", "\n", " b", '"', "\\", "𝄞", "日", "**", "\t", "\u2028")
REASONS: tuple[FinishReason, ...] = ("stop", "length", "cancelled")


@dataclass
class Schedule:
    """Trunks and blocks. The text of a trunk may become a branch's, blocks grow, some are taken back.

    Attributes:
        letters: what words are made of.
        events: what has happened so far, without Done.
    """

    dice: random.Random
    letters: Sequence[str] = LETTERS
    events: list[Event] = field(default_factory=list)
    _settled: str = ""  # text up to the last block's end
    _stretch: str = ""  # of the trunk since then
    _n_trunk: int = 0
    _n_blocks: int = 0

    @property
    def text(self) -> str:
        """What a reader should have read."""
        return self._settled + self._stretch

    def words(self, most: int) -> list[str]:
        n = self.dice.randint(0, most)
        return ["".join(self.dice.choices(self.letters, k=self.dice.randint(1, 3))) for _ in range(n)]

    def trunk(self) -> None:
        for word in self.words(5):
            self.events.append(Text(None, self._n_trunk, word))
            self._stretch += word
            self._n_trunk += len(word)

    def block(self) -> None:
        """A block that joins, or is taken back."""
        dice, number = self.dice, self._n_blocks + 1
        n_moved = dice.choice([0, dice.randint(0, len(self._stretch))])
        n_kept = len(self._stretch) - n_moved
        offset = self._n_trunk - n_moved
        titles = tuple(f"{number}-{n}" for n in range(1, dice.randint(1, 5) + 1))
        n_open = dice.randint(1, len(titles))
        taken_back = dice.random() < 0.4
        self.events.append(Fork(number, titles[:n_open], offset))
        said = dict.fromkeys(range(1, len(titles) + 1), "")
        said[1] = self._stretch[n_kept:]
        left = {n: self.words(8) for n in said}
        while left:
            choices = [n for n in left if n <= n_open and not (taken_back and n == 1 and not left[n])]
            if n_open < len(titles) and (not choices or dice.random() < 0.2):
                n_open = dice.randint(n_open + 1, len(titles))
                self.events.append(Fork(number, titles[:n_open], offset))
                continue
            if taken_back and (not choices or dice.random() < 0.1):
                break
            n = dice.choice(choices)
            name = branch_name(number, n)
            if not left[n]:
                del left[n]
                self.events.append(End(name, dice.choice(REASONS)))
                continue
            word = left[n].pop(0)
            self.events.append(Text(name, len(said[n]), word))
            said[n] += word
        self._stretch = self._stretch[:n_kept]
        if taken_back:
            self.events.append(Unfork(number))
            self._stretch += said[1]
            self._n_trunk = offset + len(said[1])
        else:
            self.events.append(Join(number))
            self._settled += self._stretch + "".join(said.values())
            self._stretch = ""
            self._n_trunk = offset
            self._n_blocks = number


def random_schedule(dice: random.Random, letters: Sequence[str] = LETTERS) -> Schedule:
    """Up to four blocks with trunks around them."""
    schedule = Schedule(dice, letters)
    schedule.trunk()
    for _ in range(dice.randint(0, 4)):
        schedule.block()
        schedule.trunk()
    return schedule
