"""What CMake says when it configures: one clear line for each thing that can be missing."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

import fetch

ROOT = Path(__file__).resolve().parents[2]
TREE = ROOT / "third_party" / "llama.cpp"

pytestmark = pytest.mark.skipif(
    shutil.which("cmake") is None or shutil.which("ninja") is None,
    reason="the test extra brings cmake and ninja",
)


def configure(build: Path, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = ["cmake", "-S", str(ROOT), "-B", str(build), "-G", "Ninja", "-DASPD_BUILD_PYTHON=OFF", *options]
    clean = {
        name: value for name, value in os.environ.items() if name not in {"CC", "CXX", "ASPD_LLAMA_CPP_DIR"}
    }
    return subprocess.run(command, env=clean | env, capture_output=True, text=True, check=False)


def error_of(result: subprocess.CompletedProcess[str]) -> str:
    """The text of the only error, which is one line."""
    assert result.returncode == 1
    assert result.stderr.count("CMake Error") == 1
    (error,) = re.findall(r"^CMake Error at .*:\n\n?  *(.+)\n(?:\n|Call)", result.stderr, flags=re.MULTILINE)
    return str(error)


def definitions_of(build: Path, source: str) -> str:
    """The command line that compiles one source file."""
    commands = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
    (command,) = [entry["command"] for entry in commands if entry["file"].endswith(source)]
    return str(command)


def sources_in(build: Path, folder: str) -> set[str]:
    """Names of the files of a folder that are compiled."""
    commands = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
    files = [Path(entry["file"]) for entry in commands]
    return {file.name for file in files if file.parent == ROOT / folder}


def test_a_missing_compiler_is_named(tmp_path: Path) -> None:
    error = error_of(configure(tmp_path, CXX="/nowhere/c++", CC="/nowhere/cc"))
    assert error.startswith("No C compiler found.")
    assert "apt install g++" in error


def test_a_checkout_that_is_none_is_named(tmp_path: Path) -> None:
    error = error_of(configure(tmp_path / "build", f"-DASPD_LLAMA_CPP_DIR={tmp_path}"))
    assert error == f"ASPD_LLAMA_CPP_DIR has no include/llama.h: {tmp_path}"


def test_a_failed_fetch_is_one_line(tmp_path: Path) -> None:
    copy = tmp_path / "repository"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "llama.cpp", "*.so", "tests", "build"))
    pin = copy / "third_party" / "llama_cpp.json"
    pin.write_text(pin.read_text(encoding="utf-8").replace('"package"', '"packet"'), encoding="utf-8")
    command = ["cmake", "-S", str(copy), "-B", str(tmp_path / "build"), "-G", "Ninja"]
    error = error_of(subprocess.run(command, capture_output=True, text=True, check=False))
    assert error == "error: llama.cpp: llama_cpp.json cannot be read: KeyError('package')"


def test_a_registry_of_the_page_out_of_reach_is_one_line(tmp_path: Path) -> None:
    copy = tmp_path / "repository"
    shutil.copytree(
        ROOT, copy, ignore=shutil.ignore_patterns(".*", "page_libraries", "*.so", "tests", "build")
    )
    shutil.copyfile(TREE / fetch.STAMP_NAME, copy / "third_party" / "llama.cpp" / fetch.STAMP_NAME)
    command = ["cmake", "-S", str(copy), "-B", str(tmp_path / "build"), "-G", "Ninja"]
    env = os.environ | {"npm_config_registry": "http://127.0.0.1:9"}
    error = error_of(subprocess.run(command, env=env, capture_output=True, text=True, check=False))
    assert error.startswith("error: page libraries: cannot download markdown-it")


def test_a_checkout_of_ones_own_is_used_as_it_is(tmp_path: Path) -> None:
    """Without the patch: a warning, and the code knows."""
    assert fetch.main([]) == 0
    checkout = tmp_path / "checkout"
    shutil.copytree(TREE, checkout)
    batch = checkout / "src" / "llama-batch.cpp"
    unpatched = batch.read_text(encoding="utf-8").replace("seq_pos_min(s) <= p0", "seq_pos_min(s) != p0 + 1")
    batch.write_text(unpatched, encoding="utf-8")
    traits = checkout / "ggml" / "src" / "ggml-cpu" / "traits.h"
    hooked = traits.read_text(encoding="utf-8")
    traits.write_text(hooked.replace("ggml_cpu_set_op_hook", "something_else"), encoding="utf-8")
    result = configure(tmp_path / "build", ASPD_LLAMA_CPP_DIR=str(checkout))
    assert result.returncode == 0, result.stderr
    warnings = " ".join(result.stderr.split())
    assert "`sum` will not be available" in warnings
    assert "no place for our kernels" in warnings
    assert sources_in(tmp_path / "build", "cpp/kernels") == {"absent.cpp"}
    assert batch.read_text(encoding="utf-8") == unpatched
    command = definitions_of(tmp_path / "build", "cpp/src/llama/backend.cpp")
    assert "ASPD_HAS_POSITION_GAPS=0" in command
    assert f"{checkout}/src/../include" in command
    assert str(TREE) not in command


def test_the_pinned_tree_allows_position_gaps_and_ggml_options_pass_through(tmp_path: Path) -> None:
    result = configure(tmp_path, "-DGGML_RPC=ON", "-DGGML_NATIVE=OFF")
    assert result.returncode == 0, result.stderr
    assert "ASPD_HAS_POSITION_GAPS=1" in definitions_of(tmp_path, "cpp/src/llama/backend.cpp")
    assert {"narrow.cpp", "x86_avx2.cpp"} <= sources_in(tmp_path, "cpp/kernels")
    assert "absent.cpp" not in sources_in(tmp_path, "cpp/kernels")
    cpu = definitions_of(tmp_path, "ggml-cpu/ggml-cpu.c")
    assert "-march=native" not in cpu
    assert "-fvisibility=hidden" in cpu
    assert "GGML_USE_OPENMP" not in cpu
    assert "-fno-gnu-unique" in definitions_of(tmp_path, "ggml-rpc/ggml-rpc.cpp")


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    build = tmp_path_factory.mktemp("layers")
    result = configure(build)
    assert result.returncode == 0, result.stderr
    return build


def compiles(build: Path, source: str, include: str, folder: Path) -> bool:
    """Whether a file with one include compiles as the source file does; only for want of that header not."""
    words = shlex.split(definitions_of(build, source))
    options = [word for word in words if word.startswith(("-I", "-D", "-std"))]
    options += [f"-isystem{path}" for word, path in pairwise(words) if word == "-isystem"]
    file = folder / "one_include.cpp"
    file.write_text(f'#include "{include}"\n', encoding="utf-8")
    command = [words[0], *options, "-fsyntax-only", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0 or f"{include}: No such file" in result.stderr, result.stderr
    return result.returncode == 0


@pytest.mark.parametrize(
    ("source", "seen", "hidden"),
    [
        ("cpp/src/gguf/gguf_check.cpp", ["aspd/errors.h", "gguf.h"], ["llama.h", "aspd/layout.h"]),
        (
            "cpp/src/protocol/lists.cpp",
            ["aspd/layout.h"],
            ["llama.h", "ggml.h", "aspd/model.h", "aspd/gguf_check.h"],
        ),
        ("cpp/src/llama/model.cpp", ["llama.h", "aspd/layout.h"], ["aspd/engine.h", "aspd/quantize.h"]),
        (
            "cpp/src/engine/lanes.cpp",
            ["decoder.h", "aspd/width_policy.h"],
            ["llama.h", "ggml.h", "json.h", "aspd/quantize.h"],
        ),
        ("cpp/src/convert/merge.cpp", ["llama.h", "aspd/gguf_check.h"], ["aspd/engine.h"]),
    ],
)
def test_a_layer_sees_those_below_it_alone(
    configured: Path, tmp_path: Path, source: str, seen: list[str], hidden: list[str]
) -> None:
    assert [include for include in seen if not compiles(configured, source, include, tmp_path)] == []
    assert [include for include in hidden if compiles(configured, source, include, tmp_path)] == []
