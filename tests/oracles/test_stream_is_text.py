"""Oracle 7: the plain stream, the fold of the events and the text of the result are one and the same.

The branches' lengths are random, and so is what stands in them: a hot sampler writes any bytes at all.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from aspd_local import _core, events
from aspd_local.layout import JOIN_RULES, JoinRule
from driver import aspd, open_engine, request, run, translate
from tiny.files import TinyModel
from tiny.vocabulary import MARKERS

SEEDS = range(8)


@pytest.fixture(scope="module", params=[16, 2], ids=["16 lanes", "2 lanes"])
def engine(request: pytest.FixtureRequest, forking: TinyModel) -> _core.Engine:
    """With two lanes the later branches wait for the earlier ones."""
    return open_engine(forking, n_lanes=request.param, n_requests=1)


@pytest.mark.parametrize("rule", JOIN_RULES)
@pytest.mark.parametrize(
    "options", [{}, {"stop": ["q", "L"]}, {"stop": ["pt", "→"]}, {"max_tokens": 23}], ids=str
)
@pytest.mark.parametrize("seed", SEEDS)
def test_stream_and_fold_equal_the_text(
    engine: _core.Engine, forking: TinyModel, rule: JoinRule, options: dict[str, Any], seed: int
) -> None:
    _check(_told(engine, forking, rule, seed, temperature=1.0, **options))


@pytest.mark.parametrize("strip_body", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_stream_and_fold_equal_the_text_of_any_bytes(
    engine: _core.Engine, forking: TinyModel, strip_body: bool, seed: int
) -> None:
    result = _told(
        engine,
        forking,
        "sum",
        seed,
        strip_body=strip_body,
        temperature=20.0,
        max_tokens=120,
        plan_always=seed % 2 == 0,
    )
    _check(result)


def test_lengths_and_order_of_branches_are_random(engine: _core.Engine, forking: TinyModel) -> None:
    lengths: list[list[int]] = []
    ends: set[tuple[int, ...]] = set()
    for seed in SEEDS:
        told = _told(engine, forking, "sum", seed, temperature=1.0)
        lengths.append([len(branch.token_ids) for branch in told[-1].result.blocks[0].branches])
        ends.add(tuple(event.branch for event in told if event.kind == _core.EventKind.END))
    assert len({tuple(each) for each in lengths}) == len(SEEDS)
    assert len(ends) > 1


@pytest.mark.parametrize("rule", JOIN_RULES)
@pytest.mark.parametrize("seed", SEEDS)
def test_span_of_a_branch_is_its_text(
    engine: _core.Engine, forking: TinyModel, rule: JoinRule, seed: int
) -> None:
    told = _told(engine, forking, rule, seed, temperature=1.0)
    result = told[-1].result
    for number, block in enumerate(result.blocks, 1):
        for place, branch in enumerate(block.branches, 1):
            written = "".join(event.text for event in told if (event.block, event.branch) == (number, place))
            assert written == f"[{branch.title}] " + result.text[branch.span_begin : branch.span_end]


@pytest.mark.parametrize("seed", range(20))
def test_text_after_a_stop_string_is_neither_streamed_nor_kept(
    engine: _core.Engine, forking: TinyModel, seed: int
) -> None:
    whole = _told(engine, forking, "longest", seed, temperature=1.0)[-1].result
    third = whole.blocks[0].branches[2]
    stop = whole.text[third.span_begin : third.span_end][-2:]
    cut = _told(engine, forking, "longest", seed, temperature=1.0, stop=[stop])[-1].result
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert (cut.finish_reason, cut.stop_match) == (_core.FinishReason.STOP, stop)


@pytest.mark.parametrize("strip_body", [False, True])
@pytest.mark.parametrize("rule", JOIN_RULES)
def test_stop_string_anywhere_cuts_the_text_there(
    engine: _core.Engine, forking: TinyModel, rule: JoinRule, strip_body: bool
) -> None:
    """In a heading, in a body, across the borders of trunk and branches."""
    dice = random.Random(5)
    for seed in range(2):
        options: dict[str, Any] = {"temperature": 1.0, "strip_body": strip_body}
        whole = _told(engine, forking, rule, seed, **options)[-1].result
        borders = [
            at for block in whole.blocks for each in block.branches for at in (each.span_begin, each.span_end)
        ]
        for at in [*(max(border - 2, 0) for border in borders), *dice.choices(range(len(whole.text)), k=20)]:
            stop = whole.text[at : at + dice.randint(1, 12)]
            if not stop:
                continue
            told = _told(engine, forking, rule, seed, stop=[stop], **options)
            cut = told[-1].result
            assert cut.text == whole.text[: whole.text.index(stop)], stop
            assert (cut.finish_reason, cut.stop_match) == (_core.FinishReason.STOP, stop)
            assert events.fold([translate(event) for event in told]) == cut.text
            order = events.ReadingOrder()
            assert "".join(order.feed(translate(event)) for event in told) == cut.text
            forks = [event.block for event in told if event.kind == _core.EventKind.FORK]
            assert len(cut.blocks) == len(forks)
            assert engine.cells_in_use == 0
            assert engine.sequences_free == engine.n_sequences


def _told(
    engine: _core.Engine,
    tiny: TinyModel,
    rule: JoinRule,
    seed: int,
    *,
    strip_body: bool = False,
    **options: Any,
) -> list[_core.Event]:
    protocol = aspd(tiny.vocabulary, rule)
    protocol.text_before = "[{title}] "
    protocol.strip_body = strip_body
    protocol.max_blocks = 3
    prompt = tiny.vocabulary.encode(f"What is {seed}? 4")
    sampling = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": seed}
    engine.submit(request(prompt, protocol, retain=False, **(sampling | options)))
    return run(engine)


def _check(told: list[_core.Event]) -> None:
    result = told[-1].result
    translated = [translate(event) for event in told]
    order = events.ReadingOrder()
    assert "".join(order.feed(event) for event in translated) == result.text
    assert events.fold(translated) == result.text
    assert not any(marker in result.text for marker in MARKERS)
