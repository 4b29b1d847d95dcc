"""Where cells run out, the youngest answer waits until others have ended, and is the same answer then."""

from __future__ import annotations

from itertools import product

import pytest

from aspd_local import _core
from aspd_local.layout import JOIN_RULES, JoinRule
from driver import answer, aspd, open_engine, request
from tiny.files import TinyModel

N_CELLS = 256
LENGTHS = range(34, 86, 4)  # of prompts of which three fit, but not with their answers


class Watched:
    """An engine and what its requests came to."""

    def __init__(self, tiny: TinyModel, **options: int) -> None:
        self.engine = open_engine(tiny, n_ctx=N_CELLS, n_requests=4, **options)
        self.results: dict[int, _core.Result] = {}
        self.events: list[_core.Event] = []
        self.n_aside = 0

    def step(self) -> None:
        before = self.engine.cells_in_use
        events = self.engine.step()
        over = {event.request: event.result for event in events if event.kind == _core.EventKind.DONE}
        # A join frees a few cells, an answer that is set aside all of its prompt.
        self.n_aside += not over and before - self.engine.cells_in_use > min(LENGTHS) // 2
        self.results |= {number: result for number, result in over.items() if result is not None}
        self.events += events

    def run(self) -> None:
        while self.engine.has_work:
            self.step()


def _wanted(tiny: TinyModel, rule: JoinRule, n: int, **options: float) -> list[_core.Request]:
    """The first tokens differ, so that no two prompts share cells. The youngest has the shortest answer."""
    settings = {"retain": False, "max_tokens": 90} | options
    protocol = aspd(tiny.vocabulary, rule)
    return [
        request([40 + i] * (n - 4) + tiny.vocabulary.encode(f"on {digit}"), protocol, **settings)
        for i, digit in enumerate((4, 4, 2))
    ]


@pytest.mark.parametrize(("temperature", "n_batch"), [(0.0, 512), (1.0, 8)])  # prompts at once, in pieces
@pytest.mark.parametrize("n", LENGTHS)
def test_answers_that_do_not_fit_together_are_those_of_each_alone(
    forking: TinyModel, n: int, temperature: float, n_batch: int
) -> None:
    for rule in JOIN_RULES:
        wanted = _wanted(forking, rule, n, temperature=temperature)
        alone = [answer(open_engine(forking, n_ctx=N_CELLS), each) for each in wanted]
        watched = Watched(forking, n_batch=n_batch)
        numbers = [watched.engine.submit(each) for each in wanted]
        watched.run()
        together = [watched.results[number] for number in numbers]
        assert [each.text for each in together] == [each.text for each in alone]
        assert [each.layout.positions for each in together] == [each.layout.positions for each in alone]
        assert [each.finish_reason for each in together] == [each.finish_reason for each in alone]
        assert watched.engine.cells_in_use == 0
        assert watched.engine.sequences_free == watched.engine.n_sequences


def _serial(first: int) -> _core.Request:
    return request([first] * 60, retain=False, max_tokens=50)


STAGES = {"before": (False, False), "block": (True, False), "behind": (True, True)}  # forked, joined


def _until_aside(tiny: TinyModel, rule: JoinRule, stage: str) -> tuple[Watched, int]:
    """An engine that has just set an answer aside at that stage, and the answer's number."""
    for n in LENGTHS:
        watched = Watched(tiny)
        numbers = [watched.engine.submit(each) for each in _wanted(tiny, rule, n)]
        while not watched.n_aside and watched.engine.has_work:
            watched.step()
        aside = max(set(numbers) - set(watched.results), default=0)
        kinds = [event.kind for event in watched.events if event.request == aside]
        if aside and (_core.EventKind.FORK in kinds, _core.EventKind.JOIN in kinds) == STAGES[stage]:
            return watched, aside
    pytest.fail("no answer had to wait there")


@pytest.mark.parametrize(
    ("rule", "stage"), [*product(JOIN_RULES, ("before", "block")), ("sum", "behind"), ("longest", "behind")]
)
def test_an_answer_that_waits_can_be_cancelled(forking: TinyModel, rule: JoinRule, stage: str) -> None:
    watched, aside = _until_aside(forking, rule, stage)
    told = [event for event in watched.events if event.request == aside]
    written = "".join(event.text for event in told if event.kind == _core.EventKind.TEXT)
    watched.engine.cancel(aside)
    watched.run()
    result = watched.results.pop(aside)
    assert result.finish_reason == _core.FinishReason.CANCELLED
    assert sorted(result.text.replace("\n", "")) == sorted(written)  # branches come interleaved
    assert len(watched.results) == 2
    assert {other.finish_reason for other in watched.results.values()} == {_core.FinishReason.STOP}
    assert watched.engine.cells_in_use == 0
    assert watched.engine.sequences_free == watched.engine.n_sequences


@pytest.mark.parametrize("rule", JOIN_RULES)
def test_a_branch_of_an_answer_that_waits_can_be_cancelled(forking: TinyModel, rule: JoinRule) -> None:
    watched, aside = _until_aside(forking, rule, "block")
    over = [e.branch for e in watched.events if e.request == aside and e.kind == _core.EventKind.END]
    branch = 1 if 1 not in over else 2
    watched.engine.cancel_branch(aside, 1, branch)
    watched.run()
    result = watched.results[aside]
    assert result.finish_reason == _core.FinishReason.STOP
    reasons = [each.reason for each in result.blocks[0].branches]
    assert reasons[branch - 1] == _core.FinishReason.CANCELLED
    assert reasons.count(_core.FinishReason.CANCELLED) == 1
    assert watched.engine.cells_in_use == 0


@pytest.mark.parametrize("n", [60, 70, 80])
def test_an_answer_that_has_all_cells_to_itself_ends_where_they_do(forking: TinyModel, n: int) -> None:
    """Cells for itself do not come by waiting; the other one is whole."""
    short, long = _wanted(forking, "sum", n)[2], _wanted(forking, "sum", n + 150)[0]
    watched = Watched(forking)
    numbers = [watched.engine.submit(each) for each in (long, short)]
    watched.run()
    assert watched.results[numbers[0]].finish_reason in {_core.FinishReason.LENGTH, _core.FinishReason.STOP}
    assert watched.results[numbers[1]].text == answer(open_engine(forking), short).text
    assert watched.engine.cells_in_use == 0


@pytest.mark.parametrize("name", ["tiny_qwen2", "tiny_cohere2", "tiny_mamba", "tiny_lfm2", "tiny_rwkv7"])
def test_serial_answers_of_any_memory_wait(name: str, request: pytest.FixtureRequest) -> None:
    tiny: TinyModel = request.getfixturevalue(name)
    wanted = [_serial(40 + i) for i in range(3)]
    alone = [answer(open_engine(tiny, n_ctx=N_CELLS), each) for each in wanted]
    watched = Watched(tiny)
    numbers = [watched.engine.submit(each) for each in wanted]
    watched.run()
    together = [watched.results[number] for number in numbers]
    assert watched.n_aside > 0
    assert [each.layout.token_ids for each in together] == [each.layout.token_ids for each in alone]
    assert watched.engine.cells_in_use == 0
