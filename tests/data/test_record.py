"""Finished examples as lines, and what is not written."""

from __future__ import annotations

import json

import pytest

from aspd_local.data.example import BlockText, BranchText, TrunkText
from aspd_local.data.record import BlockCounts, Counts, Decision, Record, from_line, to_line

BLOCK = BlockText(branches=(BranchText(title="A", text="- a\n"), BranchText(title="B", text="- b\n")))
RECORD = Record(
    prompt="Ünï?",
    messages=({"role": "user", "content": "Ünï?"},),
    answer="x\n- a\n- b\n",
    structure=(TrunkText(text="x\n"), BLOCK),
    counts=Counts(unit="words", total=5, blocks=(BlockCounts(branches=(2, 2), titles=(1, 1)),)),
    decisions=(
        Decision(outcome="kept", kind="bulleted", n_branches=2, begin=0),
        Decision(outcome="rejected", stage="extract", reason="too few parts", evidence="2 table"),
    ),
    scores=({"begin": 2, "gain": 0.5},),
    split="valid",
    pipeline={"version": 1},
)


def test_line_and_back() -> None:
    assert from_line(to_line(RECORD)) == RECORD


def test_line_is_the_documented_form() -> None:
    fields = json.loads(to_line(RECORD))
    assert fields["structure"] == [
        {"type": "trunk", "text": "x\n"},
        {"type": "block", "branches": [{"title": "A", "text": "- a\n"}, {"title": "B", "text": "- b\n"}]},
    ]
    assert fields["decisions"][0] == {"outcome": "kept", "kind": "bulleted", "n_branches": 2, "begin": 0}
    assert "Ünï" in to_line(RECORD).decode()


def test_structure_that_is_not_the_answer_is_never_written() -> None:
    broken = Record(
        prompt="p", messages=RECORD.messages, answer="x", structure=(BLOCK,), counts=RECORD.counts
    )
    with pytest.raises(ValueError, match="not the answer"):
        to_line(broken)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{}",
        b'{"prompt": "p", "answer": "a"}',
        to_line(RECORD).replace(b'"trunk","text":"x', b'"trunk","text":"y'),
        to_line(RECORD).replace(b'"type":"block"', b'"type":"blob"'),
    ],
)
def test_other_lines_are_value_errors(line: bytes) -> None:
    with pytest.raises(ValueError, match="no line of `aspd data build`"):
        from_line(line)
