"""The choice among runs, against trying all of them."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from aspd_local.data.select import Weight, select

_WEIGHTS = st.lists(
    st.builds(
        lambda begin, size, lengths: Weight(begin=begin, end=begin + size, lengths=tuple(lengths)),
        st.integers(0, 8),
        st.integers(1, 5),
        st.lists(st.integers(1, 4), min_size=2, max_size=4),
    ),
    max_size=6,
)


def worth(weights: list[Weight], chosen: tuple[int, ...]) -> tuple[int, int, int]:
    lengths = [length for i in chosen for length in weights[i].lengths]
    return sum(lengths), len(lengths), -max(lengths, default=0)


def apart(weights: list[Weight], chosen: tuple[int, ...]) -> bool:
    pairs = combinations([weights[i] for i in chosen], 2)
    return all(a.end <= b.begin or b.end <= a.begin for a, b in pairs)


@given(_WEIGHTS)
def test_no_other_choice_is_better(weights: list[Weight]) -> None:
    everything = [c for n in range(len(weights) + 1) for c in combinations(range(len(weights)), n)]
    best = max(worth(weights, chosen) for chosen in everything if apart(weights, chosen))
    found = tuple(select(weights))
    assert apart(weights, found)
    assert worth(weights, found) == best


def test_most_tokens_then_most_branches_then_the_shortest_longest() -> None:
    def weight(*lengths: int) -> Weight:
        return Weight(begin=0, end=9, lengths=lengths)

    assert select([weight(5, 5), weight(3, 3, 3), weight(6, 5)]) == [2]
    assert select([weight(5, 5), weight(4, 3, 3)]) == [1]
    assert select([weight(7, 3), weight(5, 5), weight(6, 4)]) == [1]
    assert select([]) == []
