"""What the comparisons with llama.cpp's own programs share: where the programs lie, equal settings on both
sides, how figures are paired and printed.

Knows nothing of how the programs are built (build_peers.py). Imports aspd_local only where an engine is asked
for.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from aspd_local import _core

PEERS = Path(__file__).resolve().parent.parent / "build" / "peers"
PROGRAMS = ("llama-bench", "llama-batched-bench", "llama-server")

FlashAttention = Literal["off", "on", "auto"]
CacheType = Literal["f32", "f16", "q8_0"]


class PeerError(Exception):
    """A program that is compared with is missing or failed; the message is one line."""


# --- the programs --------------------------------------------------------------------------------------


def build_folder(peers: Path, *, openmp: bool = True) -> Path:
    """Where the build with or without OpenMP lies."""
    return peers / ("build" if openmp else "build-no-openmp")


def find(name: str, peers: Path = PEERS, *, openmp: bool = True) -> Path:
    """The path of a program. Raises PeerError when it is not built."""
    path = build_folder(peers, openmp=openmp) / "bin" / name
    if not path.is_file():
        raise PeerError(f"{path}: no such program; python bench/build_peers.py builds it")
    return path


def run(command: Sequence[str]) -> str:
    """What a program prints. Raises PeerError, with its last line on stderr, when it fails."""
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise PeerError(f"{Path(command[0]).name} failed with exit code {result.returncode}: {last}")
    return result.stdout


# --- settings, equal on both sides ---------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What both sides of a comparison run with.

    model: path. threads: of both sides; 0 until run_as(). flash_attn, cache_type: as in EngineOptions;
    flash_attn "auto" leaves the choice to each side. peers, openmp: which build of the programs.
    """

    model: Path
    threads: int
    flash_attn: FlashAttention
    cache_type: CacheType
    peers: Path
    openmp: bool

    def run_as(self, engine: _core.Engine) -> Settings:
        """The same with the number of threads that the engine has chosen where none was given."""
        return replace(self, threads=engine.options.n_threads)

    def program(self, name: str) -> Path:
        """The path of a program of llama.cpp. Raises PeerError."""
        return find(name, self.peers, openmp=self.openmp)

    def flags(self) -> list[str]:
        """The settings as options that all programs of llama.cpp understand."""
        flags = {
            "--model": self.model,
            "--threads": self.threads,
            "--flash-attn": self.flash_attn,
            "--cache-type-k": self.cache_type,
            "--cache-type-v": self.cache_type,
        }
        return [str(word) for pair in flags.items() for word in pair]

    def conditions(self) -> dict[str, Any]:
        """What a reader must know to judge a figure; JSON values."""
        return {
            "model": self.model.name,
            "threads": self.threads,
            "flash_attn": self.flash_attn,
            "cache_type": self.cache_type,
            "reference_openmp": self.openmp,
            **machine(),
        }


@contextmanager
def kernels(on: bool) -> Iterator[None]:
    """Our kernels on or off; on again afterwards."""
    from aspd_local import _core

    _core.enable_kernels(on)
    try:
        yield
    finally:
        _core.enable_kernels(True)


def machine() -> dict[str, Any]:
    """Build, processor and what else runs there; JSON values."""
    from aspd_local import _core, profile

    return {
        "engine_build": _core.build_info(),
        "processor": f"{profile.processor()}, {os.cpu_count()} cores",
        "load_average": round(os.getloadavg()[0], 2),
    }


def add_settings(parser: argparse.ArgumentParser) -> None:
    """The options that read_settings() reads, and --json."""
    parser.add_argument("--model", required=True, help="a path, or a name of `aspd models list`")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--threads", type=count, help="of both sides; default: physical cores")
    parser.add_argument(
        "--flash-attn",
        choices=["off", "on", "auto"],
        default="auto",
        help="of both sides (default: auto, each side's own choice)",
    )
    parser.add_argument("--cache-type", choices=["f32", "f16", "q8_0"], default="f16", help="of both sides")
    parser.add_argument("--peers", type=Path, default=PEERS, help="the folder of build_peers.py")
    parser.add_argument("--openmp", choices=["on", "off"], default="on", help="which build of the peers")


def count(text: str) -> int:
    """A number of 1 or more, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


def read_settings(args: argparse.Namespace) -> Settings:
    """Settings out of parsed options. Raises AspdError or ValueError where the model cannot be found."""
    from aspd_local import sources

    return Settings(
        model=sources.resolve(args.model),
        threads=args.threads or 0,
        flash_attn=cast(FlashAttention, args.flash_attn),
        cache_type=cast(CacheType, args.cache_type),
        peers=args.peers,
        openmp=args.openmp == "on",
    )


# --- the engine's side ---------------------------------------------------------------------------------


def load_model(settings: Settings) -> _core.Model:
    """The model alone. Raises ModelError."""
    from aspd_local import _core

    return _core.Model.load(str(settings.model), _core.ModelOptions())


def engine_options(settings: Settings, *, n_ctx: int) -> _core.EngineOptions:
    """Options with these settings; n_ctx: cells."""
    from aspd_local import _core

    options = _core.EngineOptions()
    options.n_ctx = n_ctx
    options.n_threads = options.n_threads_batch = settings.threads
    options.flash_attn = settings.flash_attn
    options.cache_type = settings.cache_type
    return options


def never_ending(model: _core.Model) -> list[tuple[int, float]]:
    """A logit_bias that bans every eog token."""
    return [(token, float("-inf")) for token in range(model.n_vocab) if model.is_eog(token)]


# --- figures -------------------------------------------------------------------------------------------


def ratio_of_pairs(pairs: Iterable[tuple[float, float]]) -> float:
    """The median quotient of figures that were measured one right after the other."""
    return statistics.median(ours / theirs for ours, theirs in pairs)


def progress(text: str) -> None:
    """A line on stderr."""
    print(text, file=sys.stderr, flush=True)


def emit(result: dict[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """Prints the result: one JSON object, or lines for a person."""
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
        return
    for line in lines:
        print(line)


def guarded(main: Callable[[], None]) -> int:
    """Runs a script: exit code 0, or 1 with one line on stderr."""
    from aspd_local.errors import AspdError

    try:
        main()
    except (AspdError, PeerError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
