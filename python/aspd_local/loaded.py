"""A GGUF model in memory: what it is, and what its memory holds. Knows no questions: model.py asks them."""

from __future__ import annotations

from collections.abc import Sequence

from aspd_local import _core
from aspd_local.history import SERIAL
from aspd_local.parts import Parts
from aspd_local.translate import text_of


class LoadedModel:
    """The facts of a model, and its parts.

    Attributes:
        path: its file.
        parts: what it is made of, for this package and its tests; no part of the public API.
    """

    def __init__(self, parts: Parts) -> None:
        self.path = parts.path
        self.parts = parts

    @property
    def protocol(self) -> str:
        """Name of the protocol that parallel="auto" uses; "serial" if there is none."""
        return self.parts.prompting.own.name if self.can_join else SERIAL

    @property
    def can_join(self) -> bool:
        """Whether this model's memory can join branches; else every answer is serial."""
        return self.engine.can_join

    @property
    def cannot_join_reason(self) -> str | None:
        """Why it cannot; None if it can."""
        return self.engine.cannot_join_reason or None

    @property
    def has_chat_template(self) -> bool:
        """Whether chat() can be used; else only generate()."""
        return self.parts.prompting.has_template

    @property
    def n_ctx(self) -> int:
        """Cells of the KV cache, for all answers together."""
        return self.engine.n_cells

    @property
    def description(self) -> str:
        """Architecture, size and quantisation, in llama.cpp's words."""
        return self.parts.core.description

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, [n_tokens]. No special token is read in it, no BOS is added."""
        return self.parts.core.tokenize(text, False)

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """The text of token ids; CONTROL tokens give none. Raises ValueError for an unknown id."""
        return text_of(self.parts.core, token_ids)

    @property
    def core(self) -> _core.Model:
        """The core's model: vocabulary and metadata."""
        return self.parts.core

    @property
    def engine(self) -> _core.Engine:
        """The engine, for loops of one's own around its submit() and step(): from one thread, while no answer
        of this model is under way. Raises ValueError when closed.
        """
        return self.parts.steps.engine

    def __repr__(self) -> str:
        if self.parts.steps.is_closed:
            return f"<Model {self.path.name}, closed>"
        return f"<Model {self.path.name}, {self.description}, {self.protocol}, {self.n_ctx} cells>"
