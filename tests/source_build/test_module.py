"""Facts about the compiled module that the build has to ensure."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from aspd_local import _core

needs_binutils = pytest.mark.skipif(shutil.which("nm") is None, reason="nm and readelf come with gcc")


def output_of(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@needs_binutils
def test_only_the_init_function_is_exported() -> None:
    names = [
        line.split()[-1] for line in output_of("nm", "-D", "--defined-only", _core.__file__).splitlines()
    ]
    assert names == ["PyInit__core"]


@needs_binutils
def test_llama_and_openmp_are_not_needed_as_shared_libraries() -> None:
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", output_of("readelf", "-d", _core.__file__))
    assert any(name.startswith("libc.so") for name in needed)
    assert not [name for name in needed if re.match(r"lib(llama|ggml|gomp|omp|iomp)", name)]


def test_the_join_rule_sum_is_available() -> None:
    assert _core.has_position_gaps()
