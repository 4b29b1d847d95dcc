"""Texts as vectors, by models that were made for it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from typing_extensions import Unpack

from aspd_local import _core
from aspd_local.log import drain_log
from aspd_local.model import Model, Progress
from aspd_local.typing import EmbedderSettings


class Embedder:
    """An embedding model: an encoder such as BERT, or a decoder whose GGUF file says how to pool.

    >>> embedder = Embedder("hf:owner/embedding-model:Q8_0")     # doctest: +SKIP
    >>> first, second = embedder.embed(["a cat", "a kitten"])    # doctest: +SKIP
    >>> sum(a * b for a, b in zip(first, second))                # doctest: +SKIP
    0.83
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Model,
        *,
        offline: bool = False,
        progress: Progress | None = None,
        n_gpu_layers: int = -1,
        **settings: Unpack[EmbedderSettings],
    ) -> None:
        """Finds the file and loads it.

        Args:
            source: as Model takes it, or a Model, whose weights it then shares.
            offline, progress, n_gpu_layers: as in Model.
            settings: see EmbedderSettings.

        Raises:
            ModelError: the file is missing, malformed or unsupported, or the model makes no embeddings.
            DownloadError: it could not be fetched.
            ValueError: a malformed name or setting.
        """
        options = _core.EmbedderOptions()
        options.n_ctx = settings.get("n_ctx", 0)
        options.n_threads = settings.get("n_threads", 0)
        self._shares = isinstance(source, Model)
        try:
            if isinstance(source, Model):
                self._model = source.core
            else:
                from aspd_local.sources import resolve

                model_options = _core.ModelOptions()
                model_options.n_gpu_layers = n_gpu_layers
                path = resolve(os.fsdecode(source), offline=offline, progress=progress)
                self._model = _core.Model.load(str(path), model_options)
            self._core = _core.Embedder(self._model, options)
        finally:
            drain_log()

    def embed(self, texts: Sequence[str | Sequence[int]]) -> list[list[float]]:
        """Vectors of unit length, [n_texts][n_embd]. From any thread.

        Args:
            texts: strings, or token ids as tokenize() gives them. Nothing in a string is read as a special
                token. What a text gives does not depend on the others.

        Raises:
            ContextFullError: a text is longer than n_ctx; nothing was computed.
            ValueError: a text without tokens, or an id outside the vocabulary.
            DecodeError: llama.cpp could not compute it.
        """
        ids = [self.tokenize(text) if isinstance(text, str) else list(text) for text in texts]
        try:
            return self._core.embed(ids)
        finally:
            drain_log()

    def check(self, ids: Sequence[Sequence[int]]) -> None:
        """Raises what embed() raises for these token ids before it computes anything."""
        self._core.check(ids)

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, [n_tokens], with the special tokens that the model wants around it."""
        return self._model.tokenize_whole(text)

    @property
    def n_embd(self) -> int:
        """Numbers of a vector."""
        return self._core.n_embd

    @property
    def n_ctx(self) -> int:
        """Most tokens of one text."""
        return self._core.n_ctx

    @property
    def can_write(self) -> bool:
        """Whether the same file writes text too; encoders do not."""
        return self._core.can_write

    @property
    def size_bytes(self) -> int:
        """Of the weights; 0 where they are a Model's."""
        return 0 if self._shares else self._model.size_bytes

    def __repr__(self) -> str:
        return f"<Embedder {self._model.description}, {self.n_embd} numbers, {self.n_ctx} tokens>"
