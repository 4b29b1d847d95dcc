"""The package as it is installed: quick to import, typed, of one version."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import aspd_local
from aspd_local import _core

ROOT = Path(__file__).resolve().parents[1]
IMPORT = """
import json, sys
before = set(sys.modules)
import aspd_local
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


def test_import_loads_nothing_heavy() -> None:
    """How long it takes: bench/startup.py."""
    output = subprocess.run([sys.executable, "-c", IMPORT], check=True, capture_output=True, text=True).stdout
    modules = set(json.loads(output))
    heavy = {"numpy", "torch", "gguf", "huggingface_hub", "httpx", "requests", "typer", "rich"}
    assert modules & heavy == set()
    assert "aspd_local" in modules


def test_version_is_the_same_everywhere() -> None:
    assert importlib.metadata.version("aspd-local") == aspd_local.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", aspd_local.__version__)
    assert _core.build_info().startswith(f"aspd-local {aspd_local.__version__}, llama.cpp ")


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "_core.pyi",
        "protocols/aspd.json",
        "protocols/prompted.json",
        "adapters/smollm2-135m-aspd.gguf",
        "eval/suites/rag.jsonl.gz",
    ],
)
def test_package_ships(name: str) -> None:
    assert importlib.resources.files(aspd_local).joinpath(name).is_file()


def test_all_public_names_exist() -> None:
    assert [name for name in aspd_local.__all__ if not hasattr(aspd_local, name)] == []


def test_committed_stub_is_that_of_the_module() -> None:
    check = [sys.executable, str(ROOT / "tools" / "make_stub.py"), "--check"]
    result = subprocess.run(check, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
