"""The oracles once more for a protocol with text markers: `prompted`, on a model that knows it by heart."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from aspd_local import _core, events, protocol
from aspd_local.errors import ContextFullError
from aspd_local.layout import JOIN_RULES, Block, JoinRule, Segment, Trunk, lay_out
from driver import answer, core_layout, open_engine, python_layout, request, run, tell, translate
from tiny.files import TinyModel
from tiny.script import Script, write_scripted
from tiny.vocabulary import EOS

PLAN = "<plan>\nred\nblue\n</plan>"
BODIES = {"red": "It is wárm.", "blue": "As cold as 1 < 2."}
TEXTS = [
    f"Hm 1{PLAN}",
    *(f'"{title}">\n{body}\n</part>' for title, body in BODIES.items()),
    f"\n\nSo.{EOS}",
]
EXPECTED = "**red**\nIt is wárm.\n\n**blue**\nAs cold as 1 < 2.\n\nSo."


@pytest.fixture(scope="module")
def tiny(tiny_folder: Path) -> TinyModel:
    return write_scripted(tiny_folder / "prompted.gguf", Script(TEXTS), seed=14)


@pytest.fixture(scope="module")
def engine(tiny: TinyModel) -> _core.Engine:
    return open_engine(tiny)


@pytest.mark.parametrize("rule", JOIN_RULES)
@pytest.mark.parametrize("plan_always", [False, True])
def test_answer_is_its_script_without_markers(
    engine: _core.Engine, tiny: TinyModel, rule: JoinRule, plan_always: bool
) -> None:
    result = answer(engine, _request(tiny, rule, plan_always=plan_always))
    assert result.text == EXPECTED
    assert result.fallback == ""
    assert [branch.title for branch in result.blocks[0].branches] == list(BODIES)


@pytest.mark.parametrize("rule", JOIN_RULES)
def test_layout_function_equals_the_engines_record(
    engine: _core.Engine, tiny: TinyModel, rule: JoinRule
) -> None:
    encode = tiny.vocabulary.encode
    result = answer(engine, _request(tiny, rule))
    branches = [branch.token_ids for branch in result.blocks[0].branches]
    written: list[Segment] = [Trunk(encode(PLAN)), Block(branches), Trunk(encode("\n\n") + encode("So."))]
    for ids, (title, body) in zip(branches, BODIES.items(), strict=True):
        assert tiny.vocabulary.decode(ids) == f'\n<part title="{title}">\n{body}\n</part>'
    expected = lay_out(written, rule, start=len(encode("Hm 1")), reentry=True)
    assert python_layout(result.layout, expected.next_position) == expected


@pytest.mark.parametrize("rule", JOIN_RULES)
def test_stream_and_fold_equal_the_text(engine: _core.Engine, tiny: TinyModel, rule: JoinRule) -> None:
    told = [translate(event) for event in tell(engine, _request(tiny, rule))]
    order = events.ReadingOrder()
    assert "".join(order.feed(event) for event in told) == EXPECTED
    assert events.fold(told) == EXPECTED


def test_answer_ends_with_its_block_and_the_next_turn_reads_the_rest(tiny: TinyModel) -> None:
    encode = tiny.vocabulary.encode
    engine = open_engine(tiny)
    result = answer(engine, _request(tiny, None, retain=True))
    assert result.text == EXPECTED.removesuffix("\n\nSo.")
    assert result.timings.join_s == 0
    branches = [branch.token_ids for branch in result.blocks[0].branches]
    expected = lay_out([Trunk(encode(f"Hm 1{PLAN}")), Block(branches)], "linear", reentry=True)
    n_prompt = len(encode("Hm 1"))
    assert list(result.layout.token_ids) == list(expected.token_ids[n_prompt:])
    n_retained = engine.n_retained(core_layout(expected))
    # What was decoded in its place: the first branch, but for its last token.
    assert n_retained == len(encode(f"Hm 1{PLAN}")) + len(branches[0]) - 1

    turn = lay_out([Trunk(encode("\n\n"))], "linear", start=expected.next_position)
    again = answer(engine, request(expected + turn, max_tokens=3))
    fresh = answer(open_engine(tiny), request(expected + turn, max_tokens=3))
    assert (again.timings.cached_tokens, fresh.timings.cached_tokens) == (n_retained, 0)
    assert again.text == fresh.text == "So."


# The model goes on with "So." behind an empty line, and with a plan behind "Hm 1".
PLANLESS = "\n\n"


def _asked(tiny: TinyModel, prompt: str, serial_prompt: str, **options: Any) -> _core.Request:
    """A question with instructions, and the one without."""
    encode = tiny.vocabulary.encode
    wanted = _request(tiny, None, prompt=prompt, **options)
    wanted.serial_prompt = core_layout(lay_out([Trunk(encode(serial_prompt))], "linear"))
    return wanted


def _serial(tiny: TinyModel, prompt: str, **options: Any) -> _core.Result:
    return answer(open_engine(tiny), request(tiny.vocabulary.encode(prompt), **options))


def test_an_answer_that_begins_with_a_plan_needs_no_other_prompt(
    engine: _core.Engine, tiny: TinyModel
) -> None:
    result = answer(engine, _asked(tiny, "Hm 1", PLANLESS))
    assert not result.from_serial_prompt
    assert result.text == EXPECTED.removesuffix("\n\nSo.")


@pytest.mark.parametrize(
    ("prompt", "options", "fallback"),
    [
        pytest.param(PLANLESS, {}, "", id="text"),
        pytest.param(PLANLESS, {"retain": True}, "", id="text, retained"),
        pytest.param("So.", {}, "", id="an end at once"),
        pytest.param("Hm 1", {"max_branches": 1}, "branches", id="too many branches"),
        pytest.param("Hm 1", {"max_tokens": 7}, "", id="a plan that the limit cuts"),
        pytest.param("Hm 1", {"grammar": 'root ::= "So" .*'}, "grammar", id="grammar"),
    ],
)
def test_an_answer_without_a_plan_is_the_serial_one_to_the_prompt_without_instructions(
    tiny: TinyModel, prompt: str, options: dict[str, Any], fallback: str
) -> None:
    engine = open_engine(tiny)
    limits = {"max_tokens": 40} | options
    events = tell(engine, _asked(tiny, prompt, "\n\n", **limits))
    result = events[-1].result
    serial = _serial(tiny, "\n\n", **{key: value for key, value in limits.items() if key != "max_branches"})
    assert result.from_serial_prompt
    assert result.text == serial.text != ""
    assert "".join(event.text for event in events) == result.text
    assert result.finish_reason == serial.finish_reason
    assert result.layout.token_ids == serial.layout.token_ids
    assert result.timings.prompt_tokens == len(tiny.vocabulary.encode("\n\n"))
    assert result.blocks == []
    assert fallback in result.fallback
    assert bool(fallback) == bool(result.fallback)
    if not limits.get("retain"):
        assert engine.cells_in_use == 0
        assert engine.sequences_free == engine.n_sequences


@pytest.mark.parametrize("options", [{}, {"temperature": 5.0, "seed": 3}], ids=["greedy", "hot"])
@pytest.mark.parametrize("prompt", ["1", "1 1"], ids=["not the likeliest", "the likeliest"])
def test_a_threshold_decides_on_the_plan_by_its_probability(
    engine: _core.Engine, tiny: TinyModel, prompt: str, options: dict[str, Any]
) -> None:
    asked = request(tiny.vocabulary.encode(prompt), max_tokens=1)
    asked.n_logprobs = 20
    opening = tiny.vocabulary.encode("<plan>")[0]
    likelihoods = [likelihood for event in tell(engine, asked) for likelihood in event.likelihoods]
    likeliest = dict(likelihoods[0].top)
    probability = math.exp(likeliest[opening])
    assert 0.1 < probability < 0.9
    assert (likelihoods[0].token == opening) == (prompt == "1 1")
    for threshold, forks in ((0.99 * probability, True), (1.01 * probability, False)):
        wanted = _asked(tiny, prompt, PLANLESS, max_tokens=40, **options)
        wanted.plan_threshold = threshold
        result = answer(engine, wanted)
        if forks:
            assert result.timings.rewound_tokens + result.timings.plan_tokens > 0
        else:
            assert result.from_serial_prompt
            assert result.timings.rewound_tokens + result.timings.plan_tokens == 0


@pytest.mark.parametrize(
    ("question", "forks"),
    [
        ("", True),
        ("12?", True),
        ("Which colours?", True),
        ("赤い Which", True),
        ("请给出三个建议", False),
        ("Какие цвета?", False),
        ("いろは", False),
    ],
)
def test_a_plan_in_another_writing_system_than_the_question_is_not_used(
    engine: _core.Engine, tiny: TinyModel, question: str, forks: bool
) -> None:
    wanted = _asked(tiny, "Hm 1", PLANLESS)
    wanted.question = question
    engine.clear_retained()
    result = answer(engine, wanted)
    assert bool(result.blocks) == forks
    if not forks:
        assert result.from_serial_prompt
        assert result.text == "So."
        assert "writing system" in result.fallback
    assert engine.cells_in_use == 0
    assert engine.sequences_free == engine.n_sequences


def test_a_banned_marker_opens_no_plan(engine: _core.Engine, tiny: TinyModel) -> None:
    wanted = _asked(tiny, "Hm 1", PLANLESS)
    wanted.plan_threshold = 1e-6
    sampling = wanted.sampling
    sampling.logit_bias = [(tiny.vocabulary.encode("<plan>")[0], -math.inf)]
    wanted.sampling = sampling
    assert answer(engine, wanted).from_serial_prompt


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan])
def test_a_threshold_is_a_probability(engine: _core.Engine, tiny: TinyModel, threshold: float) -> None:
    wanted = _asked(tiny, "Hm 1", PLANLESS)
    wanted.plan_threshold = threshold
    with pytest.raises(ValueError, match="plan_threshold"):
        engine.submit(wanted)


def test_phases_of_an_answer_that_was_asked_anew_count_no_second_twice(tiny: TinyModel) -> None:
    timings = answer(open_engine(tiny), _asked(tiny, PLANLESS, "So " * 100 + PLANLESS)).timings
    phases = ("queue_s", "prompt_s", "trunk_s", "plan_s", "branch_s", "join_s")
    assert 0 < sum(getattr(timings, phase) for phase in phases) <= timings.total_s


def test_both_prompts_stay_in_the_cache_for_the_next_turn(tiny: TinyModel) -> None:
    engine = open_engine(tiny)
    wanted = _asked(tiny, "1\n\n", PLANLESS, retain=True)
    answer(engine, wanted)
    assert engine.n_retained(wanted.prompt) == len(wanted.prompt)
    again = answer(engine, _asked(tiny, "1\n\n", PLANLESS, retain=True))
    assert again.from_serial_prompt
    assert again.timings.cached_tokens == len(tiny.vocabulary.encode(PLANLESS)) - 1


@pytest.mark.parametrize(("prompt_token_s", "is_asked"), [(0.001, True), (0.5, False)])
def test_what_is_long_to_read_depends_on_the_machine(
    tiny: TinyModel, prompt_token_s: float, is_asked: bool
) -> None:
    engine = open_engine(tiny)
    points = [_core.WidthPoint(width, 10, 0.01) for width in (1, 2, 4, 8)]
    engine.set_width_curve(_core.WidthCurve(points, prompt_token_s))  # four branches of 40 save 1.2 s
    result = answer(engine, _asked(tiny, "Hm 1", "So " * 5 + PLANLESS))
    assert result.from_serial_prompt == (not is_asked)
    assert ("too long" in result.fallback) == (not is_asked)


def test_a_question_that_is_long_to_read_is_answered_serially_at_once(tiny: TinyModel) -> None:
    engine = open_engine(tiny, n_ctx=2048)
    wanted = _asked(tiny, "Hm 1", "So " * 500 + PLANLESS)
    assert wanted.serial_prompt is not None
    assert len(wanted.serial_prompt) > 1024
    result = answer(engine, wanted)
    assert result.from_serial_prompt
    assert result.text == "So."
    assert "too long" in result.fallback
    assert result.timings.rewound_tokens == 0
    # one that lists its parts is asked all the same
    wanted.asked_parts = LISTED
    assert answer(engine, wanted).text == LISTED_TEXT.removesuffix("\n\nSo.")


# Parts that the question lists, the other way round than the model would plan them.
LISTED = [_core.AskedPart("blue", "1. "), _core.AskedPart("red", "\n2. red: ")]
LISTED_TEXT = "1. As cold as 1 < 2.\n2. red: It is wárm.\n\nSo."


@pytest.mark.parametrize("rule", JOIN_RULES)
@pytest.mark.parametrize("plan_always", [False, True])
def test_parts_that_the_question_lists_are_planned_without_being_written(
    engine: _core.Engine, tiny: TinyModel, rule: JoinRule, plan_always: bool
) -> None:
    encode = tiny.vocabulary.encode
    own = answer(engine, _request(tiny, rule, plan_always=plan_always))
    wanted = _request(tiny, rule, plan_always=plan_always)
    wanted.asked_parts = LISTED
    told = tell(engine, wanted)
    result = told[-1].result
    assert result.text == LISTED_TEXT
    assert events.fold([translate(event) for event in told]) == LISTED_TEXT
    assert [branch.title for branch in result.blocks[0].branches] == ["blue", "red"]
    assert [result.text[b.span_begin : b.span_end] for b in result.blocks[0].branches] == [
        BODIES["blue"],
        BODIES["red"],
    ]
    branches = [branch.token_ids for branch in result.blocks[0].branches]
    opened = "" if plan_always else "<plan>"
    listed: list[Segment] = [
        Trunk(encode("<plan>\nblue\nred\n</plan>")),
        Block(branches),
        Trunk(encode("\n\n") + encode("So.")),
    ]
    expected = lay_out(listed, rule, start=len(encode("Hm 1")), reentry=True)
    assert python_layout(result.layout, expected.next_position) == expected
    closing = 2 * len(encode("</part>"))
    assert result.timings.plan_tokens == len(encode(opened)) + closing
    assert own.timings.steps - result.timings.steps >= len(encode("blue\nred"))


@pytest.mark.parametrize(
    "titles",
    [
        pytest.param(["blue"], id="one title"),
        pytest.param(["blue", "blue"], id="title twice"),
        pytest.param(["blue", "two\nlines"], id="two lines"),
        pytest.param(["blue", "a < b"], id="the first letter of a marker"),
        pytest.param(["blue", ""], id="empty"),
        pytest.param(["blue", "word " * 17], id="too long"),
        pytest.param([f"title {i}" for i in range(9)], id="too many"),
    ],
)
def test_a_list_that_makes_no_sound_plan_is_not_used(
    engine: _core.Engine, tiny: TinyModel, titles: list[str]
) -> None:
    wanted = _request(tiny, "linear")
    wanted.asked_parts = [_core.AskedPart(title, "- ") for title in titles]
    assert answer(engine, wanted).text == EXPECTED


def test_a_list_is_not_used_where_the_model_opens_no_plan(tiny: TinyModel) -> None:
    wanted = _asked(tiny, PLANLESS, PLANLESS)
    wanted.asked_parts = LISTED
    result = answer(open_engine(tiny), wanted)
    assert (result.text, result.blocks) == ("So.", [])


def test_a_listed_plan_that_has_no_room_is_taken_back(engine: _core.Engine, tiny: TinyModel) -> None:
    wanted = _asked(tiny, "Hm 1", PLANLESS, max_branches=1)
    wanted.asked_parts = LISTED
    engine.clear_retained()
    assert answer(engine, wanted).text == "So."
    assert engine.cells_in_use == 0
    assert engine.sequences_free == engine.n_sequences


@pytest.mark.parametrize("k", range(0, 28, 3))
def test_cancelled_at_step_k_around_a_listed_plan(engine: _core.Engine, tiny: TinyModel, k: int) -> None:
    engine.clear_retained()
    wanted = _request(tiny, "sum")
    wanted.asked_parts = LISTED
    request_id = engine.submit(wanted)
    for _ in range(k):
        engine.step()
    engine.cancel(request_id)
    assert run(engine)[-1].result.finish_reason == _core.FinishReason.CANCELLED
    assert engine.cells_in_use == 0
    assert engine.sequences_free == engine.n_sequences


def test_many_answers_ask_anew_beside_each_other(tiny: TinyModel) -> None:
    """Each has the text that it has alone, and everything comes back."""
    engine = open_engine(tiny)
    prompts = ["Hm 1", PLANLESS] * 6
    ids = [engine.submit(_asked(tiny, prompt, PLANLESS)) for prompt in prompts]
    results = {event.request: event.result for event in run(engine) if event.result is not None}
    for request_id, prompt in zip(ids, prompts, strict=True):
        assert results[request_id].from_serial_prompt == (prompt == PLANLESS)
        assert results[request_id].text == ("So." if prompt == PLANLESS else EXPECTED.removesuffix("\n\nSo."))
    assert engine.cells_in_use == 0
    assert engine.sequences_free == engine.n_sequences


@pytest.mark.parametrize("k", range(1, 8))
def test_cancelled_at_step_k_around_the_second_reading(tiny: TinyModel, k: int) -> None:
    engine = open_engine(tiny)
    request_id = engine.submit(_asked(tiny, PLANLESS, PLANLESS, retain=False))
    done = []
    for _ in range(k):
        done += [event for event in engine.step() if event.kind == _core.EventKind.DONE]
    engine.cancel(request_id)
    done += [event for event in run(engine) if event.kind == _core.EventKind.DONE]
    assert len(done) == 1
    assert engine.cells_in_use == 0
    assert engine.sequences_free == engine.n_sequences


@pytest.mark.parametrize("ids", [[], [1_000_000], [5] * 600])
def test_a_serial_prompt_is_checked_as_the_prompt_is(
    engine: _core.Engine, tiny: TinyModel, ids: list[int]
) -> None:
    wanted = _asked(tiny, "Hm 1", PLANLESS)
    wanted.serial_prompt = core_layout(lay_out([Trunk(ids)], "linear"))
    with pytest.raises((ValueError, ContextFullError)):
        engine.submit(wanted)


def test_who_asks_for_a_join_rule_gets_what_follows_the_block(tiny: TinyModel) -> None:
    own, asked = _request(tiny, None).protocol, _request(tiny, "linear").protocol
    assert own is not None
    assert asked is not None
    assert (own.ends_with_block, own.decodes_again) == (True, False)
    assert (asked.ends_with_block, asked.decodes_again) == (False, True)


@pytest.mark.parametrize("k", range(0, 28, 3))
def test_request_cancelled_at_step_k_gives_everything_back(
    engine: _core.Engine, tiny: TinyModel, k: int
) -> None:
    engine.clear_retained()
    request_id = engine.submit(_request(tiny, "sum"))
    for _ in range(k):
        engine.step()
    engine.cancel(request_id)
    result = run(engine)[-1].result
    assert result.finish_reason == _core.FinishReason.CANCELLED
    assert engine.cells_in_use == 0
    assert engine.sequences_free == engine.n_sequences


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        pytest.param("<plan>\n- red\nblue\n</plan>", "list mark", id="list mark"),
        pytest.param("<plan>\nred\nred\n</plan>", "repeated title", id="title twice"),
        pytest.param("<plan>\nred\n</plan>", "one title", id="one title"),
    ],
)
def test_plan_cannot_break_its_rules_while_it_is_written(tmp_path: Path, plan: str, text: str) -> None:
    """The model knows only a wrong plan; what it may not write it does not write."""
    model = write_scripted(tmp_path / "wrong_plan.gguf", Script([f"Hm 1{plan}"]), seed=15)
    result = answer(open_engine(model), _request(model, "linear", max_tokens=60))
    titles = [branch.title for block in result.blocks for branch in block.branches]
    assert plan not in result.text
    assert len(set(titles)) == len(titles), text
    assert not any(title.startswith("-") for title in titles)
    assert titles == [] or len(titles) >= 2


def _request(
    tiny: TinyModel, rule: JoinRule | None, *, prompt: str = "Hm 1", **options: Any
) -> _core.Request:
    model = _core.Model.load(str(tiny.path), _core.ModelOptions())
    prompted = protocol.bind(protocol.load("prompted"), model, join_rule=rule)
    return request(tiny.vocabulary.encode(prompt), prompted, **({"retain": False} | options))


# --- what most likely follows is decoded beforehand --------------------------------------------------------

UNPLANNED = "<plank> and </plan"  # begins as a plan does


@pytest.fixture(scope="module")
def carpenter(tiny_folder: Path) -> TinyModel:
    return write_scripted(tiny_folder / "carpenter.gguf", Script([f"Hm 2{UNPLANNED}.{EOS}"]), seed=14)


def test_markers_take_fewer_steps_than_tokens(engine: _core.Engine, tiny: TinyModel) -> None:
    encode = tiny.vocabulary.encode
    result = answer(engine, _request(tiny, "linear"))
    assert result.text == EXPECTED
    longest = max(len(encode(f'"{title}">\n{body}\n</part>')) for title, body in BODIES.items())
    serial_steps = len(encode(PLAN)) + longest + len(encode("So."))
    saved = len(encode("plan>\n")) + len(encode("/plan")) + len(encode("/part"))
    assert serial_steps - result.timings.steps >= saved


def test_what_was_wrongly_expected_leaves_no_trace(carpenter: TinyModel) -> None:
    engine = open_engine(carpenter)
    wanted = _request(carpenter, "linear", prompt="Hm 2", retain=True)
    result = answer(engine, wanted)
    assert result.text == UNPLANNED + "."
    assert result.blocks == []
    assert engine.cells_in_use == len(carpenter.vocabulary.encode("Hm 2" + UNPLANNED + "."))


@pytest.mark.parametrize("limit", range(1, 14))
def test_an_answer_may_end_amid_what_was_expected(carpenter: TinyModel, limit: int) -> None:
    """The limit is met at every token; the next turn goes on from the same cells as in a fresh engine."""
    vocabulary = carpenter.vocabulary
    ids = vocabulary.encode(UNPLANNED + ".")
    engine = open_engine(carpenter)
    wanted = _request(carpenter, "linear", prompt="Hm 2", retain=True, max_tokens=limit)
    result = answer(engine, wanted)
    assert result.text == vocabulary.decode(ids[:limit])
    said = lay_out([Trunk(vocabulary.encode("Hm 2") + ids[:limit])], "linear")
    assert engine.n_retained(core_layout(said)) == engine.cells_in_use == len(said) - 1
    again = answer(engine, request(said, max_tokens=30))
    assert again.text == vocabulary.decode(ids[limit:])


@pytest.mark.parametrize("stop", ["p", "pl", "an", "nk", "plank", "> a"])
def test_a_stop_string_amid_what_was_expected(carpenter: TinyModel, stop: str) -> None:
    engine = open_engine(carpenter)
    wanted = _request(carpenter, "linear", prompt="Hm 2", stop=[stop], retain=False)
    assert answer(engine, wanted).text == UNPLANNED[: UNPLANNED.index(stop)]
    assert engine.cells_in_use == 0
    assert engine.sequences_free == engine.n_sequences


def test_an_engine_with_room_for_few_rows_expects_nothing(tiny: TinyModel) -> None:
    engine = open_engine(tiny, n_lanes=2, n_requests=1, n_retained=0, n_batch=2)
    assert answer(engine, _request(tiny, "linear")).text == EXPECTED
