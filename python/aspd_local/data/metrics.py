"""What a data set is worth: the paper's metrics over finished examples. Defined in docs/metrics.md."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from aspd_local.data.record import Counts, Record

N_BINS = 10


def parallelism(counts: Counts) -> float:
    """DP: tokens in branches / all tokens of the answer."""
    return _in_branches(counts) / counts.total if counts.total else 0.0


def bound(counts: Counts) -> float:
    """The speed-up with free width: all tokens / (trunk, titles, and the longest branch of each block)."""
    path = counts.total - _in_branches(counts)
    path += sum(max(block.branches) + sum(block.titles) for block in counts.blocks)
    return counts.total / path if path else 1.0


def _in_branches(counts: Counts) -> int:
    return sum(sum(block.branches) for block in counts.blocks)


@dataclass
class Metrics:
    """Sums over examples; add() each, then read. Memory does not grow.

    Attributes:
        n_examples, n_parallel, n_blocks: counted. splits, units: examples by split and unit of length.
        rejected: runs by (stage, reason). outcomes: runs by outcome. kinds: kept blocks by kind.
        branches_per_block: blocks by number of branches.
        parallelism_bins: parallel examples by DP in ten bins. bound_bins: by the bound in halves.
        branch_bins: branches by length, in steps of 25.
    """

    n_examples: int = 0
    n_parallel: int = 0
    n_blocks: int = 0
    n_branches: int = 0
    tokens: int = 0
    branch_tokens: int = 0
    title_tokens: int = 0
    straggler_sum: float = 0.0
    bound_sum: float = 0.0
    parallel_bound_sum: float = 0.0
    parallelism_sum: float = 0.0
    splits: Counter[str] = field(default_factory=Counter)
    units: Counter[str] = field(default_factory=Counter)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    branches_per_block: Counter[int] = field(default_factory=Counter)
    parallelism_bins: Counter[int] = field(default_factory=Counter)
    bound_bins: Counter[int] = field(default_factory=Counter)
    branch_bins: Counter[int] = field(default_factory=Counter)

    def add(self, record: Record) -> None:
        """Counts an example."""
        counts = record.counts
        self.n_examples += 1
        self.splits[record.split] += 1
        self.units[counts.unit] += 1
        self.tokens += counts.total
        self.bound_sum += bound(counts)
        self.outcomes.update(decision.outcome for decision in record.decisions)
        for decision in record.decisions:
            if decision.outcome == "rejected":
                self.rejected[decision.stage, decision.reason] += 1
            elif decision.outcome == "kept":
                self.kinds[decision.kind] += 1
        if counts.blocks:
            self._add_parallel(counts)

    def _add_parallel(self, counts: Counts) -> None:
        self.n_parallel += 1
        self.parallel_bound_sum += bound(counts)
        self.bound_bins[int(2 * bound(counts))] += 1
        self.parallelism_sum += parallelism(counts)
        self.parallelism_bins[min(N_BINS - 1, int(N_BINS * parallelism(counts)))] += 1
        for block in counts.blocks:
            self.n_blocks += 1
            self.n_branches += len(block.branches)
            self.branch_tokens += sum(block.branches)
            self.title_tokens += sum(block.titles)
            longest = max(block.branches)
            self.straggler_sum += (
                1 - sum(block.branches) / (longest * len(block.branches)) if longest else 0.0
            )
            self.branches_per_block[len(block.branches)] += 1
            self.branch_bins.update(length // 25 for length in block.branches)

    @property
    def ppd(self) -> float:
        """Proportion of parallel data: examples with a block / all."""
        return _share(self.n_parallel, self.n_examples)

    @property
    def abn(self) -> float:
        """Mean number of branches in a block."""
        return _share(self.n_branches, self.n_blocks)

    @property
    def dp(self) -> float:
        """Degree of parallelism, mean over parallel examples."""
        return _share(self.parallelism_sum, self.n_parallel)

    @property
    def dp_all(self) -> float:
        """Tokens in branches / tokens of all answers, serial ones included."""
        return _share(self.branch_tokens, self.tokens)

    @property
    def efficiency(self) -> float:
        """(branch tokens - title tokens) / branch tokens: what repeated titles cost."""
        return _share(self.branch_tokens - self.title_tokens, self.branch_tokens)

    @property
    def straggler_loss(self) -> float:
        """Mean over blocks of 1 - mean branch / longest branch."""
        return _share(self.straggler_sum, self.n_blocks)

    @property
    def bound_parallel(self) -> float:
        """Mean bound on the speed-up, over parallel examples."""
        return _share(self.parallel_bound_sum, self.n_parallel)

    @property
    def bound_all(self) -> float:
        """Mean bound on the speed-up, over all examples."""
        return _share(self.bound_sum, self.n_examples)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
