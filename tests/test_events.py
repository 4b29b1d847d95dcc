"""Reading order and folding, for every timing of the branches."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspd_local import Done
from aspd_local.events import End, Event, Fork, Join, ReadingOrder, Text, Unfork, branch_name, fold
from schedules import random_schedule

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
        events.append(Fork(number + 1, tuple(str(i) for i in range(len(branches))), trunk_offset))
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
    assert order.feed(Fork(1, ("a", "b"), 0)) == ""
    assert order.feed(Text("1.2", 0, "second")) == ""
    assert order.feed(Text("1.1", 0, "first ")) == "first "
    assert order.feed(End("1.2", "stop")) == ""
    assert order.feed(End("1.1", "stop")) == "second"
    assert order.feed(Join(1)) == ""


def read(events: Sequence[Event]) -> str:
    order = ReadingOrder()
    return "".join(order.feed(event) for event in events)


@given(st.randoms(use_true_random=False))
def test_moved_grown_and_taken_back_blocks_give_the_text_for_every_timing(dice: random.Random) -> None:
    told = random_schedule(dice)
    assert read(told.events) == told.text
    assert fold(told.events) == told.text


@given(st.randoms(use_true_random=False))
def test_what_has_been_read_is_how_the_text_begins(dice: random.Random) -> None:
    told = random_schedule(dice)
    order, seen = ReadingOrder(), ""
    for n, event in enumerate(told.events, 1):
        pieces = order.pieces(event)
        assert all(piece in told.events[:n] for piece in pieces)
        seen += "".join(piece.text for piece in pieces)
        assert told.text.startswith(seen)
        assert fold(told.events[:n]).startswith(seen)


def test_random_schedules_have_all_that_may_happen() -> None:
    found: set[str] = set()
    for seed in range(100):
        open_block: int | None = None
        length = 0
        for event in random_schedule(random.Random(seed)).events:
            match event:
                case Text(None, offset, text):
                    length = offset + len(text)
                case Fork(block, _, offset) if block == open_block:
                    found.add("grown")
                    assert offset == length
                case Fork(block, _, offset):
                    found.add("moved" if offset < length else "not moved")
                    open_block, length = block, offset
                case Unfork(block):
                    found.add("taken back")
                    open_block = None
                case Join(_):
                    found.add("joined")
                    open_block = None
    assert found == {"grown", "moved", "not moved", "taken back", "joined"}


LIST: list[Event] = [
    Text(None, 0, "Look: 1. Te"),
    Text(None, 11, "a"),
    Fork(1, ("1. Tea", "2. Milk"), 6),
    Text("1.2", 0, "\n2. Milk"),
    Text("1.1", 6, " is hot."),
]


def test_text_of_the_trunk_that_has_become_branch_1_is_not_read_twice() -> None:
    events = [*LIST, End("1.1", "stop"), End("1.2", "stop"), Join(1), Text(None, 6, "\nBoth.")]
    assert read(events) == fold(events) == "Look: 1. Tea is hot.\n2. Milk\nBoth."


def test_branches_that_a_block_has_grown_by_are_read_in_their_turn() -> None:
    order = ReadingOrder()
    early: list[Event] = [*LIST, Fork(1, ("1. Tea", "2. Milk", "3. Rum"), 6), Text("1.3", 0, "\n3. Rum")]
    assert "".join(order.feed(event) for event in early) == "Look: 1. Tea is hot."
    assert order.feed(End("1.1", "stop")) == "\n2. Milk"
    assert order.feed(End("1.2", "stop")) == "\n3. Rum"
    late = Fork(1, ("1. Tea", "2. Milk", "3. Rum", "4. Gin"), 6)
    rest: list[Event] = [End("1.3", "stop"), late, Text("1.4", 0, "\n4. Gin"), End("1.4", "stop"), Join(1)]
    assert "".join(order.feed(event) for event in rest) == "\n4. Gin"
    assert fold([*early, *rest]) == "Look: 1. Tea is hot.\n2. Milk\n3. Rum\n4. Gin"


def test_a_block_that_is_taken_back_leaves_what_its_first_branch_has_said() -> None:
    events = [*LIST, End("1.2", "stop"), Unfork(1), Text(None, 20, " Then")]
    assert read(events) == fold(events) == "Look: 1. Tea is hot. Then"


def test_the_next_block_has_the_number_of_the_one_taken_back() -> None:
    events = [*LIST, End("1.2", "stop"), Unfork(1), Fork(1, ("a", "b"), 18), Text("1.2", 0, "!")]
    order = ReadingOrder()
    assert "".join(order.feed(event) for event in events) == "Look: 1. Tea is hot."
    assert order.feed(Text("1.1", 2, "?")) == "?"
    assert order.feed(End("1.1", "stop")) == "!"
    assert fold([*events, Text("1.1", 2, "?")]) == "Look: 1. Tea is hot.?!"


def test_a_trunk_goes_on_behind_a_block_where_the_block_began() -> None:
    events = [*LIST, Join(1), Text(None, 6, "."), Fork(2, ("a",), 6), Text("2.1", 1, "."), Join(2)]
    assert fold(events) == "Look: 1. Tea is hot.\n2. Milk.."


def test_an_answer_cut_in_a_block_gives_all_that_came() -> None:
    order = ReadingOrder()
    assert "".join(order.feed(event) for event in LIST) == "Look: 1. Tea is hot."
    assert order.feed(Done(None)) == "\n2. Milk"  # type: ignore[arg-type]  # nobody looks at the answer
    assert fold(LIST) == "Look: 1. Tea is hot.\n2. Milk"


@pytest.mark.parametrize(
    ("events", "said"),
    [
        pytest.param([Text(None, 0, "ab"), Text(None, 3, "c")], "offset 3", id="gap"),
        pytest.param([*LIST, Text("1.1", 8, "c")], "offset 8", id="moved text not counted"),
        pytest.param([*LIST, Join(1), Text(None, 12, "c")], "offset 12", id="moved text counted twice"),
        pytest.param([*LIST, Unfork(1), Text(None, 12, "c")], "offset 12", id="put back text not counted"),
        pytest.param([*LIST, Text("1.3", 0, "c")], r"branch 1\.3", id="no such branch"),
        pytest.param([*LIST, Join(1), Text("1.1", 14, "c")], r"branch 1\.1", id="branch of a joined block"),
        pytest.param([Text(None, 0, "ab"), Fork(1, ("a",), 3)], "offset 3", id="begins behind the trunk"),
        pytest.param([*LIST, Join(1), Fork(2, ("a",), 5)], "offset 5", id="begins before another block"),
        pytest.param([*LIST, Fork(1, ("a", "b", "c"), 5)], "offset 5", id="grows elsewhere"),
        pytest.param([*LIST, Unfork(2)], "block 2", id="another block is taken back"),
        pytest.param([*LIST, Join(1), Unfork(1)], "block 1", id="a joined block is taken back"),
    ],
)
def test_fold_refuses_what_does_not_fit(events: list[Event], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fold(events)
