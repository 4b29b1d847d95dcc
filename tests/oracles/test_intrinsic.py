"""The oracles once more for a model's own lists, taken apart by `intrinsic`.

The model writes a list of four items. Their leads are always the same; how their bodies are worded, and how
long they are, the context decides. An outline is written with an elision of one token, which leaves room for
the lead before it in what the model looks back on.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aspd_local import _core, events, protocol
from aspd_local.layout import Trunk, lay_out
from driver import answer, logits, open_engine, request, run, tell, translate
from tiny.files import TinyModel
from tiny.script import Script, write_scripted
from tiny.vocabulary import EOS, TURN_END

PROMPT = "Tell me!"
HEAD = "Hm:\n"
ELISION = "~"
LEADS = ("XA", "XB", "XC", "XD")
# No two letters of a body are one token. The first is long: an outline takes its time.
BODIES = ("cgbfhjklpqrstvwxyzGI;?&@%", "FJKLM", "NOPQRS", "UVWYZT")
END = "\n---\nEnd"

Told = list[_core.Event]
DraftCheck = _core.DraftCheck
STOP, LENGTH = _core.FinishReason.STOP, _core.FinishReason.LENGTH


class _Choices:
    """What comes after which text. The more texts lead to it, the surer is the model."""

    def __init__(self) -> None:
        self.after: dict[str, list[str]] = {}

    def add(self, befores: Sequence[str], after: Sequence[str]) -> None:
        for before in befores:
            known = self.after.setdefault(before, [])
            known.extend(token for token in after if token not in known)

    def body(
        self, lead: str, letters: str, steps: Sequence[int], least: int, behind: Mapping[str, str]
    ) -> None:
        """Letters of a body, in their order. steps: how many may be next; least: letters before an end.
        behind: what may come then, and what comes after that.
        """
        self.add([f"{lead[-1]}: ", f"{lead}: ", f" {lead}: "], letters[: steps[0]])
        before: dict[str, list[str]] = {letter: [] for letter in letters}
        for n, letter in enumerate(letters):
            n_next = steps[n % len(steps)]
            following = list(letters[n + 1 : n + 1 + n_next])
            for each in following:
                before[each].append(letter)
            contexts = [letter, *(each + letter for each in before[letter])]
            self.add(contexts, [*following, *(behind if n >= least else [])])
            for end, after in behind.items():
                self.add([f"{context}{end}" for context in contexts], [after] if after else [])

    def chain(self, before: str, text: str) -> None:
        """A text that follows `before`, a token for each letter."""
        for n in range(len(before), len(before) + len(text)):
            said = (before + text)[:n]
            self.add([said[-size:] for size in range(2, 6)], [(before + text)[n]])


def _script(
    first_body: str = "",
    end: str = END,
    other_lead: str = "",
    elided_end: str = "",
    ends: Mapping[int, Mapping[str, str]] = MappingProxyType({}),
) -> Script:
    """first_body: instead of one that the context words. end: what stands behind the list. other_lead: the
    third in an outline. elided_end: what stands behind the list there, and nowhere else. ends: what may come
    behind bodies and after that, by number, in place of a newline and the next mark.
    """
    choices = _Choices()
    if other_lead:
        first, rest = other_lead[0], other_lead[1:]
        choices.add(["3", "\n3"], ["."])
        choices.add(["3.", "\n3."], [" "])
        choices.add([f"{ELISION}\n3. ", "\n3. ", "3. "], [first])
        choices.chain(f". {first}", f"{rest}:")
        choices.add([f"{letter}\n3. " for letter in BODIES[1]], [LEADS[2][0]])
        choices.add(["3. X", ". X", " X"], [LEADS[2][1]])
    choices.add(["m:", "Hm:", "!Hm:"], ["\n"])
    choices.add(["m:\n", "Hm:\n", "!Hm:\n"], ["1"])
    choices.chain(end[:2], end[2:])
    for n in range(1, len(elided_end) + 1):
        choices.add([f"{ELISION}\n{elided_end[:n]}"], [elided_end[n:][:1] or EOS])
    texts = ["!Hm:", f"End{EOS}"]
    for number, (lead, letters) in enumerate(zip(LEADS, BODIES, strict=True), 1):
        behind = str(number + 1) if number < len(LEADS) else end[1]
        texts.append(f"{lead}:" if other_lead and number == 3 else f"{number}. {lead}:")
        choices.add([f":\n{number}", f"~\n{number}"], ["."])
        choices.add([f"{lead[-1]}:", f"{lead}:", f" {lead}:"], [" "])
        choices.add(
            [f"{lead[-1]}: {ELISION}\n"], [elided_end[:1] or behind if number == len(LEADS) else behind]
        )
        if number == 1 and first_body:
            choices.chain(f"{lead}: ", f"{first_body}\n{behind}")
        else:
            wide = (2, 1, 1) if number == 1 else (3,)
            least = 16 if number == 1 else 0
            choices.body(lead, letters, wide, least, ends.get(number, {"\n": behind}))
    return Script(texts, choices.after)


@pytest.fixture(scope="module")
def lister(tiny_folder: Path) -> TinyModel:
    return write_scripted(tiny_folder / "lister.gguf", _script(), seed=3)


@pytest.fixture(scope="module")
def calculator(tiny_folder: Path) -> TinyModel:
    """Late in the first body stands a calculation."""
    return write_scripted(tiny_folder / "calculator.gguf", _script("cgbfhjklpqr+9=5w"), seed=3)


@pytest.fixture(scope="module")
def forgetful(tiny_folder: Path) -> TinyModel:
    """In an outline its third lead is not the one that it writes behind the second body."""
    return write_scripted(tiny_folder / "forgetful.gguf", _script(other_lead="uC"), seed=3)


@pytest.fixture(scope="module")
def brief(tiny_folder: Path) -> TinyModel:
    """Its first body is over before the others' leads are known."""
    return write_scripted(tiny_folder / "brief.gguf", _script("cg"), seed=3)


@pytest.fixture(scope="module")
def terse(tiny_folder: Path) -> TinyModel:
    """Its first two bodies are over before."""
    return write_scripted(tiny_folder / "terse.gguf", _script("c"), seed=3)


def lists(**rules: Any) -> _core.Protocol:
    """`intrinsic`, for these models. rules: of lists."""
    file = protocol.load("intrinsic")
    result = _core.Protocol()
    result.name = file.name
    result.join_rule = _core.JoinRule.LINEAR
    result.max_blocks = file.max_blocks
    result.branch_tokens = 4
    # These models are sure of the leads' order, and not always of a mark.
    own = {
        "elision": ELISION,
        "separator": "\n",
        "min_items": 2,
        "ready_items": 3,
        "max_order": 1e9,
        "min_mark": 0.0,
        "min_first_mark": 0.0,
    }
    result.lists = protocol.list_rules(replace(file, lists={**file.lists, **own, **rules}))
    return result


@pytest.fixture(scope="module")
def shared(lister: TinyModel) -> _core.Engine:
    return open_engine(lister)


@pytest.fixture
def engine(shared: _core.Engine) -> Iterator[_core.Engine]:
    """Serves many tests: it must be empty after each."""
    _check_empty(shared)
    yield shared
    _check_empty(shared)


def _check_empty(engine: _core.Engine) -> None:
    assert not engine.has_work
    assert (engine.cells_in_use, engine.sequences_free) == (0, engine.n_sequences)


def wanted(
    tiny: TinyModel, bound: _core.Protocol | None, *, behind: str = "", **options: Any
) -> _core.Request:
    """behind: what the answer has already said."""
    return request(tiny.vocabulary.encode(PROMPT + behind), bound, **({"retain": False} | options))


def check(told: Told) -> _core.Result:
    """Oracle 7, for each of these answers: stream, fold and text are one."""
    result = told[-1].result
    translated = [translate(event) for event in told]
    order = events.ReadingOrder()
    assert "".join(order.feed(event) for event in translated) == result.text
    assert events.fold(translated) == result.text
    return result


def likelihoods(told: Told, branches: Sequence[int]) -> list[float]:
    """Of the tokens of the trunk (0) or of branches, as they were told."""
    return [each.logprob for event in told if event.branch in branches for each in event.likelihoods]


def kinds(told: Told) -> list[_core.EventKind]:
    return [event.kind for event in told]


def bodies(result: _core.Result) -> list[str]:
    (block,) = result.blocks
    return [result.text[branch.span_begin : branch.span_end] for branch in block.branches]


# --- what is decoded ---------------------------------------------------------------------------------------


def test_list_is_taken_apart_and_grows(engine: _core.Engine, lister: TinyModel) -> None:
    told = tell(engine, wanted(lister, lists()))
    result = check(told)
    forks = [tuple(event.titles) for event in told if event.kind == _core.EventKind.FORK]
    assert forks == [LEADS[:3], LEADS]
    assert {event.offset for event in told if event.kind == _core.EventKind.FORK} == {len(HEAD)}
    items = [
        f"{n}. {lead}:{body}" for n, (lead, body) in enumerate(zip(LEADS, bodies(result), strict=True), 1)
    ]
    assert result.text == HEAD + "\n".join(items) + END
    assert result.finish_reason == STOP
    assert lister.vocabulary.decode(list(result.layout.token_ids)) == result.text


def test_a_branch_among_others_is_the_branch_alone(engine: _core.Engine, lister: TinyModel) -> None:
    found = bodies(answer(engine, wanted(lister, lists())))
    assert len(set(map(len, found))) > 2
    for number, (lead, body) in enumerate(zip(LEADS, found, strict=True), 1):
        alone = answer(engine, wanted(lister, None, behind=f"{HEAD}{number}. {lead}:")).text
        assert body == alone[: alone.index("\n")]


@pytest.mark.parametrize(("model", "n_serial"), [("brief", 1), ("terse", 2)])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_block_begins_behind_items_that_ended_too_early(
    model: str, n_serial: int, temperature: float, request: pytest.FixtureRequest
) -> None:
    """They are the serial answer's, and the items behind them are written as they would be by themselves."""
    tiny: TinyModel = request.getfixturevalue(model)
    engine = open_engine(tiny)
    options: dict[str, Any] = {"temperature": temperature, "seed": 4}
    told = tell(engine, wanted(tiny, lists(), n_logprobs=0, **options))
    result = check(told)
    serial = answer(engine, wanted(tiny, None, **options))
    (block,) = result.blocks
    begin = block.branches[0].span_begin
    before = result.text[: result.text.rindex("\n", 0, begin) + 1]
    assert before.count("\n") == n_serial + 1
    assert serial.text.startswith(before)
    assert [branch.title for branch in block.branches] == list(LEADS[n_serial:])
    assert {event.offset for event in told if event.kind == _core.EventKind.FORK} == {len(before)}
    assert result.text.endswith(END)
    assert result.fallback == ""
    assert tiny.vocabulary.decode(list(result.layout.token_ids)) == result.text
    if temperature > 0:
        return
    for number, (lead, body) in enumerate(zip(LEADS[n_serial:], bodies(result), strict=True), n_serial + 1):
        alone = answer(engine, wanted(tiny, None, behind=f"{before}{number}. {lead}:")).text
        assert body == alone[: alone.index("\n")]
    _check_empty(engine)


def test_a_list_goes_on_serially_where_its_next_lead_is_not_the_outlines(tiny_folder: Path) -> None:
    other = write_scripted(tiny_folder / "other_lead.gguf", _script("c", other_lead="uC"), seed=3)
    engine = open_engine(other)
    result = answer(engine, wanted(other, lists(ready_items=4)))
    assert result.fallback == "its first items ended before the others were known"
    assert result.text == answer(engine, wanted(other, None)).text


def test_outline_is_what_follows_a_left_out_body(engine: _core.Engine, lister: TinyModel) -> None:
    """Whose body is left out needs no telling: the leads are the same in any order of the steps."""
    said = HEAD
    for number, lead in enumerate(LEADS, 1):
        said += f"{number}. {lead}: {ELISION}\n"
        expected = f"{number + 1}. {LEADS[number]}:" if number < len(LEADS) else END[1:]
        alone = answer(engine, wanted(lister, None, behind=said, max_tokens=len(expected)))
        assert alone.text == expected


def test_trunk_goes_on_behind_a_list_as_it_would_behind_the_text(
    engine: _core.Engine, lister: TinyModel
) -> None:
    """Where no end of the outline is used the trunk writes it, from cells that hold an ordinary text."""
    told = tell(engine, wanted(lister, lists(max_tail=0), retain=True, n_logprobs=0))
    result = check(told)
    n_end = len(END) - 1  # tokens of the end without what parts it from the list
    assert result.blocks
    assert result.text.endswith(END)
    ids = list(result.layout.token_ids)
    assert lister.vocabulary.decode(ids) == result.text
    serial = tell(engine, wanted(lister, None, behind=result.text[:-n_end], n_logprobs=0))
    assert serial[-1].result.text == END[1:]
    assert likelihoods(told, (0,))[-n_end:] == pytest.approx(likelihoods(serial, (0,)), abs=1e-3)
    n_prompt = len(lister.vocabulary.encode(PROMPT))
    assert list(result.layout.positions) == list(range(n_prompt, n_prompt + len(ids)))
    assert engine.cells_in_use == n_prompt + len(ids)
    engine.clear_retained()


@pytest.mark.parametrize("temperature", [0.0, 1.0, 3.0, 20.0])
@pytest.mark.parametrize("seed", range(12))
def test_what_does_not_fork_is_the_serial_answer(
    engine: _core.Engine, lister: TinyModel, temperature: float, seed: int
) -> None:
    options: dict[str, Any] = {"temperature": temperature, "seed": seed, "max_tokens": 70}
    serial = tell(engine, wanted(lister, None, **options))
    no_list: dict[str, Any] = {"bullets": [], "number_ends": []}
    for rules in (no_list, {"max_items": 1}, {"max_order": -1e9}, {"min_first_mark": 1.1}):
        told = tell(engine, wanted(lister, lists(**rules), **options))
        assert [(event.kind, event.text) for event in told] == [(event.kind, event.text) for event in serial]
        assert told[-1].result.layout.token_ids == serial[-1].result.layout.token_ids


def test_an_outline_that_came_to_nothing_is_told_in_the_timings(
    engine: _core.Engine, lister: TinyModel
) -> None:
    result = answer(engine, wanted(lister, lists(max_order=-1e9)))
    assert not result.blocks
    timings = result.timings
    assert timings.rewound_tokens > 0
    assert (timings.plan_tokens, timings.branch_tokens) == (0, 0)
    assert timings.trunk_tokens == len(lister.vocabulary.encode(result.text))


def test_an_unlikely_mark_ends_the_list(engine: _core.Engine, lister: TinyModel) -> None:
    sure = lists(min_mark=1.0)
    told = tell(engine, wanted(lister, sure, max_tokens=200))
    result = check(told)
    (block,) = result.blocks
    assert [branch.title for branch in block.branches] == list(LEADS[:2])
    assert not result.text[block.branches[-1].span_end :].startswith("\n3")


def test_a_list_whose_third_mark_is_unlikely_stays_serial(engine: _core.Engine, lister: TinyModel) -> None:
    serial = answer(engine, wanted(lister, None))
    result = answer(engine, wanted(lister, lists(min_mark=1.0, min_items=3)))
    assert (result.text, result.blocks) == (serial.text, [])


def test_items_are_parted_as_the_list_is_from_the_text_before(
    engine: _core.Engine, lister: TinyModel
) -> None:
    """The outline does not choose it: all that it samples stands in the answer."""
    result = answer(engine, wanted(lister, lists()))
    assert (len(result.blocks[0].branches), result.timings.plan_tokens) == (len(LEADS), 0)


def test_end_behind_a_blank_line_stays_there(tiny_folder: Path) -> None:
    tiny = write_scripted(tiny_folder / "blank.gguf", _script(end="\n\nEnd"), seed=3)
    engine = open_engine(tiny)
    result = check(tell(engine, wanted(tiny, lists())))
    assert result.blocks
    assert result.text.endswith("\n\nEnd")
    assert tiny.vocabulary.decode(list(result.layout.token_ids)) == result.text


def test_line_that_goes_on_behind_the_last_item_is_said_once(tiny_folder: Path) -> None:
    tiny = write_scripted(tiny_folder / "tight.gguf", _script(end="\nEnd"), seed=3)
    engine = open_engine(tiny)
    result = check(tell(engine, wanted(tiny, lists())))
    assert result.blocks
    assert result.text.count("End") == 1


def test_an_end_that_only_an_outline_expects_is_written_by_the_trunk(tiny_folder: Path) -> None:
    tiny = write_scripted(tiny_folder / "telltale.gguf", _script(elided_end="aie"), seed=3)
    engine = open_engine(tiny)
    checked = check(tell(engine, wanted(tiny, lists())))
    unchecked = check(tell(engine, wanted(tiny, lists(least_end=-1e9))))
    assert bodies(checked) == bodies(unchecked)
    assert unchecked.text.endswith("\naie")
    assert checked.text == unchecked.text.removesuffix("\naie") + END
    _check_empty(engine)


def test_answer_ends_behind_a_list_where_the_trunk_would_end_it(tiny_folder: Path) -> None:
    tiny = write_scripted(tiny_folder / "abrupt.gguf", _script(ends={4: {EOS: ""}}), seed=3)
    engine = open_engine(tiny)
    outlined = check(tell(engine, wanted(tiny, lists())))
    assert outlined.text.endswith(END)
    told = tell(engine, wanted(tiny, lists(max_tail=0), n_logprobs=0))
    result = check(told)
    assert result.text == outlined.text.removesuffix(END)
    assert result.finish_reason == STOP
    assert tiny.vocabulary.decode(list(result.layout.token_ids)) == result.text
    n_prompt = len(tiny.vocabulary.encode(PROMPT))
    assert list(result.layout.positions) == list(range(n_prompt, n_prompt + len(result.layout.token_ids)))
    _check_empty(engine)


def _probabilities(engine: _core.Engine, tiny: TinyModel, text: str) -> NDArray[np.float64]:
    """[n_vocab], of each token behind an answer so far."""
    ids = tiny.vocabulary.encode(PROMPT + text)
    row = logits(engine, lay_out([Trunk(ids)], "sum"))[-1].astype(np.float64)
    weights = np.exp(row - row.max())
    result: NDArray[np.float64] = weights / weights.sum()
    return result


@pytest.mark.parametrize("may_end", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_what_stands_behind_a_list_that_was_ended_is_the_likeliest_but_its_next_mark(
    tiny_folder: Path, seed: int, may_end: bool
) -> None:
    script = _script(ends={3: {"\n": "4", EOS: ""}} if may_end else {})
    tiny = write_scripted(tiny_folder / f"ended{seed}.gguf", script, seed=seed)
    engine = open_engine(tiny)
    result = check(tell(engine, wanted(tiny, lists(max_items=3), max_tokens=100)))
    (block, *_) = result.blocks
    assert [branch.title for branch in block.branches] == list(LEADS[:3])
    until = result.text[: block.branches[-1].span_end]
    newline, mark = (tiny.vocabulary.encode(text)[0] for text in ("\n", "4"))
    ends = [tiny.vocabulary[EOS], tiny.vocabulary[TURN_END]]
    behind = _probabilities(engine, tiny, until)
    goes_on = behind[newline] * (1 - _probabilities(engine, tiny, until + "\n")[mark])
    assert (result.text == until) == (behind[ends].sum() > goes_on)
    assert result.text == until or not may_end
    assert not result.text[len(until) :].startswith("\n4")


def test_items_beyond_what_a_block_may_have_are_not_lost(engine: _core.Engine, lister: TinyModel) -> None:
    whole = check(tell(engine, wanted(lister, lists())))
    for n in (2, 3):
        for policy in (DraftCheck.NONE, DraftCheck.CUT, DraftCheck.LEAD):
            told = tell(engine, wanted(lister, lists(), max_branches=n, draft_check=policy))
            result = check(told)
            assert len(result.blocks[0].branches) == n
            begin = result.blocks[0].branches[n - 1].span_end
            assert whole.text.startswith(result.text[:begin])
            for number, lead in enumerate(LEADS[n:], n + 1):
                assert f"\n{number}. {lead}: " in result.text[begin:]
            assert result.text.endswith(END)
            assert (result.finish_reason, result.fallback) == (STOP, "")


def test_a_block_of_one_branch_is_none(engine: _core.Engine, lister: TinyModel) -> None:
    serial = answer(engine, wanted(lister, None))
    result = answer(engine, wanted(lister, lists(), max_branches=1))
    assert (result.text, result.blocks) == (serial.text, [])
    assert result.fallback == "a block may not have two branches"


def test_items_that_a_limit_of_tokens_may_not_cover_stay_the_trunks(lister: TinyModel) -> None:
    """It writes them as far as it comes: the answer is cut in one place."""
    bound = lists()
    bound.branch_tokens = 60
    found = {}
    for limit in range(200, 340, 10):
        engine = open_engine(lister)  # it has learnt of no body yet
        result = check(tell(engine, wanted(lister, bound, max_tokens=limit)))
        assert (result.text.count("\n"), result.finish_reason) == (6, STOP)
        assert result.text.endswith(END)
        found[sum(len(block.branches) for block in result.blocks)] = result.text
        _check_empty(engine)
    assert found.keys() == {0, 3, 4}
    assert found[3].split("\n")[:4] == found[4].split("\n")[:4]


def test_an_end_is_read_behind_the_last_item_once(engine: _core.Engine, lister: TinyModel) -> None:
    """Behind the cells that the last branch has left: its item is not read again."""
    result = answer(engine, wanted(lister, lists()))
    trusted = answer(engine, wanted(lister, lists(max_tail=0)))
    assert result.text == trusted.text
    n_end = len(END) - 1
    n_fed = sum(len(f"{n}. {lead}:") for n, lead in enumerate(LEADS, 1))
    assert n_end <= result.timings.seed_tokens - n_fed < n_fed


@pytest.mark.parametrize("n_lanes", [3, 4, 5])
def test_an_end_is_read_in_a_cache_of_any_size(lister: TinyModel, n_lanes: int) -> None:
    """Where it is full, room for that is found in the cells that the last branch has left."""
    whole = answer(open_engine(lister), wanted(lister, lists()))
    n_forked = 0
    for n_ctx in (96, 128, 160, 192, 256, 512):
        engine = open_engine(lister, n_ctx=n_ctx, n_requests=1, n_lanes=n_lanes, n_retained=0)
        result = check(tell(engine, wanted(lister, lists(), max_tokens=150)))
        n_forked += bool(result.blocks)
        assert result.finish_reason in (STOP, LENGTH)
        if result.blocks and result.finish_reason == STOP:
            assert result.text == whole.text
        _check_empty(engine)
    assert n_forked > 2


# --- why ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ({}, ""),
        ({"max_order": -1e9}, "the order of its items matters"),
        ({"min_first_mark": 1.1}, "a list of too few items"),
        ({"min_items": 5, "ready_items": 5}, "a list of too few items"),
    ],
)
def test_answer_says_why_its_list_stayed_serial(
    engine: _core.Engine, lister: TinyModel, rules: dict[str, Any], why: str
) -> None:
    result = answer(engine, wanted(lister, lists(**rules)))
    assert result.fallback == why
    assert bool(result.blocks) == (not why)


def test_leads_that_the_question_says_may_stand_in_its_order(engine: _core.Engine, lister: TinyModel) -> None:
    for said, why in (("XD xb XC XA", ""), ("XD XB XA", "the order of its items matters")):
        result = answer(engine, wanted(lister, lists(max_order=-1e9), behind=f"{said}!"))
        assert (result.fallback, bool(result.blocks)) == (why, not why)


def test_answer_says_that_max_tokens_or_a_calculation_kept_its_list_serial(
    engine: _core.Engine, lister: TinyModel, calculator: TinyModel
) -> None:
    short = answer(engine, wanted(lister, lists(), max_tokens=40))
    assert (short.blocks, short.fallback) == ([], "max_tokens leaves too little room for its items")
    ended = answer(engine, wanted(lister, lists(ready_items=4), max_tokens=24))  # within its first item
    assert (ended.blocks, ended.fallback) == ([], "its first items ended before the others were known")
    assert ended.timings.rewound_tokens > 0
    other = open_engine(calculator)
    assert answer(other, wanted(calculator, lists())).fallback == "its items hold a calculation"


# --- order -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_lanes", [2, 3, 4, 16])
def test_number_of_lanes_does_not_change_the_text(
    engine: _core.Engine, lister: TinyModel, n_lanes: int
) -> None:
    other = open_engine(lister, n_lanes=n_lanes, n_requests=1)
    for seed in range(10):
        options: dict[str, Any] = {"temperature": 1.0, "seed": seed}
        one, two = (tell(each, wanted(lister, lists(), **options)) for each in (engine, other))
        assert check(one).text == check(two).text
        assert _core.EventKind.FORK in kinds(two)


@pytest.mark.timeout(400)  # some 70 s alone on two cores
def test_a_thousand_schedules_give_the_same_texts(engine: _core.Engine, lister: TinyModel) -> None:
    """Requests that share steps, with as many lanes as there are: bodies end in any order."""
    dice = random.Random(7)
    alone = {
        seed: check(tell(engine, wanted(lister, lists(), temperature=1.0, seed=seed))).text
        for seed in range(40)
    }
    assert len(set(alone.values())) > 20
    ends: set[tuple[int, ...]] = set()
    n_answers = 0
    busy = [open_engine(lister, n_lanes=n, n_requests=4, n_ctx=2048) for n in (5, 7, 9, 16)]
    while n_answers < 1000:
        engine_now = dice.choice(busy)
        left = [dice.choice(list(alone)) for _ in range(25)]
        told: dict[int, Told] = {}
        seeds: dict[int, int] = {}
        while left or engine_now.has_work:
            if left and dice.random() < 0.3:
                seed = left.pop()
                n = engine_now.submit(wanted(lister, lists(), temperature=1.0, seed=seed))
                told[n], seeds[n] = [], seed
            for event in engine_now.step():
                told[event.request].append(event)
        for n, each in told.items():
            ends.add(tuple(event.branch for event in each if event.kind == _core.EventKind.END))
            if _core.EventKind.FORK in kinds(each):
                assert check(each).text == alone[seeds[n]]
                n_answers += 1
        _check_empty(engine_now)
    assert len(ends) > 10


# --- ends --------------------------------------------------------------------------------------------------


def check_cut(cut: _core.Result, whole: _core.Result, serial: _core.Result) -> None:
    """An answer that was cut has the beginnings of what the whole one has."""
    if cut.blocks and not whole.blocks:  # before the fork was taken back
        end = cut.blocks[0].branches[0].span_end
        assert serial.text.startswith(cut.text[:end])
        return
    if not cut.blocks:
        assert whole.text.startswith(cut.text) or serial.text.startswith(cut.text)
        return
    for branch, (mine, its) in enumerate(zip(bodies(cut), bodies(whole), strict=False)):
        assert its.startswith(mine), branch


def steps_of(engine: _core.Engine, what: _core.Request) -> int:
    engine.submit(what)
    n = 0
    while engine.has_work:
        engine.step()
        n += 1
    return n


@pytest.mark.parametrize("model", ["lister", "calculator", "brief", "terse"])
def test_cancelled_at_any_step_everything_is_given_back(model: str, request: pytest.FixtureRequest) -> None:
    tiny: TinyModel = request.getfixturevalue(model)
    engine = open_engine(tiny)
    whole, serial = answer(engine, wanted(tiny, lists())), answer(engine, wanted(tiny, None))
    n_steps = steps_of(engine, wanted(tiny, lists()))
    assert n_steps > 25
    for k in range(n_steps):
        n = engine.submit(wanted(tiny, lists()))
        told = [event for _ in range(k) for event in engine.step()]
        engine.cancel(n)
        told += run(engine)
        cut = check(told)
        assert cut.finish_reason == _core.FinishReason.CANCELLED
        check_cut(cut, whole if whole.blocks else serial, serial)
        _check_empty(engine)
    assert answer(engine, wanted(tiny, lists())).text == whole.text


@pytest.mark.parametrize("model", ["lister", "calculator", "brief", "terse"])
def test_cut_at_any_length_everything_is_given_back(model: str, request: pytest.FixtureRequest) -> None:
    tiny: TinyModel = request.getfixturevalue(model)
    engine = open_engine(tiny)
    whole, serial = answer(engine, wanted(tiny, lists())), answer(engine, wanted(tiny, None))
    blocks = 0
    for most in range(1, 90):
        told = tell(engine, wanted(tiny, lists(), max_tokens=most))
        cut = check(told)
        blocks += len(cut.blocks)
        if cut.finish_reason == LENGTH:
            check_cut(cut, whole if whole.blocks else serial, serial)
        else:
            assert cut.text in (whole.text, serial.text)
        _check_empty(engine)
    assert blocks > 5


@pytest.mark.parametrize("branch", [1, 2, 3, 4])
def test_a_cancelled_branch_leaves_the_others_as_they_are(
    engine: _core.Engine, lister: TinyModel, branch: int
) -> None:
    whole = answer(engine, wanted(lister, lists()))
    n_steps = steps_of(engine, wanted(lister, lists()))
    n_cut = 0
    for k in range(n_steps):
        n = engine.submit(wanted(lister, lists()))
        told = [event for _ in range(k) for event in engine.step()]
        engine.cancel_branch(n, 1, branch)
        told += run(engine)
        cut = check(told)
        reasons = [each.reason for each in cut.blocks[0].branches] if cut.blocks else []
        if _core.FinishReason.CANCELLED not in reasons:
            assert cut.text == whole.text
            continue
        n_cut += 1
        for place, (mine, its) in enumerate(zip(bodies(cut), bodies(whole), strict=True), 1):
            assert its.startswith(mine) if place == branch else its == mine
        assert cut.finish_reason == STOP
        assert cut.text.endswith(END)
    assert n_cut > 1


def check_stopped(told: Told, whole: _core.Result, stop: str) -> _core.Result:
    cut = check(told)
    assert cut.text == whole.text[: whole.text.index(stop)], stop
    assert (cut.finish_reason, cut.stop_match) == (STOP, stop)
    assert len(cut.blocks) == len([event for event in told if event.kind == _core.EventKind.JOIN])
    sizes = [event.offset + len(event.text) for event in told if event.branch == 0 and event.text]
    assert max(sizes, default=0) <= len(cut.text)
    return cut


@pytest.mark.parametrize("part", range(4))
def test_stop_string_anywhere_cuts_the_text_there(engine: _core.Engine, lister: TinyModel, part: int) -> None:
    """In a lead, in a body, across any border: where a search in the whole text finds it."""
    rules = lists(max_tail=[80, 0][part % 2])
    whole = answer(engine, wanted(lister, rules))
    dice = random.Random(part)
    n_cut_in_block = 0
    for at in [n % len(whole.text) for n in range(250)]:
        stop = whole.text[at : at + dice.randint(1, 12)]
        told = tell(engine, wanted(lister, rules, stop=[stop], n_logprobs=0))
        cut = check_stopped(told, whole, stop)
        n_cut_in_block += len(cut.blocks)
        if cut.blocks:
            spans = [(each.span_begin, each.span_end) for each in cut.blocks[0].branches]
            assert all(begin <= end <= len(cut.text) for begin, end in spans)
            behind = [
                each
                for each, (_, end) in zip(cut.blocks[0].branches, spans, strict=True)
                if end == len(cut.text)
            ]
            assert all(each.n_tokens == 0 for each in behind[2:])
            assert all(each.reason == _core.FinishReason.CANCELLED for each in behind[2:])
        ids = [each.token for event in told for each in event.likelihoods]
        assert len(lister.vocabulary.decode(ids)) <= len(cut.text), (
            stop,
            lister.vocabulary.decode(ids),
            cut.text,
        )
        _check_empty(engine)
    assert n_cut_in_block > 20


@pytest.mark.parametrize("model", ["lister", "calculator", "brief"])
def test_stop_string_cuts_sampled_texts_and_lists_that_are_taken_back(
    model: str, request: pytest.FixtureRequest
) -> None:
    tiny: TinyModel = request.getfixturevalue(model)
    engine = open_engine(tiny, n_lanes=5, n_requests=1)
    dice = random.Random(4)
    for seed in range(6):
        options: dict[str, Any] = {"temperature": 1.0, "seed": seed, "min_p": 0.1}
        told = tell(engine, wanted(tiny, lists(), **options))
        whole = told[-1].result
        assert (_core.EventKind.UNFORK in kinds(told)) == (model == "calculator")
        for _ in range(20):
            at = dice.randrange(len(whole.text))
            stop = whole.text[at : at + dice.randint(1, 12)]
            check_stopped(tell(engine, wanted(tiny, lists(), stop=[stop], **options)), whole, stop)
            _check_empty(engine)


def test_the_first_of_several_stop_strings_counts(engine: _core.Engine, lister: TinyModel) -> None:
    whole = answer(engine, wanted(lister, lists()))
    dice = random.Random(3)
    for _ in range(100):
        places = [dice.randrange(len(whole.text)) for _ in range(3)]
        stops = [whole.text[at : at + dice.randint(2, 8)] for at in places]
        ends = [whole.text.index(stop) + len(stop) for stop in stops]
        first = min(range(3), key=lambda n: (ends[n], -len(stops[n])))
        told = tell(engine, wanted(lister, lists(), stop=stops))
        check_stopped(told, whole, stops[first])


def test_stop_string_across_the_border_of_two_items_cuts_the_text_there(
    engine: _core.Engine, lister: TinyModel
) -> None:
    whole = answer(engine, wanted(lister, lists()))
    at = whole.text.index("\n3.") - 1
    told = tell(engine, wanted(lister, lists(), stop=[whole.text[at : at + 3]]))
    cut = check_stopped(told, whole, whole.text[at : at + 3])
    reasons = [each.reason for each in cut.blocks[0].branches]
    assert reasons == [STOP, STOP, *[_core.FinishReason.CANCELLED] * 2]


def test_no_more_than_max_tokens_are_sampled(engine: _core.Engine, lister: TinyModel) -> None:
    for most in range(1, 80):
        timings = answer(engine, wanted(lister, lists(), max_tokens=most)).timings
        assert timings.trunk_tokens + timings.branch_tokens + timings.plan_tokens <= most


# --- logprobs ----------------------------------------------------------------------------------------------


def test_each_sampled_token_of_the_text_is_told_once(engine: _core.Engine, lister: TinyModel) -> None:
    for most in (-1, *range(1, 80)):
        told = tell(engine, wanted(lister, lists(), n_logprobs=2, max_tokens=most))
        check(told)
        texts: dict[int, str] = {}
        sampled: dict[int, list[int]] = {}
        for event in told:
            texts[event.branch] = texts.get(event.branch, "") + event.text
            ids = [each.token for each in event.likelihoods]
            sampled.setdefault(event.branch, []).extend(ids)
            assert all(len(each.top) == 2 for each in event.likelihoods)
        for branch, text in texts.items():
            expected = text[1:] if branch > 1 else text  # what parts two items is fed
            if branch == 0 and len(texts) > 1 and END[:2] in text:
                expected = text.replace(END[:2], END[1])
            assert lister.vocabulary.decode(sampled[branch]) == expected


# --- items that build on each other ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 1.0, "seed": 2, "min_p": 0.1}], ids=["greedy", "sampled"]
)
def test_a_calculation_in_the_first_body_takes_the_fork_back(
    calculator: TinyModel, options: dict[str, Any]
) -> None:
    engine = open_engine(calculator)
    serial = answer(engine, wanted(calculator, None, **options))
    told = tell(engine, wanted(calculator, lists(), **options))
    result = check(told)
    found = kinds(told)
    assert found.count(_core.EventKind.UNFORK) == 1
    assert _core.EventKind.JOIN not in found
    assert result.text == serial.text
    assert not result.blocks
    assert result.layout.token_ids == serial.layout.token_ids
    assert result.timings.rewound_tokens > 0
    assert result.timings.trunk_tokens == serial.timings.trunk_tokens
    _check_empty(engine)


def test_logprobs_of_a_fork_that_was_taken_back_are_those_of_the_serial_answer(calculator: TinyModel) -> None:
    engine = open_engine(calculator)
    serial, told = (tell(engine, wanted(calculator, bound, n_logprobs=1)) for bound in (None, lists()))
    assert _core.EventKind.UNFORK in kinds(told)
    assert likelihoods(told, (0, 1)) == pytest.approx(likelihoods(serial, (0,)), abs=1e-3)


# --- drafts that are checked -------------------------------------------------------------------------------

CHECKS = [DraftCheck.LEAD, DraftCheck.CUT, DraftCheck.EXACT]


def checked(told: Told) -> list[str]:
    """How the branches ended."""
    return [branch.reason.name for block in check(told).blocks for branch in block.branches]


def check_exact(engine: _core.Engine, tiny: TinyModel, **options: Any) -> _core.Result:
    """With the check "exact" an answer is the serial one: text, tokens, usage, likelihoods, end."""
    serial = tell(engine, wanted(tiny, None, n_logprobs=0, **options))
    told = tell(engine, wanted(tiny, lists(), n_logprobs=0, draft_check=DraftCheck.EXACT, **options))
    result, expected = check(told), serial[-1].result
    assert result.text == expected.text
    assert result.layout.token_ids == expected.layout.token_ids
    assert (result.finish_reason, result.stop_match) == (expected.finish_reason, expected.stop_match)
    timings = result.timings
    assert timings.trunk_tokens + timings.branch_tokens == expected.timings.trunk_tokens
    assert timings.plan_tokens == 0
    assert sorted(likelihoods(told, range(5))) == pytest.approx(
        sorted(likelihoods(serial, (0,))), rel=1e-3, abs=1e-3
    )
    _check_empty(engine)
    return result


@pytest.mark.parametrize("model", ["lister", "calculator", "forgetful", "brief", "terse"])
def test_exact_is_the_serial_answer(model: str, request: pytest.FixtureRequest) -> None:
    tiny: TinyModel = request.getfixturevalue(model)
    engine = open_engine(tiny)
    sampled: list[dict[str, Any]] = [
        {"temperature": temperature, "seed": seed, "max_tokens": 90, **more}
        for temperature, seeds in ((1.0, 25), (3.0, 10))
        for seed in range(seeds)
        for more in ({}, {"repeat_penalty": 1.3, "presence_penalty": 0.5})
    ]
    answers = [check_exact(engine, tiny, **options) for options in [{}, *sampled]]
    if model == "calculator":  # its forks are taken back
        return
    n_forked = sum(bool(each.blocks) for each in answers)
    n_steps = sum(steps_of(engine, wanted(tiny, None, **options)) for options in [{}, *sampled])
    assert n_forked > 10
    assert sum(each.timings.steps for each in answers) < n_steps


@pytest.mark.parametrize("model", ["lister", "forgetful"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_exact_is_the_serial_answer_at_any_length(
    model: str, temperature: float, request: pytest.FixtureRequest
) -> None:
    tiny: TinyModel = request.getfixturevalue(model)
    engine = open_engine(tiny)
    for _ in range(12):  # bodies are short, it learns: a list forks where few tokens are left too
        answer(engine, wanted(tiny, lists()))
    answers = [
        check_exact(engine, tiny, temperature=temperature, seed=7, max_tokens=most) for most in range(1, 80)
    ]
    assert sum(bool(each.blocks) for each in answers) > 3


def test_exact_stops_where_the_serial_answer_does(engine: _core.Engine, lister: TinyModel) -> None:
    """Also across the border of two items."""
    whole = answer(engine, wanted(lister, None)).text
    stops = {whole[at : at + size] for at in range(len(whole)) for size in (1, 2, 5)}
    assert whole[whole.index("\n3.") - 1 :][:5] in stops
    n_cut_in_block = 0
    for stop in sorted(stops):
        told = tell(engine, wanted(lister, lists(), stop=[stop], draft_check=DraftCheck.EXACT))
        cut = check(told)
        assert cut.text == whole[: whole.index(stop)], stop
        assert (cut.finish_reason, cut.stop_match) == (STOP, stop)
        n_cut_in_block += len(cut.blocks)
    assert n_cut_in_block > 20


@pytest.mark.parametrize("draft_check", CHECKS)
@pytest.mark.parametrize("model", ["lister", "forgetful"])
def test_stop_string_cuts_an_answer_whose_drafts_are_checked(
    model: str, draft_check: _core.DraftCheck, request: pytest.FixtureRequest
) -> None:
    """Where a search in the whole text finds it; no token behind it is told, ends are told as they are."""
    tiny: TinyModel = request.getfixturevalue(model)
    engine = open_engine(tiny, n_lanes=5)  # few rows: a check takes several steps

    def ask(**options: Any) -> Told:
        return tell(engine, wanted(tiny, lists(), draft_check=draft_check, n_logprobs=0, **options))

    whole = ask()[-1].result
    dice = random.Random(2)
    n_cut_in_block = 0
    for at in [n % len(whole.text) for n in range(200)]:
        stop = whole.text[at : at + dice.randint(1, 12)]
        told = ask(stop=[stop])
        cut = check_stopped(told, whole, stop)
        n_cut_in_block += len(cut.blocks)
        ids = [each.token for event in told for each in event.likelihoods]
        assert len(tiny.vocabulary.decode(ids)) <= len(cut.text), stop
        if draft_check == DraftCheck.EXACT:
            serial = tell(engine, wanted(tiny, None, n_logprobs=0, stop=[stop]))
            assert likelihoods(told, range(5)) == pytest.approx(likelihoods(serial, (0,)), rel=1e-3, abs=1e-3)
        ends = [event.reason for event in told if event.kind == _core.EventKind.END]
        if len(stop) < 7:  # no item stands inside of it
            assert ends == [each.reason for block in cut.blocks for each in block.branches]
        _check_empty(engine)
    assert n_cut_in_block > 20


def test_an_implausible_lead_drops_its_item_and_those_behind_it(forgetful: TinyModel) -> None:
    engine = open_engine(forgetful)
    drafted = check(tell(engine, wanted(forgetful, lists())))
    assert [branch.title for branch in drafted.blocks[0].branches] == ["XA", "XB", "uC", "XD"]
    told = tell(engine, wanted(forgetful, lists(), draft_check=DraftCheck.LEAD))
    assert checked(told) == ["STOP", "STOP", "REJECTED", "REJECTED"]
    result = told[-1].result
    assert bodies(result)[:2] == bodies(drafted)[:2]
    assert bodies(result)[2:] == ["", ""]
    assert [len(branch.token_ids) for branch in result.blocks[0].branches[2:]] == [0, 0]
    kept = drafted.text[: drafted.text.index("\n3.")]
    serial = answer(engine, wanted(forgetful, None, behind=kept)).text
    assert result.text == kept + serial
    assert "uC" not in result.text
    lenient = lists(least_lead=-1e9)
    every = check(tell(engine, wanted(forgetful, lenient, draft_check=DraftCheck.LEAD)))
    assert every.text == drafted.text
    _check_empty(engine)


def test_an_item_is_cut_where_it_becomes_implausible(forgetful: TinyModel) -> None:
    engine = open_engine(forgetful)
    drafted = check(tell(engine, wanted(forgetful, lists())))
    strict = lists(window=2, least_window=-3.0)
    told = tell(engine, wanted(forgetful, strict, draft_check=DraftCheck.CUT))
    assert checked(told) == ["STOP", "STOP", "REJECTED", "REJECTED"]
    result = told[-1].result
    kept = drafted.text[: drafted.text.index("uC")]
    assert result.text == kept + answer(engine, wanted(forgetful, None, behind=kept)).text
    lenient = lists(least_window=-1e9)
    every = check(tell(engine, wanted(forgetful, lenient, draft_check=DraftCheck.CUT)))
    assert every.text == drafted.text
    _check_empty(engine)


def test_items_that_stand_are_the_answer_without_a_check(engine: _core.Engine, lister: TinyModel) -> None:
    whole = answer(engine, wanted(lister, lists()))
    for draft_check in (DraftCheck.LEAD, DraftCheck.CUT):
        told = tell(engine, wanted(lister, lists(), draft_check=draft_check, n_logprobs=0))
        result = check(told)
        assert result.text == whole.text
        assert bodies(result) == bodies(whole)
        assert lister.vocabulary.decode(list(result.layout.token_ids)) == result.text
        timings = result.timings
        sampled = timings.trunk_tokens + timings.branch_tokens
        assert len(likelihoods(told, range(5))) == sampled


@pytest.mark.parametrize("draft_check", CHECKS)
def test_no_draft_is_told_before_it_is_checked(
    engine: _core.Engine, lister: TinyModel, draft_check: _core.DraftCheck
) -> None:
    told = tell(engine, wanted(lister, lists(), draft_check=draft_check))
    first = next(n for n, event in enumerate(told) if event.branch > 1)
    ends = [n for n, event in enumerate(told) if event.kind == _core.EventKind.END and event.branch == 1]
    assert ends[0] < first


@pytest.mark.parametrize("draft_check", CHECKS)
@pytest.mark.parametrize("model", ["lister", "forgetful"])
def test_cancelled_at_any_step_of_a_check_everything_is_given_back(
    model: str, draft_check: _core.DraftCheck, request: pytest.FixtureRequest
) -> None:
    tiny: TinyModel = request.getfixturevalue(model)
    engine = open_engine(tiny, n_lanes=5)  # few rows: a check takes several steps

    def ask() -> _core.Request:
        return wanted(tiny, lists(), draft_check=draft_check, n_logprobs=0)

    whole = answer(engine, ask()).text
    n_in_block = 0
    for k in range(steps_of(engine, ask())):
        n = engine.submit(ask())
        told = [event for _ in range(k) for event in engine.step()]
        engine.cancel(n)
        told += run(engine)
        cut = check(told)
        assert cut.finish_reason == _core.FinishReason.CANCELLED
        assert whole.startswith(cut.text)
        n_in_block += len(cut.blocks)
        _check_empty(engine)
    assert n_in_block > 5


@pytest.mark.parametrize("draft_check", CHECKS)
def test_a_check_samples_no_more_than_max_tokens(
    engine: _core.Engine, lister: TinyModel, draft_check: _core.DraftCheck
) -> None:
    for most in range(1, 80):
        told = tell(engine, wanted(lister, lists(), max_tokens=most, draft_check=draft_check, n_logprobs=0))
        result = check(told)
        timings = result.timings
        n = timings.trunk_tokens + timings.branch_tokens + timings.plan_tokens
        assert n == most if result.finish_reason == LENGTH else n <= most
        assert len(likelihoods(told, range(5))) == timings.trunk_tokens + timings.branch_tokens
        assert lister.vocabulary.decode(list(result.layout.token_ids)) == result.text
        _check_empty(engine)


# --- an engine that is too small ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_random_requests_all_end_and_leave_nothing_behind(
    lister: TinyModel, calculator: TinyModel, brief: TinyModel, seed: int
) -> None:
    dice = random.Random(seed)
    tiny = dice.choice([lister, calculator, brief])
    n_lanes = dice.choice([1, 2, 5, 16])
    engine = open_engine(
        tiny,
        n_ctx=256,
        n_lanes=n_lanes,
        n_requests=min(n_lanes, dice.choice([1, 3, 5])),
        n_retained=dice.choice([0, 1, 4]),
        n_batch=dice.choice([16, 64, 512]),
    )
    told: dict[int, Told] = {}
    while len(told) < 12 or engine.has_work:
        if len(told) < 12 and dice.random() < 0.2:
            told[engine.submit(_random_request(tiny, dice))] = []
        if told and dice.random() < 0.02:
            engine.cancel(dice.choice(list(told)))
        if told and dice.random() < 0.05:
            engine.cancel_branch(dice.choice(list(told)), 1, dice.randint(1, 4))
        for event in engine.step():
            told[event.request].append(event)
        assert engine.cells_in_use <= engine.n_cells
    for each in told.values():
        assert kinds(each).count(_core.EventKind.DONE) == 1
        check(each)
    engine.clear_retained()
    _check_empty(engine)
    # llama.cpp's own cells are free too: a prompt that needs all of them is decoded
    filled = answer(engine, request([32] * (engine.n_cells - 2), max_tokens=2))
    assert len(filled.layout) == 2


def _random_request(tiny: TinyModel, dice: random.Random) -> _core.Request:
    prompt = "x" * dice.choice([0, 3, 40, 120]) + PROMPT
    return request(
        tiny.vocabulary.encode(prompt),
        lists(max_tail=dice.choice([0, 80]), min_items=dice.choice([2, 2, 3, 5])),
        temperature=dice.choice([0.0, 1.0, 3.0]),
        seed=dice.randrange(1000),
        max_tokens=dice.choice([-1, -1, 1, 20, 60]),
        stop=dice.choice([[], [], ["X"], ["B"], ["Q", "\n4"]]),
        n_logprobs=dice.choice([-1, 0, 3]),
        max_branches=dice.choice([2, 3, 16]),
        draft_check=dice.choice([DraftCheck.NONE, *CHECKS]),
        retain=dice.random() < 0.5,
    )
