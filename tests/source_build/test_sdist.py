"""The source distribution carries what a build without a download needs."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import fetch
import fetch_page

ROOT = Path(__file__).resolve().parents[2]
THIRD_PARTY = ROOT / "third_party"
# What the build, the package, the tests and the linters read.
READ = ["bench", "cmake", "cpp", "examples", "python", "tests", "third_party/patches", "tools"]
LEFT_OUT = [".ci/", ".github/", "docs/reports/", "training/answers.jsonl"]


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Path inside the sdist, its first folder left out -> content."""
    folder = tmp_path_factory.mktemp("sdist")
    build = [sys.executable, "-c", "import sys, backend; backend.build_sdist(sys.argv[1])", str(folder)]
    env = os.environ | {"PYTHONPATH": str(THIRD_PARTY)}
    subprocess.run(build, cwd=ROOT, env=env, check=True, stdout=sys.stderr)
    (sdist,) = folder.glob("aspd_local-*.tar.gz")
    with tarfile.open(sdist) as archive:
        files = [(member, archive.extractfile(member)) for member in archive]
        return {member.name.split("/", 1)[1]: file.read() for member, file in files if file is not None}


@pytest.mark.parametrize("name", ["llama.cpp", "page_libraries"])
def test_the_fetched_tree_is_in_whole(members: dict[str, bytes], name: str) -> None:
    tree = THIRD_PARTY / name
    assert fetch.is_current(tree, members[f"third_party/{name}/.aspd-stamp"].decode())
    there = {path.relative_to(ROOT).as_posix() for path in tree.rglob("*") if path.is_file()}
    assert there == {member for member in members if member.startswith(f"third_party/{name}/")}


def test_the_carried_source_is_patched(members: dict[str, bytes]) -> None:
    assert b"seq_pos_min(s) <= p0" in members["third_party/llama.cpp/src/llama-batch.cpp"]


def test_the_carried_tree_needs_no_fetch(members: dict[str, bytes], tmp_path: Path) -> None:
    for name, content in members.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for name in ["fetch.py", "fetch_page.py"]:
        script = [sys.executable, str(tmp_path / "third_party" / name)]
        assert "in place" in subprocess.run(script, check=True, capture_output=True, text=True).stdout


def test_licences_travel_with_the_source(members: dict[str, bytes]) -> None:
    for name in [
        "LICENSE",
        "third_party/llama.cpp/LICENSE",
        "third_party/llama.cpp/licenses/LICENSE-jsonhpp",
    ]:
        assert b"Permission" in members[name] or b"Apache" in members[name]
    pinned = fetch_page.load_pins(THIRD_PARTY / "page_libraries.json")
    for library in pinned:
        assert members[f"third_party/page_libraries/{library.package}/LICENSE"]
    for name in ["pybind11", *(library.package for library in pinned)]:
        assert name.encode() in members["NOTICE"]


@pytest.mark.parametrize("place", LEFT_OUT)
def test_reports_and_training_data_stay_behind(members: dict[str, bytes], place: str) -> None:
    assert not [name for name in members if name.startswith(place)]


@pytest.mark.parametrize("folder", READ)
def test_a_folder_that_is_read_is_in_whole(members: dict[str, bytes], folder: str) -> None:
    ignored = {"__pycache__", "vendor"}  # compiled, and the page's libraries as a build has put them there
    files = [path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()]
    there = {path.as_posix() for path in files if path.suffix != ".so" and ignored.isdisjoint(path.parts)}
    assert there
    assert there <= members.keys()


def test_every_file_that_a_test_names_is_in(members: dict[str, bytes]) -> None:
    """Tests read these from outside the folders above."""
    for name in ["README.md", "docs/cli.md", "docs/serve.md", "training/prompts.jsonl", "pyproject.toml"]:
        assert members[name] == (ROOT / name).read_bytes()


def test_no_build_product_and_no_model_but_our_adapter_travels(members: dict[str, bytes]) -> None:
    assert not [name for name in members if name.endswith((".so", ".o", ".a", ".pyc"))]
    models = [name for name in members if name.endswith(".gguf")]
    assert models == ["python/aspd_local/adapters/smollm2-135m-aspd.gguf"]
    assert len(members[models[0]]) <= 8_000_000
