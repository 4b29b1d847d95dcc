"""From the core's layouts, events and results to the public ones, and back. Knows no engines and no chats."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aspd_local import _core
from aspd_local.events import Done, End, Event, Fork, Join, Text, Unfork, branch_name
from aspd_local.layout import JoinRule, Layout
from aspd_local.results import Answer, Block, Branch, FinishReason, Timings, TokenLogprob, Usage


def to_core(layout: Layout) -> _core.Layout:
    """A layout as the engine takes it."""
    return _core.Layout(
        list(layout.token_ids), list(layout.positions), list(layout.block_ids), list(layout.branch_ids)
    )


def from_core(layout: _core.Layout) -> Layout:
    """A layout as the engine gives it."""
    positions = tuple(layout.positions)
    return Layout(
        token_ids=tuple(layout.token_ids),
        positions=positions,
        block_ids=tuple(layout.block_ids),
        branch_ids=tuple(layout.branch_ids),
        next_position=positions[-1] + 1 if positions else 0,
    )


def prefix(layout: Layout, n_tokens: int) -> Layout:
    """The first tokens of a layout."""
    positions = layout.positions[:n_tokens]
    return Layout(
        token_ids=layout.token_ids[:n_tokens],
        positions=positions,
        block_ids=layout.block_ids[:n_tokens],
        branch_ids=layout.branch_ids[:n_tokens],
        next_position=positions[-1] + 1 if positions else 0,
    )


def join_rule_of(bound: _core.Protocol) -> JoinRule:
    """By which positions go on after a join under this protocol."""
    rules: dict[str, JoinRule] = {"SUM": "sum", "LONGEST": "longest", "LINEAR": "linear", "DROP": "drop"}
    return rules[bound.join_rule.name]


def text_of(model: _core.Model, token_ids: Sequence[int]) -> str:
    """The text of token ids, [n_tokens]; CONTROL tokens give none. Raises ValueError for an unknown id."""
    return b"".join(model.piece(token) for token in token_ids).decode("utf-8", errors="replace")


def event_of(event: _core.Event, model: _core.Model, finished: Callable[[_core.Result], Answer]) -> Event:
    """An event as callers see it.

    Args:
        model: spells the tokens whose likelihoods are told.
        finished: makes the answer of what the last event brings.
    """
    kind = _core.EventKind
    if event.kind == kind.TEXT:
        branch = branch_name(event.block, event.branch) if event.block else None
        logprobs = tuple(_logprob_of(told, model) for told in event.likelihoods)
        return Text(branch, event.offset, event.text, logprobs)
    if event.kind == kind.FORK:
        return Fork(event.block, tuple(event.titles), event.offset)
    if event.kind == kind.UNFORK:
        return Unfork(event.block)
    if event.kind == kind.END:
        return End(branch_name(event.block, event.branch), _reason_of(event.reason))
    if event.kind == kind.JOIN:
        return Join(event.block)
    return Done(finished(event.result))


def answer_of(result: _core.Result, protocol: str, fallback: str | None) -> Answer:
    """A finished answer as callers see it.

    Args:
        protocol: name of the protocol it was asked under; "serial" for none.
        fallback: why it was asked serially; the result's own reason goes before it.
    """
    text, t = result.text, result.timings
    completion = t.trunk_tokens + t.plan_tokens + t.branch_tokens
    return Answer(
        text=text,
        blocks=tuple(
            Block(branches=tuple(_branch_of(branch, text) for branch in block.branches))
            for block in result.blocks
        ),
        finish_reason=_reason_of(result.finish_reason),
        finish_detail="loop" if result.looped else None,
        fallback=result.fallback or fallback,
        protocol=protocol,
        usage=Usage(
            prompt_tokens=t.prompt_tokens,
            completion_tokens=completion,
            total_tokens=t.prompt_tokens + completion,
            cached_tokens=t.cached_tokens,
        ),
        timings=Timings(**{name: getattr(t, name) for name in Timings.__dataclass_fields__}),
    )


def _branch_of(branch: _core.BranchResult, text: str) -> Branch:
    return Branch(
        title=branch.title,
        text=text[branch.span_begin : branch.span_end],
        token_ids=tuple(branch.token_ids),
        span=(branch.span_begin, branch.span_end),
        n_tokens=branch.n_tokens,
        end_reason=_reason_of(branch.reason),
    )


def _logprob_of(told: _core.Likelihood, model: _core.Model) -> TokenLogprob:
    return TokenLogprob(
        token_id=told.token,
        piece=model.piece(told.token),
        logprob=told.logprob,
        top=tuple(TokenLogprob(token_id=t, piece=model.piece(t), logprob=p) for t, p in told.top),
    )


def _reason_of(reason: _core.FinishReason) -> FinishReason:
    reasons: dict[str, FinishReason] = {
        "STOP": "stop",
        "LENGTH": "length",
        "CANCELLED": "cancelled",
        "REJECTED": "rejected",
    }
    return reasons[reason.name]
