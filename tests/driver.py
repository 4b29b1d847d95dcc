"""Drives an engine for tests: exact options, requests in one line, layouts in and out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aspd_local import _core, events
from aspd_local.layout import JoinRule, Layout, Trunk, lay_out
from tiny.files import TinyModel
from tiny.vocabulary import (
    BRANCH,
    BRANCH_END,
    PARA,
    PARA_END,
    TITLE,
    TITLE_END,
    Vocabulary,
)

GREEDY = 0.0


def open_engine(tiny: TinyModel, **options: Any) -> _core.Engine:
    """An engine whose logits are exact: F32 cache, no flash attention, one thread."""
    settings = _core.EngineOptions()
    exact = {"n_ctx": 512, "n_threads": 1, "n_threads_batch": 1, "flash_attn": "off", "cache_type": "f32"}
    for name, value in (exact | options).items():
        setattr(settings, name, value)
    return _core.Engine(_core.Model.load(str(tiny.path), _core.ModelOptions()), settings)


def aspd(vocabulary: Vocabulary, rule: JoinRule, *, min_items: int = 2) -> _core.Protocol:
    """The `aspd` protocol with any join rule, on a tiny vocabulary."""

    def marker(text: str) -> _core.Marker:
        return _core.Marker(text, vocabulary[text])

    kind = _core.SeedKind
    protocol = _core.Protocol()
    protocol.name = "aspd"
    protocol.item_open, protocol.item_close = marker(TITLE), marker(TITLE_END)
    protocol.plan_close, protocol.branch_close = marker(PARA), marker(BRANCH_END)
    protocol.branch_seed = [
        _core.SeedPart(kind.MARKER, marker=marker(BRANCH)),
        _core.SeedPart(kind.TITLE),
        _core.SeedPart(kind.TEXT, ":"),
    ]
    protocol.join_seed = [_core.SeedPart(kind.MARKER, marker=marker(PARA_END))]
    protocol.join_rule = _core.JoinRule[rule.upper()]
    rules = _core.PlanRules()
    rules.min_items = min_items
    protocol.plan = rules
    return protocol


def request(
    prompt: Layout | Sequence[int], protocol: _core.Protocol | None = None, **options: Any
) -> _core.Request:
    """A greedy request, serial without a protocol. options: fields of Request or of SamplingOptions."""
    result = _core.Request()
    sampling = _core.SamplingOptions()
    sampling.temperature = 0.0
    for name, value in options.items():
        setattr(sampling if hasattr(sampling, name) else result, name, value)
    result.prompt = core_layout(prompt if isinstance(prompt, Layout) else lay_out([Trunk(prompt)], "sum"))
    result.protocol = protocol
    result.sampling = sampling
    return result


def answer(engine: _core.Engine, wanted: _core.Request) -> _core.Result:
    """Runs one request to its end."""
    return tell(engine, wanted)[-1].result


def tell(engine: _core.Engine, wanted: _core.Request) -> list[_core.Event]:
    """All events of one request, run alone; the last one is DONE."""
    request_id = engine.submit(wanted)
    result = run(engine)
    assert {event.request for event in result} == {request_id}
    assert [event.kind for event in result].index(_core.EventKind.DONE) == len(result) - 1
    return result


def run(engine: _core.Engine) -> list[_core.Event]:
    """Steps until nothing is left."""
    result: list[_core.Event] = []
    while engine.has_work:
        result.extend(engine.step())
    return result


def translate(event: _core.Event) -> events.Event:
    """An event of the core as one of the package; reasons are all the same."""
    branch = events.branch_name(event.block, event.branch) if event.branch else None
    if event.kind == _core.EventKind.TEXT:
        return events.Text(branch, event.offset, event.text)
    if event.kind == _core.EventKind.FORK:
        return events.Fork(event.block, tuple(event.titles), event.offset)
    if event.kind == _core.EventKind.UNFORK:
        return events.Unfork(event.block)
    if event.kind == _core.EventKind.END:
        assert branch
        return events.End(branch, "stop")
    if event.kind == _core.EventKind.JOIN:
        return events.Join(event.block)
    return events.Done(event.result)  # type: ignore[arg-type]  # the core's: nobody here looks at it


def logits(engine: _core.Engine, layout: Layout) -> NDArray[np.float64]:
    """Rows of logits, [n_tokens, n_vocab]."""
    rows = np.frombuffer(engine.logits(core_layout(layout)), np.float32)
    return rows.reshape(len(layout), -1).astype(np.float64)


def core_layout(layout: Layout) -> _core.Layout:
    return _core.Layout(
        list(layout.token_ids), list(layout.positions), list(layout.block_ids), list(layout.branch_ids)
    )


def python_layout(layout: _core.Layout, next_position: int) -> Layout:
    return Layout(
        token_ids=tuple(layout.token_ids),
        positions=tuple(layout.positions),
        block_ids=tuple(layout.block_ids),
        branch_ids=tuple(layout.branch_ids),
        next_position=next_position,
    )
