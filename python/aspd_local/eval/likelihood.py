"""How likely an answer is under a model that did not write it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aspd_local import _core, chat
from aspd_local.chat import Message
from aspd_local.errors import ContextFullError
from aspd_local.model import Model


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """Nats of an answer's tokens, and how many there are; in the judge's vocabulary."""

    nats: float
    n_tokens: int


class LikelihoodJudge:
    """Scores serial text, whatever structure it was written with."""

    def __init__(self, model: Model) -> None:
        """model: opened by open_judge(). Raises ValueError for one without a chat template."""
        if not model.has_chat_template:
            raise ValueError(f"{model.path.name} has no chat template: it cannot judge answers to questions")
        self._model = model
        self._template = chat.compile_template(model.core)

    def score(self, messages: Sequence[Message], text: str) -> Likelihood | None:
        """The last answer given the turns before it; None where it is empty or does not fit the context.

        Raises: ModelError, DecodeError.
        """
        parts = chat.render_prompt(self._template, chat.normalise(list(messages)))
        prompt = chat.tokenize_parts(self._model.core, parts)
        answer = self._model.tokenize(text)
        if not answer:
            return None
        rule = _core.JoinRule.LONGEST  # there is nothing to join
        try:
            scores = self._model.engine.score_tree([prompt, answer], [[], [0]], [False, True], rule)[1]
        except ContextFullError:
            return None
        return Likelihood(nats=-sum(scores), n_tokens=len(answer))


def open_judge(source: str, n_threads: int) -> Model:
    """A model set up for scoring. Raises: as Model()."""
    return Model(
        source,
        n_ctx=4096,
        n_outputs_max=256,
        n_requests=1,
        n_retained=0,
        n_threads=n_threads,
        n_threads_batch=n_threads,
        profile="off",
    )
