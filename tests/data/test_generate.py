"""Answers of a tiny model: many at once, each prompt once, and a killed run goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aspd_local import DataError, Model, _core
from aspd_local.data import Example, read_line
from aspd_local.data.checkpoint import Target
from aspd_local.data.generate import Settings, Tally, generate, read_prompts
from tiny.files import TinyModel

SETTINGS = Settings(model="tiny", max_tokens=12, group=4)


@pytest.fixture(scope="module")
def model(tiny_llama: TinyModel) -> Iterator[Model]:
    with Model(tiny_llama.path, n_ctx=1024, n_threads=1, n_threads_batch=1, n_lanes=4) as model:
        yield model


@pytest.fixture
def prompts(write: Callable[..., Path]) -> Path:
    return write(*({"prompt": f"Question {i}?"} for i in range(10)), name="prompts.jsonl")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_answers_are_what_build_reads(model: Model, prompts: Path, out: Path) -> None:
    tally = generate(prompts, Target(path=out), model, SETTINGS)
    rows = lines(out)
    assert [row["prompt"] for row in rows] == [f"Question {i}?" for i in range(10)]
    assert {row["model"] for row in rows} == {"tiny"}
    assert all(row["n_tokens"] <= 12 for row in rows)
    assert {row["finish_reason"] for row in rows} <= {"stop", "length"}
    assert tally == Tally(n_answers=10)
    assert any(isinstance(read_line(line), Example) for line in out.read_bytes().splitlines())


def test_answers_are_those_of_the_model_alone(model: Model, prompts: Path, out: Path) -> None:
    """Greedy answers, several at once, are the answers that the model gives one by one."""
    greedy = Settings(model="tiny", max_tokens=8, temperature=0, group=4)
    generate(prompts, Target(path=out), model, greedy)
    alone = [
        model.chat(f"Question {i}?", parallel="off", max_tokens=8, temperature=0).text for i in range(10)
    ]
    assert [row["answer"] for row in lines(out)] == alone


class Watched:
    """An engine of which is known how many sequences were in use at once."""

    def __init__(self, engine: _core.Engine) -> None:
        self.engine = engine
        self.widest = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def step(self) -> list[_core.Event]:
        events = self.engine.step()
        self.widest = max(self.widest, self.engine.n_sequences - self.engine.sequences_free)
        return events


def test_many_are_under_way_at_once(model: Model, prompts: Path, out: Path) -> None:
    watched = Watched(model.engine)
    model.parts.steps.replace_engine(watched)  # type: ignore[arg-type]
    generate(prompts, Target(path=out), model, SETTINGS)
    model.parts.steps.replace_engine(watched.engine)
    assert watched.widest >= 4


def test_seed_decides(model: Model, prompts: Path, tmp_path: Path) -> None:
    outs = [tmp_path / str(i) for i in range(3)]
    for out, seed in zip(outs, (0, 0, 1), strict=True):
        generate(prompts, Target(path=out), model, Settings(model="t", max_tokens=12, group=4, seed=seed))
    first, same, other = (out.read_bytes() for out in outs)
    assert first == same
    assert first != other


def test_interrupted_run_goes_on_at_a_group_and_ends_with_the_same_bytes(
    model: Model, prompts: Path, tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    generate(prompts, Target(path=whole), model, SETTINGS)

    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(prompts, Target(path=out), model, SETTINGS, progress=stop)
    part = tmp_path / "out.part"
    part.write_bytes(part.read_bytes() + whole.read_bytes().splitlines(keepends=True)[4] + b"half")
    tally = generate(prompts, Target(path=out), model, SETTINGS)
    assert (tally.n_answers, tally.resumed) == (10, 4)
    assert out.read_bytes() == whole.read_bytes()


def test_repeated_prompts_are_answered_once(model: Model, write: Callable[..., Path], out: Path) -> None:
    path = write({"prompt": "a"}, {"prompt": "b"}, {"turns": ["a", "more"]}, b"nothing", {"x": 1})
    tally = generate(path, Target(path=out), model, SETTINGS)
    assert (tally.n_answers, tally.duplicates, tally.bad) == (2, 1, 2)


def test_prompt_that_does_not_fit_is_told(model: Model, write: Callable[..., Path], out: Path) -> None:
    tally = generate(write({"prompt": "x " * 2000}, {"prompt": "b"}), Target(path=out), model, SETTINGS)
    assert (tally.n_answers, tally.too_long) == (2, 1)
    assert [row["finish_reason"] == "refused" for row in lines(out)] == [True, False]


def test_plain_lines_and_chats_are_prompts(tmp_path: Path) -> None:
    plain = tmp_path / "plain.txt"
    plain.write_text("One?\n\n  Two?\nOne?\n", encoding="utf-8")
    assert [each.fields for each in read_prompts(plain, Tally())] == [{"prompt": "One?"}, {"prompt": "Two?"}]
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    chats = tmp_path / "chats.jsonl"
    chats.write_text(json.dumps({"messages": turns}) + "\n")
    (found,) = read_prompts(chats, Tally())
    assert found.fields == {"messages": turns}


def test_no_prompt_is_an_error(model: Model, write: Callable[..., Path], out: Path) -> None:
    with pytest.raises(DataError, match="no line holds a prompt"):
        generate(write({"x": 1}), Target(path=out), model, SETTINGS)
