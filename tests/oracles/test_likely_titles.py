"""What stands between the words of two titles is decoded before it is chosen: fewer steps, same answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aspd_local import _core
from aspd_local.layout import Trunk, lay_out
from driver import answer, aspd, core_layout, open_engine, request, run
from tiny import stories
from tiny.files import TinyModel
from tiny.script import Script, write_scripted
from tiny.vocabulary import BRANCH_END, EOS, PARA_END, TITLE, TITLE_END

ALIKE = {"1. *ab*:": "klm", "2. *cd*:": "nop", "3. *ef*:": "qrs"}
CHANGING = {"8. *ab*:": "klm", "9. *cd:": "nop", "*ef*:": "qrs", "10. gh": "tuv"}  # how they are set off
# Told of ALIKE. In the first title the colon is still to be chosen; it ends most of them.
EXPECTED = [f"{TITLE_END}{TITLE}2. *", f":{TITLE_END}{TITLE}3. *", f":{TITLE_END}"]


def _write(path: Path, story: Mapping[str, str]) -> TinyModel:
    """A branch's seed ends as its title does, with a colon behind."""
    bodies = [f"{title[-3:]}:{body}{BRANCH_END}" for title, body in story.items()]
    texts = [f"Hm 1{stories.plan(story)}", *bodies, f"{PARA_END}So.{EOS}"]
    return write_scripted(path, Script(texts), seed=21)


@pytest.fixture(scope="module")
def alike(tiny_folder: Path) -> TinyModel:
    return _write(tiny_folder / "titles_alike.gguf", ALIKE)


@pytest.fixture(scope="module")
def changing(tiny_folder: Path) -> TinyModel:
    return _write(tiny_folder / "titles_changing.gguf", CHANGING)


def _request(tiny: TinyModel, **options: Any) -> _core.Request:
    options = {"retain": False, "max_tokens": 90} | options
    return request(tiny.vocabulary.encode("Hm 1"), aspd(tiny.vocabulary, "sum"), **options)


def _text(story: Mapping[str, str]) -> str:
    return "".join(story.values()) + "So."


def _titles(result: _core.Result) -> list[str]:
    return [branch.title for block in result.blocks for branch in block.branches]


def test_titles_take_fewer_steps_than_tokens(alike: TinyModel) -> None:
    engine = open_engine(alike)
    engine.submit(_request(alike))
    n_steps = 0
    while not any(event.kind == _core.EventKind.FORK for event in engine.step()):
        n_steps += 1
    (done,) = [event for event in run(engine) if event.kind == _core.EventKind.DONE]
    assert done.result is not None
    assert (done.result.text, _titles(done.result)) == (_text(ALIKE), list(ALIKE))
    encode = alike.vocabulary.encode
    assert n_steps == len(encode(stories.plan(ALIKE))) - len(encode("".join(EXPECTED)))


def test_titles_may_be_set_off_in_other_ways(changing: TinyModel) -> None:
    engine = open_engine(changing)
    result = answer(engine, _request(changing))
    assert (result.text, _titles(result)) == (_text(CHANGING), list(CHANGING))
    assert result.fallback == ""
    assert engine.cells_in_use == 0
    assert engine.sequences_free == engine.n_sequences


@pytest.mark.parametrize("story", ["alike", "changing"])
def test_the_answer_leaves_the_cells_that_its_layout_tells(
    story: str, request: pytest.FixtureRequest
) -> None:
    tiny: TinyModel = request.getfixturevalue(story)
    engine = open_engine(tiny)
    result = answer(engine, _request(tiny, retain=True))
    prompt = lay_out([Trunk(tiny.vocabulary.encode("Hm 1"))], "sum")
    assert engine.cells_in_use == len(prompt) + len(result.layout.token_ids)
    assert engine.cells_in_use == engine.n_retained(
        _core.Layout(
            [*prompt.token_ids, *result.layout.token_ids],
            [*prompt.positions, *result.layout.positions],
            [*prompt.block_ids, *result.layout.block_ids],
            [*prompt.branch_ids, *result.layout.branch_ids],
        )
    )


@pytest.mark.parametrize("limit", range(1, 40))
def test_a_plan_may_end_amid_what_was_expected(alike: TinyModel, limit: int) -> None:
    """The limit is met at every token; what is kept is what was said."""
    ids = alike.vocabulary.encode(stories.plan(ALIKE))
    engine = open_engine(alike)
    result = answer(engine, _request(alike, retain=True, max_tokens=limit))
    said = lay_out([Trunk(alike.vocabulary.encode("Hm 1") + ids[:limit])], "sum")
    if limit <= len(ids):
        assert result.finish_reason == _core.FinishReason.LENGTH
        assert _titles(result) == []
        assert engine.n_retained(core_layout(said)) == engine.cells_in_use == len(said) - 1
    else:
        assert _titles(result) == list(ALIKE)
