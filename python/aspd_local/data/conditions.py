"""The texts of the likelihood test as one tree, so that what they share is decoded once. Token ids only.

prefix -+- branch 1, ..., branch n - tail         alone, and the tail behind their join
        +- branch 1 - branch 2 ... branch n, tail true siblings, serially; its branch 1 is that above
        +- foreign 1 -+- branch 2
                      +- foreign 2 -+- branch 3   foreign siblings, a chain that forks at every link
                                    +- ...
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

Nats = tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Token ids of a block and what is around it.

    Attributes:
        prefix: [n_prefix], prompt and answer up to the block.
        branches: [n_branches][n_tokens]. foreign: the same lengths but the last branch's.
        tail: [n_tail], the beginning of what follows.
        words: [n_branches][n_tokens], as BranchScores has them.
    """

    prefix: Sequence[int]
    branches: Sequence[Sequence[int]]
    foreign: Sequence[Sequence[int]]
    tail: Sequence[int]
    words: Sequence[tuple[int, ...]]


@dataclass
class Tree:
    """Texts that go on from each other: nodes[i] from its parents[i], none, one, or the join of several.

    Attributes:
        scored: [n_nodes], whether a node's likelihood is asked for.
    """

    nodes: list[list[int]] = field(default_factory=list)
    parents: list[list[int]] = field(default_factory=list)
    scored: list[bool] = field(default_factory=list)

    def add(self, token_ids: Sequence[int], *parents: int, scored: bool = True) -> int:
        """The number of the new node."""
        self.nodes.append(list(token_ids))
        self.parents.append(list(parents))
        self.scored.append(scored)
        return len(self.nodes) - 1

    @property
    def n_tokens(self) -> int:
        """Of all nodes."""
        return sum(map(len, self.nodes))


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Which node is which. alone: of branches 1 ... n; foreign: of branches 2 ... n. joined: the tail behind
    their join; None where there is no tail. serial: branches 2 ... n and the tail,
    behind the first of `alone`.
    """

    tree: Tree
    alone: tuple[int, ...]
    serial: int
    foreign: tuple[int, ...]
    joined: int | None

    @classmethod
    def of(cls, texts: Texts) -> Conditions:
        """The tree of a block of at least two branches."""
        tree = Tree()
        root = tree.add(texts.prefix, scored=False)
        alone = [tree.add(branch, root) for branch in texts.branches]
        joined = tree.add(texts.tail, *alone) if texts.tail else None
        rest = [token for part in (*texts.branches[1:], texts.tail) for token in part]
        serial = tree.add(rest, alone[0])
        foreign = []
        link = root
        for piece, branch in zip(texts.foreign, texts.branches[1:], strict=True):
            link = tree.add(piece, link, scored=False)
            foreign.append(tree.add(branch, link))
        return cls(tree=tree, alone=tuple(alone), serial=serial, foreign=tuple(foreign), joined=joined)


def cut(scores: Sequence[float], lengths: Sequence[int]) -> list[Nats]:
    """The scores of neighbouring texts of those lengths."""
    ends = list(accumulate(lengths, initial=0))
    return [tuple(scores[begin:end]) for begin, end in pairwise(ends)]
