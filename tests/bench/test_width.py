"""bench/width.py: widths, llama-batched-bench's output, the summary."""

from __future__ import annotations

import argparse

import pytest
import width
from comparison import PeerError

# What llama-batched-bench of the pin prints with --output-format jsonl.
LINE = (
    '{"n_kv_max": 256, "n_batch": 2048, "n_ubatch": 512, "flash_attn": 0, "is_pp_shared": 1, '
    '"n_gpu_layers": -1, "n_threads": 1, "n_threads_batch": 1, "pp": 32, "tg": 4, "pl": 2, "n_kv": 40, '
    '"t_pp": 0.5, "speed_pp": 64.0, "t_tg": 0.25, "speed_tg": 32.0, "t": 0.75, "speed": 53.3}\n'
)


@pytest.mark.parametrize(
    ("text", "widths"), [("1-4", [1, 2, 3, 4]), ("8,2", [2, 8]), ("1-2,2-3,16", [1, 2, 3, 16])]
)
def test_widths_are_ranges_and_numbers_in_order(text: str, widths: list[int]) -> None:
    assert width.parse_widths(text) == widths


@pytest.mark.parametrize("text", ["", "0", "4-2", "1-129", "a", "1-"])
def test_other_widths_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        width.parse_widths(text)


def test_speed_of_the_steps_after_the_prompt_is_read() -> None:
    assert width.parse("\n" + LINE + "\n", 2) == 32.0


@pytest.mark.parametrize("output", ["", "{}", LINE + LINE, LINE.replace('"pl": 2', '"pl": 1')])
def test_output_without_exactly_this_width_is_an_error(output: str) -> None:
    with pytest.raises(PeerError, match="llama-batched-bench"):
        width.parse(output, 2)


def test_ratio_is_the_median_of_the_pairs_not_the_quotient_of_the_medians() -> None:
    entry = width.summarise(4, [(10.0, 10.0, 20.0), (40.0, 20.0, 20.0), (30.0, 40.0, 20.0)])
    assert entry == {
        "width": 4,
        "engine_tokens_per_s": 30.0,
        "reference_tokens_per_s": 20.0,
        "ratio": 1.0,
        "top_k_tokens_per_s": 20.0,
        "top_k_ratio": 1.0,
    }
