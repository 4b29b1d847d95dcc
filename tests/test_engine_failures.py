"""What the engine refuses and what goes wrong in it: typed errors, then an engine that serves the next."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aspd_local import _core
from aspd_local.errors import ContextFullError, EngineBusyError, ProtocolError
from aspd_local.layout import Block, Layout, Trunk, lay_out
from driver import answer, aspd, core_layout, open_engine, request, run, tell
from tiny import stories
from tiny.files import TinyModel
from tiny.script import Script, write_scripted
from tiny.stories import STORY_END
from tiny.vocabulary import EOS, PARA, TITLE, TITLE_END

PROMPT = [33, 34, 35]
LONG = [32] * 1500


@pytest.fixture
def engine(storyteller: TinyModel) -> Iterator[_core.Engine]:
    """An engine that must be empty again after the test, and must still tell its story."""
    result = open_engine(storyteller, n_ctx=2048, n_batch=2048, n_requests=2)
    yield result
    run(result)
    result.clear_retained()
    assert result.cells_in_use == 0
    assert result.sequences_free == result.n_sequences
    assert answer(result, story(storyteller)).text.endswith(STORY_END)


def story(tiny: TinyModel, **options: Any) -> _core.Request:
    return request(tiny.vocabulary.encode("Tell me: 1"), aspd(tiny.vocabulary, "sum"), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -2}, "max_tokens"),
        ({"max_branches": 0}, "max_branches"),
        ({"stop": [""]}, "stop"),
        ({"stop": ["x"] * 65}, "stop"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"min_p": -0.1}, "min_p"),
        ({"repeat_penalty": 0.0}, "repeat_penalty"),
        ({"presence_penalty": 2.5}, "presence_penalty"),
        ({"frequency_penalty": math.inf}, "frequency_penalty"),
        ({"penalty_last_n": -2}, "penalty_last_n"),
        ({"logit_bias": [(10**6, 1.0)]}, "logit_bias"),
        ({"logit_bias": [(-1, 1.0)]}, "logit_bias"),
        ({"logit_bias": [(1, math.nan)]}, "logit_bias"),
        ({"logit_bias": [(1, math.inf)]}, "logit_bias"),
        ({"grammar": "root ::= ("}, "grammar"),
        ({"grammar": 'leaf ::= "x"'}, "grammar"),
    ],
)
def test_bad_field_of_a_request_is_a_value_error_that_names_it(
    engine: _core.Engine, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        engine.submit(request(PROMPT, **options))


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        pytest.param(Layout(), "empty", id="empty"),
        pytest.param(lay_out([Trunk([10**6])], "sum"), "outside the vocabulary", id="id too large"),
        pytest.param(lay_out([Trunk([1]), Block([[2]])], "sum"), "end with a token of the trunk", id="block"),
    ],
)
def test_bad_prompt_is_a_value_error(engine: _core.Engine, prompt: Layout, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        engine.submit(request(prompt))


def test_negative_token_id_is_a_value_error(engine: _core.Engine) -> None:
    wanted = request(PROMPT)
    wanted.prompt = _core.Layout([-1], [0], [0], [0])
    with pytest.raises(ValueError, match="outside the vocabulary"):
        engine.submit(wanted)


@pytest.mark.parametrize(
    "arrays",
    [
        pytest.param(([1, 2], [0], [0], [0]), id="lengths"),
        pytest.param(([1], [-1], [0], [0]), id="negative position"),
        pytest.param(([1, 2], [0, 0], [0, 0], [0, 0]), id="trunk stands still"),
        pytest.param(([1, 2], [0, 2], [0, 0], [0, 0]), id="gap"),
        pytest.param(([1, 2], [0, 1], [0, 1], [0, 0]), id="block without branch"),
        pytest.param(([1, 2], [0, 1], [0, 1], [0, 2]), id="branch 2 first"),
        pytest.param(([1, 2, 3], [0, 1, 2], [0, 1, 1], [0, 1, 2]), id="branches start apart"),
        pytest.param(([1, 2, 3, 4], [0, 1, 2, 3], [0, 2, 0, 1], [0, 1, 0, 1]), id="blocks descend"),
    ],
)
def test_arrays_that_are_no_layout_are_a_value_error(arrays: tuple[list[int], ...]) -> None:
    with pytest.raises(ValueError, match="layout"):
        _core.Layout(*arrays)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("n_ctx", -1),
        ("n_lanes", 0),
        ("n_lanes", 1000),
        ("n_requests", 0),
        ("n_requests", 17),
        ("n_retained", -1),
        ("n_batch", 0),
        ("n_threads", -1),
        ("n_threads_batch", 100000),
        ("flash_attn", "maybe"),
        ("cache_type", "f64"),
        ("cache_type", "q8_0"),  # not with flash attention off
        ("n_outputs_max", -1),
    ],
)
def test_bad_option_of_an_engine_is_a_value_error(storyteller: TinyModel, option: str, value: Any) -> None:
    with pytest.raises(ValueError, match="n_lanes|flash" if value in ("q8_0", 17) else option):
        open_engine(storyteller, **{option: value})


def test_prompt_longer_than_the_context_says_what_it_needs(engine: _core.Engine) -> None:
    with pytest.raises(ContextFullError) as caught:
        engine.submit(request([1] * 2048))
    assert (caught.value.needed, caught.value.available) == (2049, 2048)


def test_score_longer_than_the_context_says_what_it_needs(engine: _core.Engine) -> None:
    with pytest.raises(ContextFullError) as caught:
        engine.score(core_layout(lay_out([Trunk([1] * 2049)], "sum")))
    assert caught.value.needed == 2049


@pytest.mark.parametrize("call", ["score", "logits"])
def test_score_of_a_token_outside_the_vocabulary_is_a_value_error(engine: _core.Engine, call: str) -> None:
    with pytest.raises(ValueError, match="outside the vocabulary"):
        getattr(engine, call)(core_layout(lay_out([Trunk([10**6])], "sum")))


def test_state_of_another_layout_is_refused(engine: _core.Engine, storyteller: TinyModel) -> None:
    result = answer(engine, story(storyteller))
    ids = storyteller.vocabulary.encode("Tell me: 1")
    held = lay_out([Trunk(ids)], "sum") + _python(result.layout)
    state = engine.save_state(core_layout(held))
    assert state
    with pytest.raises(Exception, match="saved sequence"):
        engine.load_state(core_layout(lay_out([Trunk([1, 2, 3])], "sum")), state)
    with pytest.raises(Exception, match="saved sequence"):
        engine.load_state(core_layout(held), state[: len(state) // 2])


def test_state_of_what_is_not_retained_is_empty(engine: _core.Engine) -> None:
    assert engine.save_state(core_layout(lay_out([Trunk([1, 2, 3])], "sum"))) == b""


# --- protocols --------------------------------------------------------------------------------------------


def test_marker_that_is_not_control_is_a_protocol_error(tiny_typable_markers: TinyModel) -> None:
    engine = open_engine(tiny_typable_markers)
    with pytest.raises(ProtocolError, match="not a CONTROL token") as caught:
        engine.submit(request(PROMPT, aspd(tiny_typable_markers.vocabulary, "sum")))
    assert caught.value.protocol == "aspd"
    assert answer(engine, request(PROMPT, max_tokens=3)).finish_reason == _core.FinishReason.LENGTH


@pytest.mark.parametrize("field", ["item_open", "item_close", "plan_close", "branch_close"])
def test_absent_marker_is_a_protocol_error(engine: _core.Engine, storyteller: TinyModel, field: str) -> None:
    protocol = aspd(storyteller.vocabulary, "sum")
    setattr(protocol, field, _core.Marker("<|nowhere|>"))
    with pytest.raises(ProtocolError, match="nowhere"):
        engine.submit(request(PROMPT, protocol))


@pytest.mark.parametrize("field", ["branch_seed", "join_seed"])
def test_protocol_without_a_seed_is_a_protocol_error(
    engine: _core.Engine, storyteller: TinyModel, field: str
) -> None:
    protocol = aspd(storyteller.vocabulary, "sum")
    setattr(protocol, field, [])
    with pytest.raises(ProtocolError, match="seed"):
        engine.submit(request(PROMPT, protocol))


def test_unknown_field_of_a_protocol_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        _core.Protocol().join_ruel = _core.JoinRule.SUM  # type: ignore[attr-defined]


@pytest.mark.parametrize("tiny", ["tiny_mamba", "tiny_lfm2"])
def test_model_that_cannot_join_decodes_serially_and_says_why(request_: Any, tiny: str) -> None:
    model: TinyModel = request_.getfixturevalue(tiny)
    engine = open_engine(model)
    assert not engine.can_join
    assert "recurrent" in engine.cannot_join_reason
    serial = answer(engine, request(PROMPT, max_tokens=12))
    wanted = answer(engine, request(PROMPT, aspd(model.vocabulary, "sum"), max_tokens=12))
    assert wanted.fallback == engine.cannot_join_reason
    assert wanted.blocks == []
    assert wanted.layout.token_ids == serial.layout.token_ids
    with pytest.raises(ValueError, match="cannot join"):
        engine.submit(request(lay_out([Trunk([1]), Block([[2], [3]]), Trunk([4])], "sum")))


@pytest.fixture
def request_(request: pytest.FixtureRequest) -> pytest.FixtureRequest:
    """pytest's own `request`, under a name that does not hide the driver's."""
    return request


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        pytest.param(stories.plan("a"), "1 of at least 2", id="one branch"),
        pytest.param(stories.plan("aba"), "repeats the title 'a'", id="title twice"),
        pytest.param(stories.plan("aA"), "repeats the title 'A'", id="title twice but for its case"),
        pytest.param(
            stories.plan("abcdefghi").removesuffix(PARA), "9 branches, at most 8", id="too many branches"
        ),
        pytest.param(stories.plan(["a", " "]), "empty title", id="empty title"),
        pytest.param(f"{TITLE}a{PARA}", "inside a title", id="title not closed"),
        pytest.param(f"{TITLE}a{TITLE}", "not closed", id="title in a title"),
        pytest.param(f"{TITLE}a{TITLE_END}x", "text between", id="text between"),
        pytest.param(f"{TITLE}a{EOS}", "ended inside", id="end of text"),
    ],
)
def test_forced_plan_that_breaks_the_rules_is_decoded_serially(
    tmp_path: Path, plan: str, reason: str
) -> None:
    tiny = write_scripted(tmp_path / "tiny.gguf", Script([f": 1{plan}"], {"1": ["S"], "S": [EOS]}))
    engine = open_engine(tiny)
    forced = story(tiny, max_tokens=60)
    forced.script = [list(tiny.vocabulary.encode(plan))]
    result = answer(engine, forced)
    assert reason in result.fallback
    assert result.blocks == []
    assert result.text == "S"
    assert result.timings.rewound_tokens > 0
    engine.clear_retained()
    assert engine.cells_in_use == 0


def test_plans_of_a_model_that_writes_at_random_are_sound(tiny_llama: TinyModel) -> None:
    engine = open_engine(tiny_llama)
    n_blocks = 0
    for seed in range(40):
        wanted = request(PROMPT, aspd(tiny_llama.vocabulary, "sum"), max_tokens=120)
        wanted.max_branches = 16
        sampling = _core.SamplingOptions()
        sampling.temperature, sampling.seed = 2.0, seed
        sampling.logit_bias = [(tiny_llama.vocabulary[marker], 9.0) for marker in (TITLE, TITLE_END, PARA)]
        wanted.sampling = sampling
        result = answer(engine, wanted)
        cut = result.finish_reason == _core.FinishReason.LENGTH and "ended inside" in result.fallback
        known = ("cells", "branches", "repeats the title")
        assert cut or not result.fallback or any(reason in result.fallback for reason in known)
        for block in result.blocks:
            titles = [branch.title.casefold() for branch in block.branches]
            assert len(set(titles)) == len(titles) >= 2
            assert all(title.strip(" \t\r\n") for title in titles)
        n_blocks += len(result.blocks)
    assert n_blocks > 10


def test_title_with_broken_utf8_is_readable_text(tmp_path: Path) -> None:
    plan = stories.plan(["a", "b\udca9"])
    tiny = write_scripted(tmp_path / "tiny.gguf", Script([f": 1{plan}"], stories.forking("ab").choices))
    told = tell(open_engine(tiny), story(tiny, max_tokens=60))
    titles = [title for event in told for title in event.titles]
    assert titles == [branch.title for block in told[-1].result.blocks for branch in block.branches]
    assert titles == ["a", "b\ufffd"] or told[-1].result.fallback


def test_plan_whose_branches_find_no_cells_is_decoded_serially(storyteller: TinyModel) -> None:
    engine = open_engine(storyteller, n_ctx=256)
    prompt = [32] * 200 + storyteller.vocabulary.encode("1")
    result = answer(engine, request(prompt, aspd(storyteller.vocabulary, "sum"), max_tokens=20))
    assert "cells" in result.fallback
    assert result.blocks == []


# --- several requests, several threads ----------------------------------------------------------------------


def test_step_without_work_does_nothing(engine: _core.Engine) -> None:
    assert not engine.has_work
    assert engine.step() == []


def test_requests_that_do_not_fit_together_wait_for_each_other(storyteller: TinyModel) -> None:
    engine = open_engine(storyteller, n_ctx=256, n_requests=3)
    prompt = [32] * 150 + storyteller.vocabulary.encode("1")
    for _ in range(3):
        engine.submit(request(prompt, aspd(storyteller.vocabulary, "sum")))
    done = [event.result for event in run(engine) if event.kind == _core.EventKind.DONE]
    assert [result.finish_reason for result in done] == [_core.FinishReason.STOP] * 3
    assert len({result.text for result in done}) == 1


def test_who_waits_for_cells_keeps_no_copies_of_what_it_shares(storyteller: TinyModel) -> None:
    engine = open_engine(storyteller, n_ctx=256, n_requests=3, n_retained=4)
    prompt = [32] * 150 + storyteller.vocabulary.encode("1")
    for _ in range(2):
        engine.submit(request(prompt, aspd(storyteller.vocabulary, "sum"), retain=False))
    engine.step()
    free = engine.sequences_free
    for _ in range(3):
        engine.step()
    assert engine.sequences_free >= free - 1  # what the first answer itself may take
    run(engine)
    assert engine.cells_in_use == 0
    assert engine.sequences_free == engine.n_sequences


@pytest.mark.parametrize("request_id", [0, 1, 12345])
def test_cancel_of_an_unknown_request_does_nothing(
    engine: _core.Engine, storyteller: TinyModel, request_id: int
) -> None:
    engine.cancel(request_id)
    assert engine.step() == []
    result = answer(engine, story(storyteller))
    engine.cancel(request_id)
    assert answer(engine, story(storyteller)).text == result.text


def test_request_cancelled_while_it_waits_is_over_at_the_next_step(
    engine: _core.Engine, storyteller: TinyModel
) -> None:
    ids = [engine.submit(story(storyteller)) for _ in range(3)]
    engine.step()
    engine.cancel(ids[2])
    done = [event for event in engine.step() if event.kind == _core.EventKind.DONE]
    assert [event.request for event in done] == [ids[2]]
    assert done[0].result.finish_reason == _core.FinishReason.CANCELLED
    assert done[0].result.text == ""


def test_request_cancelled_during_its_prompt_ends_without_a_token(engine: _core.Engine) -> None:
    request_id = engine.submit(request(LONG, retain=False))
    stepping = _InThread(lambda: run(engine))
    time.sleep(0.02)
    engine.cancel(request_id)
    (done,) = stepping.result()
    assert done.result.finish_reason == _core.FinishReason.CANCELLED
    assert done.result.timings.trunk_tokens == 0


def test_signal_whose_handler_raises_breaks_off_a_long_step(engine: _core.Engine) -> None:
    class RangError(Exception):
        pass

    def ring(*_: object) -> None:
        raise RangError

    engine.submit(request(LONG, max_tokens=3, retain=False))
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.005)
    try:
        with pytest.raises(RangError):
            engine.step()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert engine.cells_in_use == 0  # the step has changed nothing
    assert run(engine)[-1].result.finish_reason == _core.FinishReason.LENGTH


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda engine: engine.step(), id="step"),
        pytest.param(lambda engine: engine.submit(request(PROMPT)), id="submit"),
        pytest.param(lambda engine: engine.score(core_layout(lay_out([Trunk(PROMPT)], "sum"))), id="score"),
        pytest.param(lambda engine: engine.logits(core_layout(lay_out([Trunk(PROMPT)], "sum"))), id="logits"),
        pytest.param(lambda engine: engine.clear_retained(), id="clear_retained"),
    ],
)
def test_second_thread_is_refused_while_the_first_one_is_inside(
    engine: _core.Engine, call: Callable[[_core.Engine], object]
) -> None:
    scoring = _InThread(lambda: engine.score(core_layout(lay_out([Trunk(LONG)], "sum"))))
    assert _is_refused_while(scoring, lambda: call(engine))
    assert len(scoring.result()) == len(LONG)


def test_second_thread_is_refused_while_the_first_one_steps(engine: _core.Engine) -> None:
    engine.submit(request(LONG, max_tokens=3))
    stepping = _InThread(engine.step)
    assert _is_refused_while(stepping, lambda: engine.submit(request(PROMPT, max_tokens=3)))
    stepping.result()
    done = [event for event in run(engine) if event.kind == _core.EventKind.DONE]
    assert all(event.result.finish_reason == _core.FinishReason.LENGTH for event in done)


def _is_refused_while(other: _InThread, call: Callable[[], object]) -> bool:
    """Calls until it is refused, which it must be before the other thread's call is over."""
    while other.is_running:
        try:
            call()
        except EngineBusyError:
            return True
        time.sleep(0.001)  # the other thread was not inside yet
    return False


class _InThread:
    """A call in another thread; as often as it takes if this thread happens to be inside the engine first."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._result: Any = None
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def result(self) -> Any:
        self._thread.join()
        return self._result

    def _work(self) -> None:
        while True:
            try:
                self._result = self._call()
            except EngineBusyError:
                continue
            return


def _python(layout: _core.Layout) -> Layout:
    return Layout(
        tuple(layout.token_ids), tuple(layout.positions), tuple(layout.block_ids), tuple(layout.branch_ids)
    )
