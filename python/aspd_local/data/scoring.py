"""How likely a small model finds a block's parts: alone, after their siblings, and after siblings of another
answer.

The only stage that knows a model. The prefix is decoded once for all conditions; the engine's cache forks
where they differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

from aspd_local import chat
from aspd_local.data.conditions import Conditions, Nats, Texts, Tree, cut
from aspd_local.data.example import Example, Run
from aspd_local.data.words import taken_over, words_of_tokens

if TYPE_CHECKING:
    from aspd_local.model import Model


@dataclass(frozen=True, kw_only=True)
class BranchScores:
    """Negative log-likelihood of a branch's tokens, nats, each [n_tokens].

    Attributes:
        alone: behind the prefix, as a branch is decoded.
        true: behind the prefix and all earlier siblings.
        foreign: behind the prefix and parts of another answer, as many tokens as those siblings; empty for
            the first branch, which has none.
        words: the number of the word that the token is part of, where an earlier sibling holds that word; -1
            elsewhere.
    """

    alone: Nats
    true: Nats
    foreign: Nats
    words: tuple[int, ...]


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
        self._rule = _core.JoinRule.SUM if _core.has_position_gaps() else _core.JoinRule.LONGEST

    def count(self, text: str) -> int:
        return len(self._tokenize(text))

    def texts(self, example: Example, run: Run, foreign: Sequence[str], *, tail_tokens: int) -> Texts:
        """The token ids of a block. Each part is tokenised apart, as a branch is when it is decoded.

        Raises ValueError where foreign has no text.
        """
        parts = run.texts(example.answer)
        branches = [self._tokenize(text) for text in parts]
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
            words=[
                words_of_tokens(text, [self._core.piece(token) for token in branch], words)
                for text, branch, words in zip(parts, branches, taken_over(parts, run.titles), strict=True)
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
        """Scores token ids. Raises: as Engine.score_tree."""
        conditions = Conditions.of(texts)
        found = self._scored(conditions.tree)
        rest = cut(found[conditions.serial], [*map(len, texts.branches[1:]), len(texts.tail)])
        true = [found[conditions.alone[0]], *rest]
        alone = [found[node] for node in conditions.alone]
        foreign = [(), *(found[node] for node in conditions.foreign)]
        return BlockScores(
            branches=tuple(
                BranchScores(alone=a, true=t, foreign=f, words=words)
                for a, t, f, words in zip(alone, true[:-1], foreign, texts.words, strict=True)
            ),
            tail_serial=true[-1][1:],
            tail_joined=() if conditions.joined is None else found[conditions.joined][1:],
            n_tokens=conditions.tree.n_tokens,
        )

    def _scored(self, tree: Tree) -> list[Nats]:
        """Negative log-likelihoods of every node, [n_nodes]."""
        scores = self._engine.score_tree(tree.nodes, tree.parents, tree.scored, self._rule)
        return [tuple(-score for score in node) for node in scores]

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
