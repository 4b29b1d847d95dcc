"""Replays: which structure is found in an answer, and that what is written is the answer."""

from __future__ import annotations

import pytest
import replay

from aspd_local import _core
from driver import open_engine
from tiny.files import TinyModel

LIST = (
    "Three things help:\n\n"
    "1. **Plan ahead**: write down in the evening what you want to do the next day.\n"
    "2. Rest: a short break each hour keeps the head clear for what comes after it.\n\n"
    "   It need not be long.\n"
    "3. Start with the hardest thing first while you are still fresh and awake.\n\n"
    "That is all."
)


def test_items_become_parts_with_titles() -> None:
    found = replay.split(LIST)
    assert found is not None
    before, block, after = found.segments
    assert before == "Three things help:\n\n"
    assert found.blocks == (block,)
    assert [part.title for part in found.blocks[0]] == ["Plan ahead", "Rest", "Start with the hardest thing"]
    assert found.blocks[0][1].body.endswith("It need not be long.\n")
    assert after == "\nThat is all."


def test_sections_become_parts() -> None:
    words = "ten words that say something about what the heading names here"
    found = replay.split(f"## Sleep\n\n{words}.\n\n## Food\n\n{words}.\n\n## Sport\n\n{words}.\n")
    assert found is not None
    assert [part.title for part in found.blocks[0]] == ["Sleep", "Food", "Sport"]
    assert found.blocks[0][0].body == f"\n\n{words}.\n\n"


def test_every_list_becomes_a_block() -> None:
    found = replay.split(f"{LIST}\n\n- one\n- two\n\n{LIST}")
    assert found is not None
    assert len(found.blocks) == 2
    assert found.segments[2] == "\nThat is all.\n\n- one\n- two\n\nThree things help:\n\n"
    again = found.without({0})
    assert again.blocks == found.blocks[1:]
    assert "".join(part.item for part in found.blocks[0]) in again.segments
    assert found.without({0, 1}).blocks == ()


@pytest.mark.parametrize(
    "answer",
    [
        "No list at all.",
        "1. one\n2. two\n3. three\n",  # too short
        "1. A long enough item with ten words in it, yes.\n2. A second one that has its ten words as well.\n",
        LIST.replace("2. Rest", "2. Next, rest").split("   It")[0],  # two parts only
    ],
)
def test_what_is_no_list_of_parts_is_left_alone(answer: str) -> None:
    assert replay.split(answer) is None


def test_replayed_answer_is_the_answer(tiny_llama: TinyModel) -> None:
    engine = open_engine(tiny_llama, n_ctx=2048)
    model = _core.Model.load(str(tiny_llama.path), _core.ModelOptions())
    replayer = replay.Replayer(engine, model)
    structure = replay.split(LIST)
    assert structure is not None
    told = replayer.parallel(structure)
    before, block, after = structure.segments
    assert told.text == f"{before}{''.join(part.body for part in structure.blocks[0])}{after}"
    assert [branch.title for branch in told.blocks[0].branches] == [part.title for part in block]
    assert replay.refused_blocks(structure, told) == set()
    assert replayer.serial(LIST).text == LIST
    assert replayer.serial(LIST, with_protocol=True).text == LIST
    assert engine.cells_in_use == 0


def test_summary_is_of_all_figures() -> None:
    found = replay.summary([1.0, 2.0, 3.0])
    assert found == {"median": 2.0, "p10": pytest.approx(1.2), "p90": pytest.approx(2.8), "mean": 2.0}
