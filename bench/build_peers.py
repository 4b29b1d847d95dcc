"""Builds llama.cpp's own programs, which the engine is measured against, from the pinned and patched source.

Prints their paths as JSON; CMake's output goes to stderr. A second run builds what has changed.

    python bench/build_peers.py [--into build/peers] [--openmp on|off] [--jobs N]

Needs CMake, a C++ compiler and some 300 MB of disk. Everything is as llama.cpp's users get it (shared
libraries, the CPU of this machine, OpenMP) but for the web page of its server and HTTPS, which are left out.
`--openmp off` takes ggml's own thread pool, as the engine does, and makes a second set of programs beside
the first.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import comparison

ROOT = Path(__file__).resolve().parent.parent
THIRD_PARTY = ROOT / "third_party"
sys.path.insert(0, str(THIRD_PARTY))
import fetch  # noqa: E402  (third_party is no package: it must run before anything is installed)


class BuildError(Exception):
    """The programs cannot be built; the message is one line."""


def fetch_whole(tree: Path) -> None:
    """Makes `tree` the whole llama.cpp of the pin, with our patches. Raises fetch.FetchError."""
    with tempfile.TemporaryDirectory() as folder:
        pin = Path(folder) / "llama_cpp.json"
        fields = json.loads((THIRD_PARTY / pin.name).read_text(encoding="utf-8"))
        pin.write_text(json.dumps({**fields, "unpack": ["*"]}), encoding="utf-8")
        fetch.fetch(tree, pin, THIRD_PARTY / "patches")


def configuration(commit: str, openmp: bool) -> dict[str, str]:
    """CMake's variables.

    commit: llama.cpp's, which it would otherwise ask git for and get that of the folders above.
    """
    values = {
        "CMAKE_BUILD_TYPE": "Release",
        "GGML_OPENMP": "ON" if openmp else "OFF",
        "LLAMA_BUILD_TESTS": "OFF",
        "LLAMA_BUILD_EXAMPLES": "OFF",
        "LLAMA_BUILD_APP": "OFF",
        "LLAMA_BUILD_UI": "OFF",
        "LLAMA_USE_PREBUILT_UI": "OFF",
        "LLAMA_OPENSSL": "OFF",
        "LLAMA_BUILD_COMMIT": commit,
        "LLAMA_BUILD_NUMBER": "0",
        "GIT_EXE": "OFF",
    }
    if ccache := shutil.which("ccache"):
        values |= {"CMAKE_C_COMPILER_LAUNCHER": ccache, "CMAKE_CXX_COMPILER_LAUNCHER": ccache}
    return values


def run(*command: str | Path) -> None:
    """Runs a command with its output on stderr. Raises BuildError."""
    try:
        subprocess.run(list(map(str, command)), check=True, stdout=sys.stderr)
    except FileNotFoundError as error:
        raise BuildError(f"{command[0]}: not installed") from error
    except subprocess.CalledProcessError as error:
        raise BuildError(f"{command[0]} failed with exit code {error.returncode}, see above") from error


def build(into: Path, *, openmp: bool, jobs: int) -> dict[str, str]:
    """Builds the programs and returns name -> path. Raises BuildError, fetch.FetchError."""
    tree = into / "llama.cpp"
    fetch_whole(tree)
    folder = comparison.build_folder(into, openmp=openmp)
    commit = json.loads((THIRD_PARTY / "llama_cpp.json").read_text(encoding="utf-8"))["commit"]
    defines = [f"-D{name}={value}" for name, value in configuration(commit, openmp).items()]
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    run("cmake", "-S", tree, "-B", folder, *generator, *defines)
    run("cmake", "--build", folder, "--parallel", str(jobs), "--target", *comparison.PROGRAMS)
    return {name: str(comparison.find(name, into, openmp=openmp)) for name in comparison.PROGRAMS}


def main() -> int:
    """Command line: exit 0 with the paths on stdout, 1 with one line on stderr."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--into", type=Path, default=comparison.PEERS, help="folder for source and builds")
    parser.add_argument("--openmp", choices=["on", "off"], default="on")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="compilers side by side")
    args = parser.parse_args()
    try:
        paths = build(args.into.resolve(), openmp=args.openmp == "on", jobs=args.jobs)
    except (BuildError, fetch.FetchError, comparison.PeerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(paths, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
