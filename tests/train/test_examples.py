"""Which records are learnt from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from training_records import FILE, PLAIN, STORY, block, record, write_set

from aspd_local.data.example import TrunkText
from aspd_local.data.record import Decision, Record
from aspd_local.errors import DataError
from aspd_local.train import SampleMaker, TrainConfig
from aspd_local.train.examples import choose, is_unclear, load_examples


def refused(*stages: str) -> Record:
    """A serial record whose runs these stages refused."""
    decisions = tuple(Decision(outcome="rejected", stage=stage, reason="so") for stage in stages)
    return replace(PLAIN, decisions=decisions)


def silent(_what: str, _done: int, _all: int) -> None:
    """Tells nobody."""


@pytest.mark.parametrize(
    ("example", "unclear"),
    [
        (STORY, False),
        (PLAIN, False),
        (refused("lexical"), False),
        (refused("extract"), True),
        (refused("likelihood"), True),
        (refused("extract", "lexical"), False),
        (replace(STORY, decisions=refused("extract").decisions), False),
    ],
)
def test_serial_for_reasons_that_nobody_foresees(example: Record, unclear: bool) -> None:
    assert is_unclear(example) is unclear


def test_serial_examples_are_drawn_until_the_share_is_reached() -> None:
    serial = [record(f"Is it {i}?", TrunkText(text="Yes.")) for i in range(20)]
    chosen = choose([*serial, STORY, STORY, refused("extract")], TrainConfig(parallel_share=0.25, seed=1))
    assert chosen[:2] == [STORY, STORY]
    assert len(chosen) == 8
    assert chosen == choose([*serial, STORY, STORY], TrainConfig(parallel_share=0.25, seed=1))
    assert chosen != choose([*serial, STORY, STORY], TrainConfig(parallel_share=0.25, seed=2))
    assert choose([*serial, STORY], TrainConfig()) == [STORY, *serial]


def test_what_is_left_out_is_counted(maker: SampleMaker, tmp_path: Path) -> None:
    no_plan = record("What?", block(A="\nin the house\n", B="\non the north\n"))
    twice = record("What?", block(A="1. The house\n", B="2. the house\n"))
    long = record("What?", TrunkText(text="the house is warm " * 200))
    empty = record("What?", TrunkText(text=" "))
    path = write_set(tmp_path / "set.jsonl", [STORY, no_plan, twice, long, empty, refused("extract")])
    found = load_examples(path, maker, FILE, TrainConfig(length=512), silent)
    assert [sample.parallel for sample in found.train] == [True]
    assert found.left_out == {
        "a plan that breaks the protocol's rules": 2,
        "longer than 512 tokens": 1,
        "an empty answer": 1,
        "serial only for the form of its parts": 1,
    }
    with pytest.raises(DataError, match="no example"):
        load_examples(write_set(tmp_path / "none.jsonl", [no_plan]), maker, FILE, TrainConfig(), silent)
