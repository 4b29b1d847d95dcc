"""What does it save to decode once what the conditions of the likelihood test share?

For blocks of real answers: the pipeline's way, against scoring each condition from scratch, that is one pass
over plain text for every branch alone, after its true and after foreign siblings, and for the tail serially
and behind the join. Both give the same numbers, but for what kernels round differently when a text is cut
otherwise. Prints processor time and tokens decoded of both, in turn, and their ratios.

    python bench/scoring.py MODEL ANSWERS.jsonl [--blocks 20] [--threads 1]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from aspd_local import Model, _core
from aspd_local.data import Config
from aspd_local.data.build import draw_pool, read_lines
from aspd_local.data.conditions import Texts, Tree
from aspd_local.data.foreign import siblings_for
from aspd_local.data.scoring import ModelScorer
from aspd_local.data.stages import Prepared, prepare_line

CONFIG = Config()


def blocks(answers: Path, scorer: ModelScorer, n_blocks: int) -> Iterator[Texts]:
    """Token ids of the first blocks that the stages before the likelihood test let through."""
    pool = draw_pool(answers, CONFIG)
    found = 0
    for _, number, line in read_lines(answers):
        prepared = prepare_line(line, number, CONFIG)
        if not isinstance(prepared, Prepared) or not prepared.runs:
            continue
        example, run = prepared.example, prepared.runs[0]
        foreign = siblings_for(pool, example, run, CONFIG.seed)
        texts = scorer.texts(example, run, foreign, tail_tokens=CONFIG.tail_tokens)
        if len(texts.prefix) + sum(map(len, texts.branches)) + len(texts.tail) <= CONFIG.max_tokens:
            yield texts
            found += 1
        if found == n_blocks:
            return


class FromScratch:
    """Scores every condition as a text of its own; the engine skips needless logits here too."""

    def __init__(self, engine: _core.Engine) -> None:
        self._engine = engine
        self.n_tokens = 0

    def plain(self, *pieces: list[int]) -> list[float]:
        """Negative log-likelihoods of the last piece."""
        tree = Tree()
        before = tree.add([token for piece in pieces[:-1] for token in piece], scored=False)
        tree.add(pieces[-1], before)
        return self._last(tree)

    def joined(self, texts: Texts) -> list[float]:
        """The tail behind the join."""
        tree = Tree()
        root = tree.add(texts.prefix, scored=False)
        branches = [tree.add(branch, root, scored=False) for branch in texts.branches]
        tree.add(texts.tail, *branches)
        return self._last(tree)[1:]

    def _last(self, tree: Tree) -> list[float]:
        self.n_tokens += tree.n_tokens
        scores = self._engine.score_tree(tree.nodes, tree.parents, tree.scored, _core.JoinRule.SUM)
        return [-score for score in scores[-1]]

    def score(self, texts: Texts) -> list[float]:
        """All conditions: alone, true and foreign of branches 2 ... n, the first, the tail twice."""
        prefix, tail = list(texts.prefix), list(texts.tail)
        branches = [list(branch) for branch in texts.branches]
        foreign = [list(piece) for piece in texts.foreign]
        found = self.plain(prefix, branches[0])
        for i, branch in enumerate(branches[1:], 1):
            found += self.plain(prefix, branch)
            found += self.plain(prefix, *branches[:i], branch)
            found += self.plain(prefix, *foreign[:i], branch)
        if tail:
            found += self.plain(prefix, *branches, tail)[1:]
            found += self.joined(texts)
        return found


def shared(scorer: ModelScorer, texts: Texts) -> tuple[list[float], int]:
    """The pipeline's numbers in the same order, and the tokens that it decoded."""
    scores = scorer.score_texts(texts)
    found = list(scores.branches[0].true)
    for branch in scores.branches[1:]:
        found += [*branch.alone, *branch.true, *branch.foreign]
    return [*found, *scores.tail_serial, *scores.tail_joined], scores.n_tokens


def main() -> None:
    """Scores the blocks both ways."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("answers", type=Path)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    model = Model(
        args.model,
        n_ctx=4 * CONFIG.max_tokens,
        n_outputs_max=256,
        n_requests=1,
        n_retained=0,
        n_threads=args.threads,
        n_threads_batch=args.threads,
    )
    scorer, scratch = ModelScorer(model), FromScratch(model.engine)
    seconds: list[tuple[float, float]] = []
    tokens, apart, n_branches = 0, 0.0, []
    for texts in blocks(args.answers, scorer, args.blocks):
        start = time.process_time()
        ours, n_tokens = shared(scorer, texts)
        middle = time.process_time()
        theirs = scratch.score(texts)
        seconds.append((middle - start, time.process_time() - middle))
        tokens += n_tokens
        n_branches.append(len(texts.branches))
        apart = max([apart, *(abs(a - b) for a, b in zip(ours, theirs, strict=True))])
    fast, slow = (sum(side) for side in zip(*seconds, strict=True))
    print(f"{len(seconds)} blocks of {statistics.fmean(n_branches):.1f} branches, {args.threads} thread(s)")
    print(f"forks: {fast:.1f} s, {tokens} tokens; from scratch: {slow:.1f} s, {scratch.n_tokens} tokens")
    print(f"{slow / fast:.2f} times as fast; {scratch.n_tokens / tokens:.2f} times fewer tokens")
    ratios = sorted(theirs / ours for ours, theirs in seconds)
    print(f"by block: least {ratios[0]:.2f}, median {statistics.median(ratios):.2f}, most {ratios[-1]:.2f}")
    print(f"largest difference of a token's likelihood: {apart:.4f} nats")


if __name__ == "__main__":
    main()
