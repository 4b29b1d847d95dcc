"""How likely a small model finds a block's parts: alone, after their siblings, and after siblings of another
answer.

The only stage that knows a model. The prefix is decoded once for all conditions; the engine's cache forks
where they differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Protocol

from aspd_local import chat
from aspd_local.data.example import Example, Run
from aspd_local.data.titles import head_length
from aspd_local.layout import Block, JoinRule, Segment, Trunk, lay_out

if TYPE_CHECKING:
    from aspd_local.model import Model

Nats = tuple[float, ...]
_SPARE = 64  # cells that are left free


@dataclass(frozen=True, kw_only=True)
class BranchScores:
    """Negative log-likelihood of a branch's tokens, nats, each [n_tokens].

    Attributes:
        alone: behind the prefix, as a branch is decoded.
        true: behind the prefix and all earlier siblings.
        foreign: behind the prefix and parts of another answer, as many tokens as those siblings; empty for
            the first branch, which has none.
        n_head: first tokens that only repeat the branch's title, which the plan tells to all.
    """

    alone: Nats
    true: Nats
    foreign: Nats
    n_head: int = 0


@dataclass(frozen=True, kw_only=True)
class BlockScores:
    """What a model says of a block.

    Attributes:
        branches: [n_branches].
        tail_serial, tail_joined: of the text behind the block but its first token, [n_tail - 1]: when it was
            written serially, and when it follows the join of branches that did not see each other.
        n_tokens: tokens decoded for all of it.
    """

    branches: tuple[BranchScores, ...]
    tail_serial: Nats
    tail_joined: Nats
    n_tokens: int


class Scorer(Protocol):
    """What scores blocks; the pipeline knows no more of a model."""

    def count(self, text: str) -> int:
        """Tokens of a text."""
        ...

    def score(
        self, example: Example, run: Run, foreign: Sequence[str], *, max_tokens: int, tail_tokens: int
    ) -> BlockScores | None:
        """None where prompt, answer and siblings have more than max_tokens tokens."""
        ...


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


class ModelScorer:
    """Scores with a model of this machine.

    >>> model = Model("smollm2-135m", n_outputs_max=256, n_requests=1, n_retained=0)  # doctest: +SKIP
    >>> ModelScorer(model).score(example, run, foreign, max_tokens=1536, tail_tokens=64)  # doctest: +SKIP
    """

    def __init__(self, model: Model) -> None:
        """Raises ValueError for a model that cannot join branches."""
        if not model.can_join:
            raise ValueError(f"{model.path.name} cannot score branches: {model.cannot_join_reason}")
        from aspd_local import _core

        self._core = model.core
        self._engine = model.engine
        self._template = chat.compile_template(model.core) if model.core.chat_template else None
        self._rule: JoinRule = "sum" if _core.has_position_gaps() else "longest"

    def count(self, text: str) -> int:
        return len(self._tokenize(text))

    def texts(self, example: Example, run: Run, foreign: Sequence[str], *, tail_tokens: int) -> Texts:
        """The token ids of a block. Each part is tokenised apart, as a branch is when it is decoded.

        Raises ValueError where foreign has no text.
        """
        branches = [self._tokenize(text) for text in run.texts(example.answer)]
        stream = [token for text in foreign for token in self._tokenize(text)]
        if not stream:
            raise ValueError("the foreign siblings are empty")
        needed = sum(map(len, branches[:-1]))
        stream *= -(-needed // len(stream))
        ends = list(accumulate(map(len, branches[:-1])))
        pieces = [stream[end - len(branch) : end] for end, branch in zip(ends, branches[:-1], strict=True)]
        return Texts(
            prefix=[*self._prompt(example), *self._tokenize(example.answer[: run.begin])],
            branches=branches,
            foreign=pieces,
            tail=self._tokenize(example.answer[run.end :])[:tail_tokens],
            n_heads=[
                len(self._tokenize(text[: head_length(text, title)].rstrip()))
                for text, title in zip(run.texts(example.answer), run.titles, strict=True)
            ],
        )

    def score(
        self, example: Example, run: Run, foreign: Sequence[str], *, max_tokens: int, tail_tokens: int
    ) -> BlockScores | None:
        texts = self.texts(example, run, foreign, tail_tokens=tail_tokens)
        if len(texts.prefix) + sum(map(len, texts.branches)) + len(texts.tail) > max_tokens:
            return None
        return self.score_texts(texts)

    def score_texts(self, texts: Texts) -> BlockScores:
        """Scores token ids. Raises: as Engine.score."""
        joined = self._joined(texts)
        chained = self._chained(texts)
        n_branches = len(texts.branches)
        alone, tail_joined = joined[:n_branches], joined[n_branches]
        true, tail_serial, foreign = chained[:n_branches], chained[n_branches], chained[n_branches + 1 :]
        decoded = 2 * len(texts.prefix) + 2 * sum(map(len, texts.branches)) + 2 * len(texts.tail)
        return BlockScores(
            branches=tuple(
                BranchScores(alone=a, true=t, foreign=f, n_head=n_head)
                for a, t, f, n_head in zip(alone, true, [(), *foreign], texts.n_heads, strict=True)
            ),
            tail_serial=tail_serial[1:],
            tail_joined=tail_joined[1:],
            n_tokens=decoded + self._n_foreign(texts),
        )

    # --- conditions ------------------------------------------------------------------------------------

    def _joined(self, texts: Texts) -> list[Nats]:
        """Each branch alone, then the tail behind their join: [n_branches + 1]."""
        segments: list[Segment] = [Trunk(texts.prefix), Block(texts.branches), Trunk(texts.tail)]
        scores = self._scored(segments)[len(texts.prefix) :]
        return _cut(scores, [*map(len, texts.branches), len(texts.tail)])

    def _chained(self, texts: Texts) -> list[Nats]:
        """The branches and the tail in reading order, then branches 2 ... n after foreign siblings:
        [n_branches + 1 + n_branches - 1].
        """
        serial = [token for branch in texts.branches for token in branch] + list(texts.tail)
        paths = [serial]
        for i, branch in enumerate(texts.branches[1:], 1):
            paths.append([token for piece in texts.foreign[:i] for token in piece] + list(branch))
        scores = [
            nats
            for group in self._groups(len(texts.prefix), paths)
            for nats in self._paths(texts.prefix, group)
        ]
        cuts = _cut(scores[0], [*map(len, texts.branches), len(texts.tail)])
        own = zip(scores[1:], texts.branches[1:], strict=True)
        return [*cuts, *(path[len(path) - len(branch) :] for path, branch in own)]

    def _paths(self, prefix: Sequence[int], paths: Sequence[Sequence[int]]) -> list[Nats]:
        """Texts behind one prefix that do not see each other, [n_paths]."""
        return _cut(self._scored([Trunk(prefix), Block(paths)])[len(prefix) :], list(map(len, paths)))

    def _groups(self, n_prefix: int, paths: Sequence[list[int]]) -> list[list[list[int]]]:
        """The paths in as few groups as the cache has room for, in their order."""
        groups: list[list[list[int]]] = [[]]
        for path in paths:
            if (
                groups[-1]
                and n_prefix + sum(map(len, groups[-1])) + len(path) > self._engine.n_cells - _SPARE
            ):
                groups.append([])
            groups[-1].append(path)
        return groups

    def _n_foreign(self, texts: Texts) -> int:
        lengths = list(map(len, texts.branches))
        return sum(sum(lengths[:i]) + lengths[i] for i in range(1, len(lengths)))

    def _scored(self, segments: Sequence[Segment]) -> Nats:
        from aspd_local import _core

        layout = lay_out(segments, self._rule)
        core = _core.Layout(
            list(layout.token_ids), list(layout.positions), list(layout.block_ids), list(layout.branch_ids)
        )
        return tuple(-score for score in self._engine.score(core))

    # --- tokens ----------------------------------------------------------------------------------------

    def _tokenize(self, text: str) -> list[int]:
        return self._core.tokenize(text, False)

    def _prompt(self, example: Example) -> list[int]:
        """The prompt as the model's chat template writes it; plain text for a model without one."""
        if self._template is None:
            text = "\n\n".join(message["content"] for message in example.messages) + "\n\n"
            bos = [self._core.bos] if self._core.add_bos and self._core.bos >= 0 else []
            return [*bos, *self._tokenize(text)]
        parts = chat.render_prompt(self._template, chat.normalise(list(example.messages)))
        return chat.tokenize_parts(self._core, parts)


def _cut(scores: Sequence[float], lengths: Sequence[int]) -> list[Nats]:
    """The scores of neighbouring texts of those lengths."""
    ends = list(accumulate(lengths, initial=0))
    return [tuple(scores[begin:end]) for begin, end in pairwise(ends)]
