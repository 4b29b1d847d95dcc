"""Oracle 6 under fire: random requests, cancelled at random, in an engine that is too small for them."""

from __future__ import annotations

import random

import pytest

from aspd_local import _core, events
from aspd_local.layout import JOIN_RULES
from driver import answer, aspd, open_engine, request, translate
from tiny.files import TinyModel

N_REQUESTS = 12


@pytest.mark.parametrize("seed", range(30))
def test_random_requests_all_end_and_leave_nothing_behind(forking: TinyModel, seed: int) -> None:
    dice = random.Random(seed)
    n_lanes = dice.choice([1, 2, 5, 16])
    engine = open_engine(
        forking,
        n_ctx=256,
        n_lanes=n_lanes,
        n_requests=min(n_lanes, dice.choice([1, 3, 5])),
        n_retained=dice.choice([0, 1, 4]),
        n_batch=dice.choice([16, 64, 512]),
    )
    told: dict[int, list[_core.Event]] = {}
    while len(told) < N_REQUESTS or engine.has_work:
        if len(told) < N_REQUESTS and dice.random() < 0.2:
            told[engine.submit(_random_request(forking, dice))] = []
        if told and dice.random() < 0.02:
            engine.cancel(dice.choice(list(told)))
        for event in engine.step():
            told[event.request].append(event)
        assert engine.cells_in_use <= engine.n_cells
    for each in told.values():
        assert [event.kind for event in each].count(_core.EventKind.DONE) == 1
        assert events.fold(map(translate, each)) == each[-1].result.text
    engine.clear_retained()
    assert engine.cells_in_use == 0
    assert engine.sequences_free == engine.n_sequences
    # llama.cpp's own cells are free too: a prompt that needs all of them is decoded
    whole = answer(engine, request([32] * (engine.n_cells - 2), max_tokens=2))
    assert len(whole.layout) == 2


def _random_request(tiny: TinyModel, dice: random.Random) -> _core.Request:
    vocabulary = tiny.vocabulary
    prompt = "x" * dice.choice([0, 3, 40, 200]) + f" So {dice.choice('12344')}"
    protocol = None
    if dice.random() < 0.9:
        protocol = aspd(vocabulary, dice.choice(JOIN_RULES), min_items=dice.choice([1, 2, 2]))
        protocol.strip_body = dice.random() < 0.3
        protocol.text_before = dice.choice(["", "{n}. {title}: "])
    return request(
        vocabulary.encode(prompt),
        protocol,
        temperature=dice.choice([0.0, 1.0, 20.0]),
        seed=dice.randrange(1000),
        max_tokens=dice.choice([-1, 1, 20, 60]),
        stop=dice.choice([[], [], ["p"], ["xyz", "M"]]),
        plan_always=dice.random() < 0.2,
        max_branches=dice.choice([2, 16]),
        retain=dice.random() < 0.5,
    )
