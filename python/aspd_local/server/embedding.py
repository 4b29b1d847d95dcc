"""Texts as vectors, in OpenAI's form."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import Sequence
from typing import Any

from aspd_local.embedder import Embedder
from aspd_local.errors import ContextFullError
from aspd_local.server.asking import prompts_of
from aspd_local.server.problems import Problem
from aspd_local.server.schemas import EmbeddingsBody

_AT_ONCE = 16  # texts; between them a client that has left is noticed


async def embeddings(body: EmbeddingsBody, embedder: Embedder, name: str) -> dict[str, Any]:
    """The answer to a request. Raises Problem, ValueError."""
    if body.dimensions not in (None, embedder.n_embd):
        why = f"vectors of {name} have {embedder.n_embd} numbers; others are not supported"
        raise Problem(400, why, param="dimensions", code="unsupported_parameter")
    texts = prompts_of(body.input)
    if any(not text for text in texts):
        raise Problem(400, "input has an empty text", param="input")
    ids = await asyncio.to_thread(
        lambda: [embedder.tokenize(text) if isinstance(text, str) else text for text in texts]
    )
    try:
        embedder.check(ids)  # all of them, before the first is computed
    except ContextFullError as error:
        raise Problem(400, error.message, param="input", code="context_length_exceeded") from error
    data: list[dict[str, Any]] = []
    for first in range(0, len(ids), _AT_ONCE):
        for vector in await asyncio.to_thread(embedder.embed, ids[first : first + _AT_ONCE]):
            said = _encoded(vector) if body.encoding_format == "base64" else vector
            data.append({"object": "embedding", "index": len(data), "embedding": said})
    n_tokens = sum(map(len, ids))
    usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
    return {"object": "list", "data": data, "model": name, "usage": usage}


def _encoded(vector: Sequence[float]) -> str:
    """32-bit numbers, the lowest byte first."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
