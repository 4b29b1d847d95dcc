"""Loops of one's own around submit() and step(), and what single requests can ask of the engine."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aspd_local import Done, End, Event, Fork, Model, ReadingOrder, Text, fold
from tiny.files import TinyModel
from tiny.script import Script, write_scripted
from tiny.stories import STORY, STORY_END, block
from tiny.vocabulary import EOS

TEXT = "Hm" + "".join(f"{title}:{body}" for title, body in STORY.items()) + STORY_END
EXACT: dict[str, Any] = {"n_ctx": 512, "n_threads": 1, "n_threads_batch": 1, "profile": "off"}


@pytest.fixture(scope="module")
def tiny(tiny_folder: Path) -> TinyModel:
    script = Script([f"assistant\nHm{block(STORY)}{STORY_END}{EOS}"])
    return write_scripted(tiny_folder / "loops.gguf", script, seed=17)


@pytest.fixture
def model(tiny: TinyModel) -> Iterator[Model]:
    with Model(tiny.path, **EXACT) as model:
        yield model


def run(model: Model) -> dict[int, list[Event]]:
    found: dict[int, list[Event]] = {}
    while model.has_work:
        for request_id, event in model.step():
            found.setdefault(request_id, []).append(event)
    return found


def test_several_answers_share_the_steps(model: Model) -> None:
    ids = [model.submit(model.prepare(f"Hello {i}", temperature=0)) for i in range(6)]
    found = run(model)
    assert sorted(found) == sorted(ids)
    for events in found.values():
        assert isinstance(events[-1], Done)
        assert events[-1].result.text == fold(events) == TEXT
    assert not model.has_work
    assert model.step() == []


def test_loop_and_calls_live_side_by_side(model: Model) -> None:
    request_id = model.submit(model.prepare("Hello", temperature=0))
    assert model.chat("And you?", temperature=0).text == TEXT
    events = run(model)[request_id]
    assert isinstance(events[-1], Done)
    assert fold(events) == TEXT  # the call's steps have moved this answer on, and nothing of it is lost


def test_question_is_prepared_while_another_thread_steps(model: Model) -> None:
    model.submit(model.prepare("Hello", temperature=0))
    prepared: list[Any] = []
    thread = threading.Thread(target=lambda: prepared.append(model.prepare("Again", temperature=0)))
    thread.start()
    run(model)
    thread.join()
    model.submit(prepared[0])
    assert len(run(model)) == 1


def test_one_of_several_answers_is_cancelled(model: Model) -> None:
    one, other = (model.submit(model.prepare("Hello", temperature=0)) for _ in range(2))
    model.step()
    model.cancel(one)
    found = run(model)
    ends = {key: events[-1] for key, events in found.items()}
    first, second = ends[one], ends[other]
    assert isinstance(first, Done)
    assert isinstance(second, Done)
    assert first.result.finish_reason == "cancelled"
    assert second.result.text == TEXT


def test_cancelled_branch_is_cut_and_the_answer_goes_on(model: Model) -> None:
    request_id = model.submit(model.prepare("Hello", temperature=0))
    events: list[Event] = []
    while not any(isinstance(event, Fork) for event in events):
        events += [event for _, event in model.step()]
    model.cancel_branch(request_id, "1.2")
    events += run(model)[request_id]
    assert End("1.2", "cancelled") in events
    done = events[-1]
    assert isinstance(done, Done)
    assert done.result.finish_reason == "stop"
    assert done.result.text == fold(events)
    branches = done.result.blocks[0].branches
    assert [branch.end_reason for branch in branches] == ["stop", "cancelled", "stop"]
    assert branches[0].text + branches[2].text == f":{STORY['a']}:{STORY['c']}"
    model.cancel_branch(request_id, "1.2")  # long over: nothing happens
    for name in ("", "1", "1.", "x.2", "1.2.3", "-1.2", "9" * 100 + ".1"):
        with pytest.raises(ValueError, match="is no branch"):
            model.cancel_branch(request_id, name)


def test_logprobs_come_with_the_text_in_reading_order(model: Model) -> None:
    order = ReadingOrder()
    events = list(model.stream("Hello", temperature=0, logprobs=3))
    told = [logprob for event in events for piece in order.pieces(event) for logprob in piece.logprobs]
    # The titles are the protocol's text in their branches: they were sampled in the plan.
    bodies = "".join(f":{body}" for body in STORY.values())
    assert b"".join(logprob.piece for logprob in told).decode() == f"Hm{bodies}{STORY_END}"
    for logprob in told:
        assert len(logprob.top) == 3
        assert logprob.top[0].token_id == logprob.token_id
        assert sum(math.exp(each.logprob) for each in logprob.top) <= 1 + 1e-6
    assert all(not event.logprobs for event in model.stream("Hello") if isinstance(event, Text))


def test_json_schema_governs_the_answer(model: Model) -> None:
    schema = {
        "type": "object",
        "properties": {"yes": {"type": "boolean"}, "n": {"enum": [1, 2]}},
        "required": ["yes", "n"],
        "additionalProperties": False,
    }
    for seed in range(3):
        answer = model.chat("Hello", json_schema=schema, seed=seed, max_tokens=80)
        said = json.loads(answer.text)
        assert isinstance(said["yes"], bool)
        assert said["n"] in (1, 2)
        assert answer.fallback == "a grammar governs the answer"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"logprobs": 21}, "between 0 and 20"),
        ({"logprobs": -1}, "between 0 and 20"),
        ({"json_schema": {}, "grammar": 'root ::= "x"'}, "exclude each other"),
        ({"json_schema": {"type": "nonsense"}}, "JSON schema"),
        ({"json_schema": {"x": float("nan")}}, "is not JSON"),
    ],
)
def test_bad_options_are_value_errors(model: Model, options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        model.prepare("Hello", **options)
