"""Which types are tried and which of the measured ones is taken, on made-up numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from aspd_local import _core
from aspd_local.optimize.candidates import (
    Curve,
    Measured,
    Types,
    candidates,
    choose,
    loss_of,
    perplexity,
    predicted_size,
)
from tiny.files import TinyModel


def measured(
    name: str, ms: float, *, loss: float = 0.0, size: int = 100, shape: Mapping[int, float] | None = None
) -> Measured:
    """A file of which a step of one lane takes `ms`; shape: width -> times as much as one lane."""
    times = shape or {1: 1, 2: 1.5, 4: 2, 8: 3}
    curve = Curve(seconds={width: each * ms / 1e3 for width, each in times.items()}, spread=1.0)
    types = Types(weights=name, head=name)
    return Measured(
        types=types, size_bytes=size, perplexity=10 * (1 + loss), loss=loss, loss_error=0.001, curve=curve
    )


SOURCE = measured("F16", 30)


def chosen(*found: Measured, max_loss: float = 0.02) -> str | None:
    best = choose(SOURCE, found, max_loss)
    return None if best is None else best.types.weights


def test_the_fastest_is_taken() -> None:
    assert chosen(measured("Q8_0", 20), measured("Q4_0", 10), measured("Q4_K", 15)) == "Q4_0"


def test_one_that_loses_too_much_is_not() -> None:
    assert chosen(measured("Q4_0", 10, loss=0.021), measured("Q8_0", 20, loss=0.02)) == "Q8_0"
    assert chosen(measured("Q4_0", 10, loss=0.021), measured("Q8_0", 20, loss=0.02), max_loss=0.03) == "Q4_0"


def test_wide_steps_count_too() -> None:
    steep = measured("Q4_K", 10, shape={1: 1, 2: 2, 4: 4, 8: 8})
    flat = measured("Q4_0", 11, shape={1: 1, 2: 1, 4: 1, 8: 1})
    assert chosen(steep, flat) == "Q4_0"


def test_where_the_clock_cannot_tell_the_least_loss_is_taken() -> None:
    assert chosen(measured("Q4_0", 10, loss=0.01), measured("Q4_K", 10.1, loss=0.005)) == "Q4_K"


def test_where_neither_can_tell_the_smallest_is_taken() -> None:
    assert chosen(measured("Q4_0", 10, size=90), measured("IQ4_NL", 10, size=80)) == "IQ4_NL"


def test_nothing_is_taken_that_is_not_clearly_faster_than_the_source() -> None:
    assert chosen(measured("Q4_0", 29.9), measured("Q8_0", 40)) is None
    assert chosen() is None


def test_a_broken_model_is_never_taken() -> None:
    assert chosen(measured("Q4_0", 1, loss=math.inf), max_loss=1e9) is None


def test_a_level_curve_gains_as_many_times_as_there_are_branches() -> None:
    flat = measured("Q4_0", 10, shape={1: 1, 2: 1, 4: 1, 8: 1})
    assert [flat.gain(n) for n in (2, 4, 8)] == pytest.approx([2, 4, 8])
    steep = measured("Q4_0", 10, shape={1: 1, 2: 2, 4: 4, 8: 8})
    assert steep.gain(4) == pytest.approx(1)


def test_loss_is_the_rise_of_the_perplexity() -> None:
    before, after = [1.0, 2.0, 3.0, 2.0], [1.2, 2.1, 3.0, 2.1]
    loss, error = loss_of(before, after)
    assert loss == pytest.approx(perplexity(after) / perplexity(before) - 1)
    assert error == pytest.approx((1 + loss) * math.sqrt(0.02 / 3) / 2)
    assert loss_of(before, before) == (0, 0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e6])
def test_loss_of_a_broken_model_is_infinite(bad: float) -> None:
    assert loss_of([1.0, 2.0], [1.0, bad])[0] == math.inf
    assert perplexity([1.0, bad]) == math.inf


def test_what_is_not_finite_is_no_json_number() -> None:
    told = measured("Q4_0", 10, loss=math.inf).to_dict()
    assert (told["loss"], told["perplexity"]) == (None, None)
    assert told["ms_per_step"]["4"] == pytest.approx(20)


# --- what is tried ------------------------------------------------------------------------------------------


def names(path: str | Path, *more: tuple[str, ...]) -> list[str]:
    return [str(types) for types in candidates(_core.summarize_weights(str(path)), *more)]


def test_from_full_precision_all_pairs_are_tried(wide: TinyModel) -> None:
    found = names(wide.path)
    assert len(set(found)) == 16
    assert {"Q4_0, head Q4_0", "Q4_K, head Q6_K", "IQ4_NL, head Q8_0", "Q8_0, head Q4_K"} < set(found)


def test_types_that_do_not_fit_the_rows_are_left_out(tiny_llama: TinyModel) -> None:
    assert {name.split(",")[0] for name in names(tiny_llama.path)} == {"Q4_0", "IQ4_NL", "Q8_0"}


def test_nothing_much_heavier_than_the_source_is_tried(requantised: Callable[[str, str], Path]) -> None:
    found = names(requantised("Q4_0", "Q6_K"))
    assert {name.split(", head ")[0] for name in found} == {"Q4_0", "IQ4_NL", "Q4_K"}
    assert {name.split(", head ")[1] for name in found} == {"Q4_0", "Q4_K", "Q6_K", "Q8_0"}


def test_the_source_itself_is_not_tried_but_its_weights_with_other_heads_are(
    requantised: Callable[[str, str], Path],
) -> None:
    found = names(requantised("Q5_1", "Q6_K"))
    assert "Q5_1, head Q6_K" not in found
    assert "Q5_1, head Q4_0" in found


def test_wishes_are_tried_whatever_they_weigh(requantised: Callable[[str, str], Path]) -> None:
    assert names(requantised("Q4_0", "Q6_K"), ("q8_0", "Q8_0"), ("q5_k",)) == ["Q8_0, head Q5_K"]


@pytest.mark.parametrize(
    ("weights", "heads", "message"),
    [
        (("Q4_9",), (), "unknown type 'Q4_9': one of Q4_0"),
        ((), ("",), "unknown type"),
        (("Q4_K",), (), "does not fit the weights"),
        ((), ("Q6_K",), "does not fit the head"),
    ],
)
def test_wishes_that_cannot_be_are_refused(
    tiny_llama: TinyModel, weights: tuple[str, ...], heads: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        names(tiny_llama.path, weights, heads)


def test_wishing_for_the_source_leaves_nothing_to_try(requantised: Callable[[str, str], Path]) -> None:
    with pytest.raises(ValueError, match="nothing to try"):
        names(requantised("Q4_0", "Q6_K"), ("Q4_0",), ("Q6_K",))


def test_predicted_size_is_that_of_the_file(wide: TinyModel, requantised: Callable[[str, str], Path]) -> None:
    summary = _core.summarize_weights(str(wide.path))
    for weights, head in (("Q4_0", "Q6_K"), ("Q8_0", "Q4_0")):
        size = requantised(weights, head).stat().st_size
        assert predicted_size(summary, Types(weights=weights, head=head)) == pytest.approx(size, rel=0.02)
