"""Reading order and folding, for every timing of the branches."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspd_local.events import End, Event, Fork, Join, ReadingOrder, Text, branch_name, fold

pieces = st.lists(st.text(min_size=1, max_size=5), max_size=6)
blocks = st.lists(pieces, min_size=1, max_size=5)


def interleave(
    data: st.DataObject, trunk: Sequence[list[str]], structure: Sequence[list[list[str]]]
) -> list[Event]:
    """Events of an answer: trunk stretches around blocks whose branches take turns at random."""
    events: list[Event] = []
    trunk_offset = 0
    for number, stretch in enumerate(trunk):
        for piece in stretch:
            events.append(Text(None, trunk_offset, piece))
            trunk_offset += len(piece)
        if number == len(structure):
            break
        branches = structure[number]
        events.append(Fork(number + 1, tuple(str(i) for i in range(len(branches)))))
        left = {i: list(branch) for i, branch in enumerate(branches, 1)}
        offsets = dict.fromkeys(left, 0)
        while left:
            i = data.draw(st.sampled_from(sorted(left)))
            name = branch_name(number + 1, i)
            if left[i]:
                piece = left[i].pop(0)
                events.append(Text(name, offsets[i], piece))
                offsets[i] += len(piece)
            else:
                events.append(End(name, "stop"))
                del left[i]
        events.append(Join(number + 1))
    return events


@given(data=st.data(), structure=st.lists(blocks, max_size=3))
def test_reading_order_and_fold_give_the_text_for_every_timing(
    data: st.DataObject, structure: list[list[list[str]]]
) -> None:
    trunk = [data.draw(pieces) for _ in range(len(structure) + 1)]
    events = interleave(data, trunk, structure)
    expected = ""
    for i, stretch in enumerate(trunk):
        expected += "".join(stretch)
        if i < len(structure):
            expected += "".join("".join(branch) for branch in structure[i])
    order = ReadingOrder()
    assert "".join(order.feed(event) for event in events) == expected
    assert fold(events) == expected


def test_later_branches_wait_for_the_earliest() -> None:
    order = ReadingOrder()
    assert order.feed(Fork(1, ("a", "b"))) == ""
    assert order.feed(Text("1.2", 0, "second")) == ""
    assert order.feed(Text("1.1", 0, "first ")) == "first "
    assert order.feed(End("1.2", "stop")) == ""
    assert order.feed(End("1.1", "stop")) == "second"
    assert order.feed(Join(1)) == ""


def test_fold_refuses_a_gap() -> None:
    with pytest.raises(ValueError, match="offset 3"):
        fold([Text(None, 0, "ab"), Text(None, 3, "c")])
