"""Rows of the embedding that are trained while all others stay: those of the markers.

A table with a few trainable rows costs the gradient of the whole table where it is written as one; here the
few rows are a parameter of their own, looked up beside the table and put beside the head's logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class EmbeddingWithMarkers(nn.Module):
    """An embedding some of whose rows come from `rows`. token_ids: [n_rows]."""

    def __init__(self, table: nn.Embedding, token_ids: Sequence[int], rows: nn.Parameter) -> None:
        super().__init__()
        self.table = table
        self.weight: Tensor = table.weight  # as an nn.Embedding has it
        self.rows = rows
        place = torch.full((table.weight.shape[0],), -1)
        place[torch.tensor(list(token_ids))] = torch.arange(len(token_ids))
        self.register_buffer("place", place, persistent=False)
        self.place: Tensor

    def forward(self, token_ids: Tensor) -> Tensor:
        """[...] -> [..., n_embd]"""
        which = self.place[token_ids]
        found = self.table(token_ids)
        ours = self.rows[which.clamp(min=0)].to(found.dtype)
        return torch.where((which >= 0)[..., None], ours, found)


class HeadWithMarkers(nn.Module):
    """A head some of whose logits come from `rows`. token_ids: [n_rows]."""

    def __init__(self, head: nn.Linear, token_ids: Sequence[int], rows: nn.Parameter) -> None:
        super().__init__()
        self.head = head
        self.weight: Tensor = head.weight
        self.rows = rows
        self.register_buffer("token_ids", torch.tensor(list(token_ids)), persistent=False)
        self.token_ids: Tensor

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., n_embd] -> [..., n_vocab]"""
        logits: Tensor = self.head(hidden)
        ours = nn.functional.linear(hidden, self.rows.to(hidden.dtype))
        return logits.index_copy_(-1, self.token_ids, ours.to(logits.dtype))


class _LogLikelihoods(torch.autograd.Function):
    """Log probabilities of one token a row, in stretches of rows that stay in the cache."""

    STRETCH = 32

    @staticmethod
    def forward(context: Any, logits: Tensor, targets: Tensor) -> Tensor:
        sums = torch.empty(len(logits), dtype=torch.float32, device=logits.device)
        for at in range(0, len(logits), _LogLikelihoods.STRETCH):
            stretch = slice(at, at + _LogLikelihoods.STRETCH)
            sums[stretch] = torch.logsumexp(logits[stretch].float(), -1)
        context.save_for_backward(logits, targets, sums)
        return logits.gather(1, targets[:, None])[:, 0].float() - sums

    @staticmethod
    def backward(context: Any, *grads: Tensor) -> tuple[Tensor, None]:
        logits, targets, sums = context.saved_tensors
        result = torch.empty_like(logits)
        (grad,) = grads
        for at in range(0, len(logits), _LogLikelihoods.STRETCH):
            stretch = slice(at, at + _LogLikelihoods.STRETCH)
            part = (logits[stretch].float() - sums[stretch, None]).exp_().mul_(-grad[stretch, None])
            result[stretch] = part
        result[torch.arange(len(targets), device=targets.device), targets] += grad.to(result.dtype)
        return result, None


def log_likelihoods_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Natural logarithm of the probability of targets [n] in logits [n, n_vocab]: float32 [n]."""
    apply: Any = _LogLikelihoods.apply  # typed in some versions of PyTorch, not in others
    found: Tensor = apply(logits, targets)
    return found
