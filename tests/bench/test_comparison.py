"""bench/comparison.py and serial.py: finding and running llama.cpp's programs."""

from __future__ import annotations

from pathlib import Path

import comparison
import pytest
import serial
from comparison import PeerError


def test_a_program_that_is_not_built_is_an_error_that_says_how_to(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match=r"build_peers\.py"):
        comparison.find("llama-bench", tmp_path)


def test_each_build_has_its_own_programs(tmp_path: Path) -> None:
    for openmp in (True, False):
        program = comparison.build_folder(tmp_path, openmp=openmp) / "bin" / "llama-bench"
        program.parent.mkdir(parents=True)
        program.touch()
    assert comparison.find("llama-bench", tmp_path) != comparison.find("llama-bench", tmp_path, openmp=False)


def test_a_program_that_fails_is_an_error_with_its_last_line() -> None:
    with pytest.raises(PeerError, match=r"sh failed with exit code 4: out of memory"):
        comparison.run(["sh", "-c", "echo fine; echo out of memory >&2; exit 4"])


def test_ratio_of_pairs_is_a_median() -> None:
    assert comparison.ratio_of_pairs([(1, 2), (3, 1), (4, 4)]) == 1.0


def test_speed_is_read_from_llama_bench() -> None:
    assert (
        serial.parse('[\n  {\n    "n_gen": 8,\n    "avg_ts": 12.5,\n    "stddev_ts": 0.0\n  }\n]\n') == 12.5
    )


@pytest.mark.parametrize("output", ["", "[]", "[{}]", '[{"avg_ts": 1}, {"avg_ts": 2}]', "avg_ts"])
def test_anything_else_from_llama_bench_is_an_error(output: str) -> None:
    with pytest.raises(PeerError, match="llama-bench"):
        serial.parse(output)
