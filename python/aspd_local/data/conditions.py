"""The texts of the likelihood test as one tree, so that what they share is decoded once. Token ids only.

prefix -+- branch 1 ... branch n, tail            true siblings, serially
        +- branch 2; ... ; branch n               alone, where no join is scored
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
        n_heads: [n_branches], tokens by which a branch repeats its title.
    """

    prefix: Sequence[int]
    branches: Sequence[Sequence[int]]
    foreign: Sequence[Sequence[int]]
    tail: Sequence[int]
    n_heads: Sequence[int]


@dataclass
class Tree:
    """Texts that go on from each other: nodes[i] from the end of nodes[parents[i]]; -1: from nothing."""

    nodes: list[list[int]] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)

    def add(self, token_ids: Sequence[int], parent: int) -> int:
        """The number of the new node."""
        self.nodes.append(list(token_ids))
        self.parents.append(parent)
        return len(self.nodes) - 1

    def path(self, node: int) -> list[int]:
        """The token ids from the root to the end of a node."""
        above = [] if self.parents[node] < 0 else self.path(self.parents[node])
        return above + self.nodes[node]

    @property
    def n_tokens(self) -> int:
        """Of all nodes."""
        return sum(map(len, self.nodes))


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Which node is which. alone, foreign: of branches 2 ... n; alone is empty where a join is scored."""

    tree: Tree
    serial: int
    alone: tuple[int, ...]
    foreign: tuple[int, ...]

    @classmethod
    def of(cls, texts: Texts, *, alone: bool) -> Conditions:
        """The tree of a block. alone: whether the branches alone are part of it."""
        tree = Tree()
        root = tree.add(texts.prefix, -1)
        serial = [token for branch in texts.branches for token in branch] + list(texts.tail)
        serial_node = tree.add(serial, root)
        alone_nodes = [tree.add(branch, root) for branch in texts.branches[1:]] if alone else []
        foreign_nodes = []
        link = root
        for piece, branch in zip(texts.foreign, texts.branches[1:], strict=True):
            link = tree.add(piece, link)
            foreign_nodes.append(tree.add(branch, link))
        return cls(tree=tree, serial=serial_node, alone=tuple(alone_nodes), foreign=tuple(foreign_nodes))


def cut(scores: Sequence[float], lengths: Sequence[int]) -> list[Nats]:
    """The scores of neighbouring texts of those lengths."""
    ends = list(accumulate(lengths, initial=0))
    return [tuple(scores[begin:end]) for begin, end in pairwise(ends)]


def patterns(branches: Sequence[Sequence[int]]) -> list[tuple[bool, ...]]:
    """For each token whether every branch holds it, [n_branches][n_tokens]: the wording that the parts of a
    list share tells nothing.
    """
    shared = set(branches[0]).intersection(*branches[1:])
    return [tuple(token in shared for token in branch) for branch in branches]
