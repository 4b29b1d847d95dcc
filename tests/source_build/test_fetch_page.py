"""Bringing in the page's libraries; small archives stand for packages, a folder for the registry."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import fetch_page
from fetch import STAMP_NAME, FetchError

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "third_party" / "fetch_page.py"
FILES = {"LICENSE": "free\n", "dist/a.min.js": "export default 1;\n", "dist/a.js.map": "not needed\n"}
PACKAGES = {"plain": "plain/-/plain-1.0.0.tgz", "@scope/part": "@scope/part/-/part-1.0.0.tgz"}


class Place:
    """A folder with pins and a registry."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = folder / "third_party" / "libraries"
        self.pins = folder / "pins.json"
        self.registry = folder / "registry"
        self.entries = [self.publish(package, path) for package, path in PACKAGES.items()]
        self.write()

    def publish(self, package: str, path: str) -> dict[str, object]:
        tarball = self.registry / path
        tarball.parent.mkdir(parents=True)
        with tarfile.open(tarball, "w:gz") as archive:
            for name, content in FILES.items():
                member = tarfile.TarInfo(f"package/{name}")
                member.size = len(content.encode())
                archive.addfile(member, io.BytesIO(content.encode()))
        digest = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
        return {
            "package": package,
            "version": "1.0.0",
            "tarball": f"https://registry.npmjs.org/{path}",
            "integrity": f"sha512-{digest}",
            "unpack": ["LICENSE", "dist/*.min.js"],
        }

    def write(self) -> None:
        self.pins.write_text(json.dumps(self.entries), encoding="utf-8")

    def run(
        self, *more: str, registry: str | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(SCRIPT), "--tree", str(self.tree), "--pins", str(self.pins), *more]
        env = os.environ | {"npm_config_registry": registry or self.registry.as_uri(), **variables}
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    def error(self, result: subprocess.CompletedProcess[str]) -> str:
        assert result.returncode == 1
        assert result.stdout == ""
        (line,) = result.stderr.splitlines()
        assert not self.tree.exists()
        assert list(self.tree.parent.glob("*")) == []
        return line

    def files(self) -> set[str]:
        return {path.relative_to(self.tree).as_posix() for path in self.tree.rglob("*") if path.is_file()}


EXPECTED = {STAMP_NAME} | {
    f"{package}/{name}" for package in PACKAGES for name in ["LICENSE", "dist/a.min.js"]
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_configured_registry_is_asked_and_only_needed_files_stay(place: Place) -> None:
    result = place.run()
    assert result.returncode == 0, result.stderr
    assert "fetched" in result.stdout
    assert place.files() == EXPECTED


def test_a_current_tree_asks_nobody(place: Place) -> None:
    place.run()
    result = place.run(registry="http://127.0.0.1:9")
    assert result.returncode == 0, result.stderr
    assert "in place" in result.stdout


def test_a_changed_pin_makes_the_tree_anew(place: Place) -> None:
    place.run()
    place.entries.pop()
    place.write()
    assert "fetched" in place.run().stdout
    assert place.files() == {STAMP_NAME, "plain/LICENSE", "plain/dist/a.min.js"}


def test_a_registry_out_of_reach_is_one_line_that_names_the_ways_out(place: Place) -> None:
    line = place.error(place.run(registry="http://127.0.0.1:9"))
    assert line.startswith("error: page libraries: cannot download plain 1.0.0 from http://127.0.0.1:9/ (")
    assert "npm_config_registry" in line
    assert "--tarballs" in line
    assert "plain-1.0.0.tgz" in line


def test_a_wrong_hash_is_refused(place: Place) -> None:
    place.entries[1]["integrity"] = "sha512-AAAA"
    place.write()
    line = place.error(place.run())
    assert "wrong hash: @scope/part 1.0.0 has sha512-" in line
    assert "the pin says sha512-AAAA" in line


def test_a_weaker_hash_is_no_pin(place: Place) -> None:
    place.entries[0]["integrity"] = "sha1-AAAA"
    place.write()
    assert "needs a sha512 integrity" in place.error(place.run())


def test_tarballs_of_npm_pack_serve_without_a_registry(place: Place) -> None:
    packed = place.folder / "packed"
    packed.mkdir()
    (place.registry / PACKAGES["plain"]).rename(packed / "plain-1.0.0.tgz")
    line = place.error(place.run("--tarballs", str(packed)))
    assert "scope-part-1.0.0.tgz is missing; `npm pack @scope/part@1.0.0` writes it" in line
    (place.registry / PACKAGES["@scope/part"]).rename(packed / "scope-part-1.0.0.tgz")
    assert place.run("--tarballs", str(packed), registry="http://127.0.0.1:9").returncode == 0
    assert place.files() == EXPECTED


def test_without_configuration_the_public_registry_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower() == "npm_config_registry"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", "")
    assert fetch_page.registry() == "https://registry.npmjs.org/"


def test_npm_is_asked_for_its_registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.lower() == "npm_config_registry"]:
        monkeypatch.delenv(name)
    npm = tmp_path / "npm"
    npm.write_text('#!/bin/sh\n[ "$*" = "config get registry" ] && echo https://mirror.example/npm\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert fetch_page.registry() == "https://mirror.example/npm/"


def test_a_malformed_pin_is_refused(place: Place) -> None:
    place.pins.write_text('[{"package": "plain"}]', encoding="utf-8")
    with pytest.raises(FetchError, match=r"pins\.json cannot be read"):
        fetch_page.load_pins(place.pins)


def test_npm_packs_what_cannot_be_fetched_directly(place: Place, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.mkdir()
    for path in place.registry.rglob("*.tgz"):
        path.rename(packed / path.name.replace("part-1", "scope-part-1"))
    npm = tmp_path / "npm"
    npm.write_text(f'#!/bin/sh\n[ "$1 $3" = "pack --pack-destination" ] && cp "{packed}"/*.tgz "$4"\n')
    npm.chmod(0o755)
    found_at = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    result = place.run(registry="http://127.0.0.1:9", PATH=found_at)
    assert result.returncode == 0, result.stderr
