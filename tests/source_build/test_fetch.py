"""Bringing in the pinned source; a small archive stands for llama.cpp, a folder for the package index."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

import fetch
from fetch import FetchError

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "third_party" / "fetch.py"
SDIST = "aspd_standin-1.0"
BACKEND = """
import os
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    info = os.path.join(folder, "aspd_standin-1.0.dist-info")
    os.mkdir(info)
    with open(os.path.join(info, "METADATA"), "w") as file:
        file.write("Metadata-Version: 2.1\\nName: aspd-standin\\nVersion: 1.0\\n")
    with open(os.path.join(info, "WHEEL"), "w") as file:
        file.write("Wheel-Version: 1.0\\n")
    return os.path.basename(info)
def build_wheel(folder, config_settings=None, metadata_directory=None):
    raise NotImplementedError
"""
FILES = {
    "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
    "PKG-INFO": "Metadata-Version: 2.1\nName: aspd-standin\nVersion: 1.0\n",
    "backend.py": BACKEND,
    "vendor/source/LICENSE": "free\n",
    "vendor/source/src/a.cpp": "int a = 1;\n",
    "vendor/source/src/deep/b.cpp": "int b = 2;\n",
    "vendor/source/docs/long.md": "not needed\n",
}
PATCH = "--- a/src/a.cpp\n+++ b/src/a.cpp\n@@ -1 +1 @@\n-int a = 1;\n+int a = 10;\n"


class Place:
    """A folder with a pin, its archive and its patches, and what the tree should hold."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = folder / "third_party" / "source"
        self.patches = folder / "patches"
        self.patches.mkdir()
        (self.patches / "a.patch").write_text(PATCH, encoding="utf-8")
        self.index = folder / "index"
        self.index.mkdir()
        self.sdist = self.index / f"{SDIST}.tar.gz"
        self.pin = folder / "pin.json"
        self.write_sdist(FILES)

    def write_sdist(self, files: dict[str, str], extra: tarfile.TarInfo | None = None) -> None:
        with tarfile.open(self.sdist, "w:gz") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(f"{SDIST}/{name}")
                member.size = len(content.encode())
                member.mtime = int(time.time()) + 10**6  # from the future, as some archives are
                archive.addfile(member, io.BytesIO(content.encode()))
            if extra is not None:
                archive.addfile(extra)
        self.write_pin(sha256=hashlib.sha256(self.sdist.read_bytes()).hexdigest())

    def write_pin(self, **changes: object) -> None:
        fields: dict[str, object] = {
            "package": "aspd-standin",
            "version": "1.0",
            "root": f"{SDIST}/vendor/source",
        }
        fields["unpack"] = ["LICENSE", "src/*"]
        if self.pin.exists():
            fields = json.loads(self.pin.read_text(encoding="utf-8"))
        self.pin.write_text(json.dumps({**fields, **changes}), encoding="utf-8")

    def fetch(self) -> bool:
        return fetch.fetch(self.tree, self.pin, self.patches, self.sdist)

    def command(self, *more: str) -> list[str]:
        paths = ["--tree", str(self.tree), "--pin", str(self.pin), "--patches", str(self.patches)]
        return [sys.executable, str(SCRIPT), *paths, *more]

    def run_with_index(self) -> subprocess.CompletedProcess[str]:
        """Runs the script with pip looking into the folder only."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        env |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.index), "PIP_CONFIG_FILE": os.devnull}
        return subprocess.run(self.command(), env=env, capture_output=True, text=True, check=False)

    def assert_good(self) -> None:
        files = {path.relative_to(self.tree).as_posix() for path in self.tree.rglob("*") if path.is_file()}
        assert files == {"LICENSE", "src/a.cpp", "src/deep/b.cpp", fetch.STAMP_NAME}
        assert (self.tree / "src" / "a.cpp").read_text(encoding="utf-8") == "int a = 10;\n"
        assert self.leftovers() == []

    def leftovers(self) -> list[Path]:
        """What is beside the tree in its folder."""
        return [path for path in self.tree.parent.glob("*") if path != self.tree]

    def assert_nothing(self) -> None:
        assert not self.tree.exists()
        assert self.leftovers() == []


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def assert_one_line(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 1
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: llama.cpp: ")
    return lines[0]


def test_only_the_needed_files_are_unpacked_and_patched(place: Place) -> None:
    assert place.fetch()
    place.assert_good()


def test_times_from_the_future_are_not_kept(place: Place) -> None:
    place.fetch()
    assert all(path.stat().st_mtime < time.time() + 60 for path in place.tree.rglob("*"))


def test_a_current_tree_is_left_alone(place: Place) -> None:
    place.fetch()
    (place.tree / "src" / "a.cpp").write_text("int a = 3;\n", encoding="utf-8")
    place.sdist.unlink()
    assert not place.fetch()
    assert (place.tree / "src" / "a.cpp").read_text(encoding="utf-8") == "int a = 3;\n"


@pytest.mark.parametrize("what", ["patch", "new patch", "pin"])
def test_a_change_of_pin_or_patches_makes_the_tree_anew(place: Place, what: str) -> None:
    place.fetch()
    expected = "int a = 10;\n"
    if what == "patch":
        (place.patches / "a.patch").write_text(PATCH.replace("10", "11"), encoding="utf-8")
        expected = "int a = 11;\n"
    elif what == "new patch":
        second = PATCH.replace("= 10", "= 12").replace("= 1;", "= 10;")
        (place.patches / "b.patch").write_text(second, encoding="utf-8")
        expected = "int a = 12;\n"
    else:
        place.write_pin(unpack=["src/*"])
    assert place.fetch()
    assert (place.tree / "src" / "a.cpp").read_text(encoding="utf-8") == expected
    assert (place.tree / "LICENSE").exists() == (what != "pin")
    assert place.leftovers() == []


def test_patches_are_applied_in_order_of_name(place: Place) -> None:
    second = PATCH.replace("= 10", "= 12").replace("= 1;", "= 10;")
    (place.patches / "b.patch").write_text(second, encoding="utf-8")
    place.fetch()
    assert (place.tree / "src" / "a.cpp").read_text(encoding="utf-8") == "int a = 12;\n"


def test_a_wrong_hash_is_refused(place: Place) -> None:
    place.write_pin(sha256="0" * 64)
    with pytest.raises(FetchError, match="wrong hash"):
        place.fetch()
    place.assert_nothing()


def test_an_unpatchable_tree_is_refused(place: Place) -> None:
    (place.patches / "a.patch").write_text(PATCH.replace("= 1;", "= 7;"), encoding="utf-8")
    with pytest.raises(FetchError, match=r"the patch a\.patch does not fit: src/a\.cpp differs at line 1"):
        place.fetch()
    place.assert_nothing()


def test_a_failure_keeps_the_tree_that_was_there(place: Place) -> None:
    place.fetch()
    (place.patches / "b.patch").write_text(PATCH, encoding="utf-8")
    with pytest.raises(FetchError, match=r"b\.patch does not fit"):
        place.fetch()
    place.assert_good()


def test_a_pattern_that_matches_nothing_is_refused(place: Place) -> None:
    place.write_pin(unpack=["src/*", "include/*"])
    with pytest.raises(FetchError, match=r"has no file .*include/\*"):
        place.fetch()
    place.assert_nothing()


def test_a_path_that_leaves_the_tree_is_refused(place: Place) -> None:
    place.write_sdist({**FILES, "vendor/source/src/../../../../outside.cpp": "int x;\n"})
    with pytest.raises(FetchError, match="leaves the source tree"):
        place.fetch()
    place.assert_nothing()
    assert not list(place.folder.rglob("outside.cpp"))


def test_links_are_left_out(place: Place) -> None:
    link = tarfile.TarInfo(f"{SDIST}/vendor/source/src/link.cpp")
    link.type = tarfile.SYMTYPE
    link.linkname = "/etc/passwd"
    place.write_sdist(FILES, extra=link)
    place.fetch()
    place.assert_good()


def test_a_cut_archive_is_refused(place: Place) -> None:
    content = place.sdist.read_bytes()
    place.sdist.write_bytes(content[: len(content) // 2])
    place.write_pin(sha256=hashlib.sha256(place.sdist.read_bytes()).hexdigest())
    with pytest.raises(FetchError, match="cannot be unpacked"):
        place.fetch()
    place.assert_nothing()


def test_a_malformed_pin_is_refused(place: Place) -> None:
    place.pin.write_text('{"package": "aspd-standin"}', encoding="utf-8")
    with pytest.raises(FetchError, match=r"pin\.json cannot be read"):
        place.fetch()


def test_parallel_runs_agree_on_one_tree(place: Place) -> None:
    runs = [
        subprocess.Popen(place.command("--sdist", str(place.sdist)), stdout=subprocess.PIPE) for _ in range(4)
    ]
    outputs = [run.communicate()[0].decode() for run in runs]
    assert [run.returncode for run in runs] == [0] * 4
    assert any("fetched" in output for output in outputs)
    place.assert_good()


def test_a_tree_made_by_another_run_meanwhile_is_kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    unpack = fetch.unpack

    def unpack_slowly(pin: fetch.Pin, sdist: Path, tree: Path) -> int:
        n_files = unpack(pin, sdist, tree)
        monkeypatch.setattr(fetch, "unpack", unpack)
        place.fetch()
        (place.tree / "mark").touch()
        return n_files

    monkeypatch.setattr(fetch, "unpack", unpack_slowly)
    place.fetch()
    assert (place.tree / "mark").exists()
    assert place.leftovers() == []


def test_a_killed_run_leaves_no_tree_and_the_next_one_succeeds(place: Place) -> None:
    place.tree.parent.mkdir()
    killed = f"""
import os, signal, sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
import fetch
fetch.apply_patch = lambda patch, tree: os.kill(os.getpid(), signal.SIGKILL)
fetch.main({place.command("--sdist", str(place.sdist))[2:]!r})
"""
    result = subprocess.run([sys.executable, "-c", killed], check=False)
    assert result.returncode == -9
    assert not place.tree.exists()
    (left,) = place.leftovers()
    long_ago = time.time() - 2 * fetch.STALE_TEMP_S
    os.utime(left, (long_ago, long_ago))
    place.fetch()
    place.assert_good()


def test_pip_downloads_the_sdist_by_name_and_hash(place: Place) -> None:
    result = place.run_with_index()
    assert result.returncode == 0, result.stderr
    assert "fetched" in result.stdout
    place.assert_good()


def test_a_wrong_hash_at_download_is_one_line(place: Place) -> None:
    place.write_pin(sha256="1" * 64)
    line = assert_one_line(place.run_with_index())
    assert "wrong hash" in line
    assert "1" * 64 in line
    assert hashlib.sha256(place.sdist.read_bytes()).hexdigest() in line
    place.assert_nothing()


def test_a_package_that_cannot_be_downloaded_is_one_line(place: Place) -> None:
    place.sdist.unlink()
    line = assert_one_line(place.run_with_index())
    assert "cannot download aspd-standin 1.0" in line
    assert "ASPD_LLAMA_CPP_DIR" in line
    place.assert_nothing()


def run_with_pip(place: Place, pip: str) -> subprocess.CompletedProcess[str]:
    """Runs the script with `python -c pip` in place of pip."""
    script = f"""
import subprocess, sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
import fetch
run = subprocess.run
fetch.subprocess.run = lambda command, **options: run([sys.executable, "-c", {pip!r}, *command], **options)
sys.exit(fetch.main({place.command()[2:]!r}))
"""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


CRASH = r"""
import pathlib, shutil, sys
count = pathlib.Path({count!r})
count.write_text(count.read_text() + "x" if count.exists() else "x")
if len(count.read_text()) < {succeeds_at}:
    sys.exit("ERROR: Exception:\nTraceback (most recent call last):\nProtocolError: Connection broken")
shutil.copy({sdist!r}, sys.argv[sys.argv.index("--dest") + 1])
"""


def test_the_pip_that_builds_tells_the_one_that_downloads_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_PYPROJECT_HOOKS_BACKEND_PATH_JSON", '["/nowhere"]')
    monkeypatch.setenv("PIP_CONSTRAINT", "/nowhere/constraints.txt")
    told = place.folder / "told"
    pip = f"import os, pathlib; pathlib.Path({str(told)!r}).write_text(' '.join(os.environ))"
    run_with_pip(place, pip)
    names = told.read_text(encoding="utf-8").split()
    assert "PATH" in names
    assert not {"_PYPROJECT_HOOKS_BACKEND_PATH_JSON", "PIP_CONSTRAINT"} & set(names)


def test_a_connection_that_breaks_is_tried_again(place: Place) -> None:
    count = place.folder / "count"
    pip = CRASH.format(count=str(count), succeeds_at=3, sdist=str(place.sdist))
    assert run_with_pip(place, pip).returncode == 0
    assert count.read_text(encoding="utf-8") == "xxx"
    place.assert_good()


def test_a_connection_that_always_breaks_is_one_line(place: Place) -> None:
    pip = CRASH.format(count=str(place.folder / "count"), succeeds_at=9, sdist=str(place.sdist))
    line = assert_one_line(run_with_pip(place, pip))
    assert line.endswith("ProtocolError: Connection broken")
    place.assert_nothing()


def test_an_interpreter_without_pip_is_one_line(place: Place) -> None:
    line = assert_one_line(
        run_with_pip(place, 'import sys; sys.exit(sys.executable + ": No module named pip")')
    )
    assert "has no pip" in line


def test_a_folder_that_cannot_be_written_is_one_line(place: Place) -> None:
    place.tree.parent.write_text("a file where the folder should be", encoding="utf-8")
    result = subprocess.run(
        place.command("--sdist", str(place.sdist)), capture_output=True, text=True, check=False
    )
    assert "cannot be written" in assert_one_line(result)


def test_the_pin_of_this_repository_can_be_read() -> None:
    pin = fetch.load_pin(ROOT / "third_party" / "llama_cpp.json")
    assert len(bytes.fromhex(pin.sha256)) == 32
    assert pin.root == f"{pin.package.replace('-', '_')}-{pin.version}/vendor/llama.cpp"
