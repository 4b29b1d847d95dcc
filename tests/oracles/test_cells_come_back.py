"""Oracle 6: after every error, cancel and finish the ids are back; cells in use are those of the living."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aspd_local import _core
from aspd_local.layout import JOIN_RULES, JoinRule
from driver import answer, aspd, open_engine, request, run
from tiny.files import TinyModel
from tiny.stories import STORY, STORY_END
from tiny.vocabulary import BRANCH, BRANCH_END, PARA_END

PROMPT = "Tell me: 1"


@pytest.fixture(params=JOIN_RULES)
def rule(request: pytest.FixtureRequest) -> JoinRule:
    chosen: JoinRule = request.param
    return chosen


@pytest.fixture(scope="module")
def shared(storyteller: TinyModel) -> _core.Engine:
    """Serves all tests but those that count from the beginning: it must be empty after each."""
    return open_engine(storyteller)


@pytest.fixture(scope="module")
def other_engine(storyteller: TinyModel) -> _core.Engine:
    return open_engine(storyteller)


@pytest.fixture
def engine(shared: _core.Engine) -> Iterator[_core.Engine]:
    assert _use(shared) == (0, 0)
    yield shared
    assert not shared.has_work
    assert _use(shared) == (0, 0)


def test_new_engine_uses_no_cells(storyteller: TinyModel) -> None:
    engine = open_engine(storyteller)
    assert _use(engine) == (0, 0)
    assert engine.sequences_free == engine.n_sequences


def test_finished_request_gives_everything_back(
    engine: _core.Engine, storyteller: TinyModel, rule: JoinRule
) -> None:
    result = answer(engine, _request(storyteller, rule))
    assert result.finish_reason == _core.FinishReason.STOP
    assert _use(engine) == (0, 0)


def test_retained_answer_keeps_one_sequence_and_its_own_cells(
    engine: _core.Engine, storyteller: TinyModel, rule: JoinRule
) -> None:
    result = answer(engine, _request(storyteller, rule, retain=True))
    n_prompt = len(storyteller.vocabulary.encode(PROMPT))
    assert _use(engine) == (n_prompt + len(result.layout), 1)
    engine.clear_retained()
    assert _use(engine) == (0, 0)


@pytest.mark.parametrize("k", range(1, 24))
def test_request_cancelled_at_step_k_gives_everything_back(
    engine: _core.Engine, storyteller: TinyModel, rule: JoinRule, k: int
) -> None:
    request_id = engine.submit(_request(storyteller, rule))
    for _ in range(k):
        engine.step()
    if not engine.has_work:
        pytest.fail("the answer was over before it was cancelled")
    engine.cancel(request_id)
    (done,) = [event for event in run(engine) if event.kind == _core.EventKind.DONE]
    assert done.result.finish_reason == _core.FinishReason.CANCELLED
    assert _use(engine) == (0, 0)
    assert answer(engine, _request(storyteller, rule)).text.endswith(STORY_END)


@pytest.mark.parametrize("max_tokens", range(1, 30, 3))
def test_request_cut_at_any_length_gives_everything_back(
    engine: _core.Engine, storyteller: TinyModel, rule: JoinRule, max_tokens: int
) -> None:
    result = answer(engine, _request(storyteller, rule, max_tokens=max_tokens))
    assert result.finish_reason == _core.FinishReason.LENGTH
    assert _use(engine) == (0, 0)


@pytest.mark.parametrize("place", [("prompt", 0), ("prompt", 2), *(("fork", k) for k in range(0, 12, 2))])
def test_cells_in_use_are_those_of_the_request_still_alive(
    engine: _core.Engine,
    other_engine: _core.Engine,
    storyteller: TinyModel,
    rule: JoinRule,
    place: tuple[str, int],
) -> None:
    """place: steps from the prompt or the fork. Between them a plan that is written alone takes fewer."""
    begin, n_steps = place
    alone, together = engine, other_engine
    ids = alone.submit(_request(storyteller, rule)), together.submit(_request(storyteller, rule))
    other = together.submit(_request(storyteller, rule, prompt="And now: 1"))
    if begin == "fork":
        _step_to_fork(alone, ids[0])
        _step_to_fork(together, ids[1])
    for _ in range(n_steps):
        alone.step()
        together.step()
    together.cancel(other)
    alone.step()
    together.step()
    assert _use(together) == _use(alone)
    assert _use(alone)[0] > 0
    alone.cancel(ids[0])
    together.cancel(ids[1])
    assert run(alone)
    assert run(together)
    assert _use(together) == (0, 0)


def _step_to_fork(engine: _core.Engine, request_id: int) -> None:
    while True:
        for event in engine.step():
            if event.kind == _core.EventKind.FORK and event.request == request_id:
                return


def test_lanes_and_prefix_use_exactly_their_cells(engine: _core.Engine, storyteller: TinyModel) -> None:
    """Prefix once, then the branches so far; after the join the branches' cells belong to the trunk."""
    n_prompt = len(storyteller.vocabulary.encode(PROMPT))
    encode = storyteller.vocabulary.encode
    branches = [encode(f"{BRANCH}{title}:{body}{BRANCH_END}") for title, body in STORY.items()]
    n_plan = len(encode("Hm" + "".join(f"<|title|>{title}<|/title|>" for title in STORY) + "<|para|>"))
    engine.submit(_request(storyteller, "sum"))
    peak = 0
    joined = -1
    while engine.has_work:
        kinds = [event.kind for event in engine.step()]
        if _core.EventKind.JOIN in kinds:
            joined = engine.cells_in_use
        if _core.EventKind.DONE not in kinds:
            peak = max(peak, engine.cells_in_use)
    assert joined == n_prompt + n_plan + sum(map(len, branches))
    assert peak == joined + len(encode(PARA_END + STORY_END)) - 1  # the last one is decoded in the last step


@pytest.mark.parametrize("n_prompt", range(200, 256, 5))
def test_answer_that_fills_the_context_ends_with_length_and_gives_everything_back(
    storyteller: TinyModel, rule: JoinRule, n_prompt: int
) -> None:
    engine = open_engine(storyteller, n_ctx=256)
    prompt = [32] * (n_prompt - 1) + storyteller.vocabulary.encode("1")
    result = answer(engine, request(prompt, aspd(storyteller.vocabulary, rule), retain=False))
    assert result.finish_reason in (_core.FinishReason.LENGTH, _core.FinishReason.STOP)
    if n_prompt >= 240:
        assert result.finish_reason == _core.FinishReason.LENGTH
    assert _use(engine) == (0, 0)
    assert answer(engine, _request(storyteller, rule)).text.endswith(STORY_END)


def _request(
    tiny: TinyModel, rule: JoinRule, *, prompt: str = PROMPT, retain: bool = False, max_tokens: int = -1
) -> _core.Request:
    ids = tiny.vocabulary.encode(prompt)
    return request(ids, aspd(tiny.vocabulary, rule), retain=retain, max_tokens=max_tokens)


def _use(engine: _core.Engine) -> tuple[int, int]:
    """Cells and sequence ids in use."""
    return engine.cells_in_use, engine.n_sequences - engine.sequences_free
