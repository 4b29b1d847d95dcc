"""Brings the pinned llama.cpp source into third_party/llama.cpp: downloads, checks, unpacks, patches.

Runs with the standard library and pip alone, because it runs inside the build. It knows neither CMake nor
aspd_local. A stamp in the tree names the pin and the patches that it was made from; a tree with the current
stamp is left as it is.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from patching import PatchError, apply_patch

HERE = Path(__file__).resolve().parent
STAMP_NAME = ".aspd-stamp"
TEMP_PREFIX = ".fetch-"
STALE_TEMP_S = 24 * 3600.0
PIP_ATTEMPTS = 3
OUTER_PIP = ("PIP_CONSTRAINT", "PIP_BUILD_TRACKER", "_PYPROJECT_HOOKS_")
PIP_CRASH = "ERROR: Exception:"  # pip does not retry a connection that breaks in the middle of a file


class FetchError(Exception):
    """The source cannot be brought in; the message is one line for the person who builds."""


@dataclass(frozen=True)
class Pin:
    """What third_party/llama_cpp.json says.

    package, version, sha256: the sdist on the package index and its hash.
    root: the folder of llama.cpp inside the sdist.
    unpack: shell patterns, relative to root, of the files to keep (`*` also matches `/`).
    """

    package: str
    version: str
    sha256: str
    root: str
    unpack: tuple[str, ...]


class Packed(Protocol):
    """What unpack() has to know of a pin."""

    @property
    def root(self) -> str: ...

    @property
    def unpack(self) -> tuple[str, ...]: ...


def load_pin(path: Path) -> Pin:
    """Reads the pin file. Raises FetchError when a field is missing."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Pin(
            package=fields["package"],
            version=fields["version"],
            sha256=fields["sha256"],
            root=fields["root"],
            unpack=tuple(fields["unpack"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FetchError(f"{path.name} cannot be read: {error!r}") from error


def stamp_of(pin: Pin, patches: Sequence[Path]) -> str:
    """The text of the stamp for a tree made from this pin and these patches."""
    lines = [f"{pin.package} {pin.version} {pin.sha256}", *(f"unpack {pattern}" for pattern in pin.unpack)]
    lines += [f"patch {patch.name} {hashlib.sha256(patch.read_bytes()).hexdigest()}" for patch in patches]
    return "\n".join(lines) + "\n"


def is_current(tree: Path, stamp: str) -> bool:
    """Whether `tree` carries this stamp."""
    try:
        return (tree / STAMP_NAME).read_text(encoding="utf-8") == stamp
    except OSError:
        return False


def download(pin: Pin, folder: Path) -> Path:
    """Downloads the sdist into `folder` with pip and returns its path.

    pip checks the hash before it runs the sdist's metadata hook; it is checked here once more.
    Raises FetchError: pip is missing, the network fails, the hash differs.
    """
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{pin.package}=={pin.version} --hash=sha256:{pin.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", pin.package]
    command += ["--require-hashes", "--disable-pip-version-check", "--progress-bar", "off"]
    if importlib.util.find_spec("scikit_build_core") is not None:
        command.append("--no-build-isolation")  # the build backend of the sdist is here already
    command += ["--dest", str(folder), "--requirement", str(requirement)]
    # Inside a build, the outer pip's variables would tell the inner one where to look for its backend.
    env = {name: value for name, value in os.environ.items() if not name.startswith(OUTER_PIP)}
    for _ in range(PIP_ATTEMPTS):
        result = subprocess.run(
            command, capture_output=True, text=True, errors="replace", env=env, check=False
        )
        if result.returncode == 0 or PIP_CRASH not in result.stderr:
            break
    if result.returncode != 0:
        raise FetchError(explain_pip(pin, result.stdout + result.stderr))
    sdists = sorted(folder.glob("*.tar.gz"))
    if len(sdists) != 1:
        raise FetchError(f"pip brought {len(sdists)} archives of {pin.package} {pin.version}, expected 1")
    check_hash(pin, sdists[0])
    return sdists[0]


def explain_pip(pin: Pin, output: str) -> str:
    """One line out of what pip printed before it failed."""
    name = f"{pin.package} {pin.version}"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for line in lines:
        if line.startswith("Got"):
            return wrong_hash(pin, line.split()[-1])
        if line.endswith("No module named pip"):
            return (
                f"{sys.executable} has no pip to download {name} with; install it, or set ASPD_LLAMA_CPP_DIR"
            )
    errors = [line for line in lines if line.startswith("ERROR:") and line != PIP_CRASH]
    cause = (errors[:1] or lines[-1:] or ["no output"])[0].removeprefix("ERROR: ")
    return f"pip cannot download {name} (network?); ASPD_LLAMA_CPP_DIR takes a local copy: {cause}"


def wrong_hash(pin: Pin, sha256: str) -> str:
    """The message for a hash that is not the pin's."""
    return f"wrong hash: the sdist of {pin.package} {pin.version} has {sha256}, the pin says {pin.sha256}"


def check_hash(pin: Pin, sdist: Path) -> None:
    """Raises FetchError unless the file has the pinned sha256."""
    digest = hashlib.sha256()
    with sdist.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != pin.sha256:
        raise FetchError(wrong_hash(pin, digest.hexdigest()))


def unpack(pin: Packed, sdist: Path, tree: Path) -> int:
    """Writes the files that the build needs into `tree` and returns how many; times are those of now.

    Links and special files are left out. Raises FetchError: a broken archive, a pattern that matches nothing.
    """
    prefix = pin.root + "/"
    unmatched = set(pin.unpack)
    n_files = 0
    try:
        with tarfile.open(sdist, "r:gz") as archive:
            for member in archive:
                if not member.isreg() or not member.name.startswith(prefix):
                    continue
                relative = member.name[len(prefix) :]
                matching = {pattern for pattern in pin.unpack if fnmatch.fnmatchcase(relative, pattern)}
                content = archive.extractfile(member) if matching else None
                if content is None:
                    continue
                unmatched -= matching
                target = path_inside(tree, relative)
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    shutil.copyfileobj(content, file)
                n_files += 1
    except (tarfile.TarError, EOFError) as error:
        raise FetchError(f"{sdist.name} cannot be unpacked: {error}") from error
    if unmatched:
        raise FetchError(f"{sdist.name} has no file {pin.root}/{min(unmatched)}")
    return n_files


def path_inside(tree: Path, relative: str) -> Path:
    """tree / relative. Raises FetchError when that would leave the tree."""
    pure = PurePosixPath(relative)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise FetchError(f"a path leaves the source tree: {relative!r}")
    return tree.joinpath(*pure.parts)


def fetch(tree: Path, pin_path: Path, patches_dir: Path, sdist: Path | None = None) -> bool:
    """Makes `tree` the pinned, patched source; returns False when it was that already.

    Safe to run in parallel and to interrupt: the tree is made beside its place and renamed into it.
    sdist: a downloaded archive to use instead of pip. Raises FetchError.
    """
    pin = load_pin(pin_path)
    patches = sorted(patches_dir.glob("*.patch"))
    stamp = stamp_of(pin, patches)
    if is_current(tree, stamp):
        return False
    try:
        tree.parent.mkdir(parents=True, exist_ok=True)
        remove_stale_temps(tree.parent)
        with tempfile.TemporaryDirectory(prefix=TEMP_PREFIX, dir=tree.parent) as name:
            temp = Path(name)
            made = temp / "llama.cpp"
            made.mkdir()
            if sdist is None:
                sdist = download(pin, temp)
            else:
                check_hash(pin, sdist)
            unpack(pin, sdist, made)
            for patch in patches:
                apply_patch(patch, made)
            (made / STAMP_NAME).write_text(stamp, encoding="utf-8")
            move_into_place(made, tree, stamp, temp)
    except PatchError as error:
        raise FetchError(f"the patch {error}") from error
    except OSError as error:
        raise FetchError(f"{tree} cannot be written: {error}") from error
    return True


def move_into_place(made: Path, tree: Path, stamp: str, temp: Path) -> None:
    """Renames `made` to `tree`. An older tree goes to `temp`; a current one, made by another run, stays."""
    for attempt in range(10):
        if is_current(tree, stamp):
            return
        try:
            if tree.exists():
                tree.rename(temp / f"old-{attempt}")
            made.rename(tree)
            return
        except OSError:  # another run renamed one of the two between our look and our rename
            time.sleep(0.1)
    raise FetchError(f"{tree} cannot be replaced; is it in use?")


def remove_stale_temps(folder: Path) -> None:
    """Removes what killed runs of yesterday left behind."""
    for left in folder.glob(TEMP_PREFIX + "*"):
        try:
            if time.time() - left.stat().st_mtime > STALE_TEMP_S:
                shutil.rmtree(left)
        except FileNotFoundError:
            pass  # another run was faster


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: exit 0 with the tree in place, 1 with one line on stderr."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tree", type=Path, default=HERE / "llama.cpp", help="where the source goes")
    parser.add_argument("--pin", type=Path, default=HERE / "llama_cpp.json", help="the pin file")
    parser.add_argument("--patches", type=Path, default=HERE / "patches", help="folder of *.patch files")
    parser.add_argument("--sdist", type=Path, help="an archive downloaded before, instead of pip")
    args = parser.parse_args(argv)
    try:
        fetched = fetch(args.tree, args.pin, args.patches, args.sdist)
    except FetchError as error:
        print(f"error: llama.cpp: {error}", file=sys.stderr)
        return 1
    print(f"llama.cpp is {'fetched' if fetched else 'in place'}: {args.tree}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
