"""Brings the pinned JavaScript libraries of the server's page into third_party/page_libraries.

Runs with the standard library alone, because it runs inside the build; npm is not needed. Tarballs come from
the npm registry that npm_config_registry or npm's own configuration names; where that cannot be reached
directly, npm is asked for them, if it is there. A stamp in the tree names the pins
that it was made from; a tree with the current stamp is left as it is.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fetch import (
    HERE,
    STAMP_NAME,
    TEMP_PREFIX,
    FetchError,
    is_current,
    move_into_place,
    path_inside,
    remove_stale_temps,
    unpack,
)

PUBLIC = "https://registry.npmjs.org/"
ROOT = "package"  # the folder inside npm's tarballs
TIMEOUT_S = 60.0
ATTEMPTS = 3
LARGEST = 32 << 20  # bytes of a tarball


@dataclass(frozen=True)
class Library:
    """An entry of third_party/page_libraries.json.

    package, version: as on the npm registry.
    tarball: where the public registry has it.
    integrity: "sha512-" and the base64 of its hash, as the registry gives it.
    unpack: shell patterns of the files to keep.
    """

    package: str
    version: str
    tarball: str
    integrity: str
    unpack: tuple[str, ...]
    root: str = ROOT

    @property
    def file_name(self) -> str:
        """The name of the tarball that `npm pack` writes."""
        return f"{self.package.lstrip('@').replace('/', '-')}-{self.version}.tgz"


def load_pins(path: Path) -> list[Library]:
    """Reads the pin file. Raises FetchError when a field is missing or wrong."""
    try:
        libraries = [
            Library(
                package=fields["package"],
                version=fields["version"],
                tarball=fields["tarball"],
                integrity=fields["integrity"],
                unpack=tuple(fields["unpack"]),
            )
            for fields in json.loads(path.read_text(encoding="utf-8"))
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FetchError(f"{path.name} cannot be read: {error!r}") from error
    for library in libraries:
        if not library.integrity.startswith("sha512-") or not library.tarball.startswith(PUBLIC):
            raise FetchError(
                f"{path.name}: {library.package} needs a sha512 integrity and a URL below {PUBLIC}"
            )
    return libraries


def stamp_of(libraries: Sequence[Library]) -> str:
    """The text of the stamp for a tree made from these pins."""
    lines = [f"{each.package} {each.version} {each.integrity} {' '.join(each.unpack)}" for each in libraries]
    return "\n".join(lines) + "\n"


def registry() -> str:
    """The registry that the user has configured, with a slash at its end."""
    names = {name.lower(): value for name, value in os.environ.items() if value}
    url = names.get("npm_config_registry") or asked_of_npm() or PUBLIC
    return url.rstrip("/") + "/"


def asked_of_npm() -> str | None:
    """What npm is configured to use; None where npm is not installed."""
    npm = shutil.which("npm")
    if npm is None:
        return None
    result = subprocess.run(
        [npm, "config", "get", "registry"], capture_output=True, text=True, errors="replace", check=False
    )
    lines = result.stdout.split()
    return lines[-1] if result.returncode == 0 and lines and re.match("https?://", lines[-1]) else None


def download(library: Library, base: str, folder: Path) -> Path:
    """Downloads the tarball into `folder` and returns its path. Raises FetchError where that fails."""
    url = base + library.tarball.removeprefix(PUBLIC)
    target = folder / library.file_name
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
                target.write_bytes(answer.read(LARGEST))
            return target
        except (OSError, ValueError, http.client.HTTPException) as error:
            for_good = isinstance(error, (urllib.error.HTTPError, ValueError))
            if attempt == ATTEMPTS or for_good:
                if packed_by_npm(library, folder):
                    return target
                raise FetchError(
                    f"cannot download {library.package} {library.version} from {base} ({error}); "
                    "npm_config_registry names another npm registry, and "
                    f"{Path(__file__).name} --tarballs takes a folder with {library.file_name}"
                ) from error
    raise AssertionError


def packed_by_npm(library: Library, folder: Path) -> bool:
    """Has npm write the tarball into `folder`: it knows proxies and credentials. False where it cannot."""
    npm = shutil.which("npm")
    if npm is None:
        return False
    command = [
        npm,
        "pack",
        f"{library.package}@{library.version}",
        "--pack-destination",
        str(folder),
        "--fetch-retries=0",
    ]
    done = subprocess.run(command, capture_output=True, check=False, cwd=folder)
    return done.returncode == 0 and (folder / library.file_name).is_file()


def check_hash(library: Library, tarball: Path) -> None:
    """Raises FetchError unless the file is there and has the pinned hash."""
    try:
        digest = hashlib.sha512(tarball.read_bytes()).digest()
    except FileNotFoundError:
        raise FetchError(
            f"{tarball} is missing; `npm pack {library.package}@{library.version}` writes it"
        ) from None
    found = "sha512-" + base64.b64encode(digest).decode()
    if found != library.integrity:
        raise FetchError(
            f"wrong hash: {library.package} {library.version} has {found}, the pin says {library.integrity}"
        )


def fetch(tree: Path, pins: Path, tarballs: Path | None = None) -> bool:
    """Makes `tree` hold the pinned files, a folder for each package; returns False when it did already.

    Safe to run in parallel and to interrupt: the tree is made beside its place and renamed into it.
    tarballs: a folder with what `npm pack` writes, to use instead of the registry. Raises FetchError.
    """
    libraries = load_pins(pins)
    stamp = stamp_of(libraries)
    if is_current(tree, stamp):
        return False
    try:
        tree.parent.mkdir(parents=True, exist_ok=True)
        remove_stale_temps(tree.parent)
        base = registry() if tarballs is None else ""
        with tempfile.TemporaryDirectory(prefix=TEMP_PREFIX, dir=tree.parent) as name:
            temp = Path(name)
            made = temp / "tree"
            made.mkdir()
            for library in libraries:
                tarball = tarballs / library.file_name if tarballs else download(library, base, temp)
                check_hash(library, tarball)
                unpack(library, tarball, path_inside(made, library.package))
            (made / STAMP_NAME).write_text(stamp, encoding="utf-8")
            move_into_place(made, tree, stamp, temp)
    except OSError as error:
        raise FetchError(f"{tree} cannot be written: {error}") from error
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: exit 0 with the tree in place, 1 with one line on stderr."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tree", type=Path, default=HERE / "page_libraries", help="where the files go")
    parser.add_argument("--pins", type=Path, default=HERE / "page_libraries.json", help="the pin file")
    parser.add_argument(
        "--tarballs", type=Path, help="a folder with what `npm pack` wrote, instead of the registry"
    )
    args = parser.parse_args(argv)
    try:
        fetched = fetch(args.tree, args.pins, args.tarballs)
    except FetchError as error:
        print(f"error: page libraries: {error}", file=sys.stderr)
        return 1
    print(f"The page's libraries are {'fetched' if fetched else 'in place'}: {args.tree}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
