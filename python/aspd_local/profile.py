"""What a decode step costs on this machine, by its width: measured once, kept in the user's cache.

A profile belongs to one model, device, number of threads and build; one of another is never used. Knows the
engine's measuring calls, not how steps are scheduled by them: that is the core's.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aspd_local import _core
from aspd_local.sources.store import Store, write_whole

_log = logging.getLogger(__name__)

_PROMPT_TOKENS = 64
_SEED_TOKENS = 8.0  # of a branch, where the title is not known yet
_ENDS = 1 << 20  # bytes at both ends of a file that tell models apart
_FAR_FASTER = 1.5  # times: steps that are so are no chance
_UNSTEADY = 1.5  # times: the slowest step of a point against its fastest
BUSY = "what decode steps cost was measured while something else kept the machine busy"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Extent:
    """What is measured.

    Attributes:
        widths: in lanes, 1 among them. depths: in cells.
        n_steps: decode steps in a row. n_rounds: how often all widths get their turn, so that a slow moment
            does not hit one width alone. Each point is the median of n_steps x n_rounds steps.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    n_steps: int
    n_rounds: int = 1


THOROUGH = Extent(widths=tuple(range(1, 17)), depths=(256, 1536), n_steps=3, n_rounds=3)
# A first use should not wait long: few widths, a shallow context.
SHORT = Extent(widths=(1, 2, 3, 4, 5, 6, 8), depths=(64,), n_steps=2, n_rounds=2)


@dataclass(frozen=True, kw_only=True)
class Point:
    """A decode step of `width` lanes with `depth` cells in use: its median time in seconds."""

    width: int
    depth: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Key:
    """What a profile belongs to.

    Attributes:
        model: sha256 of the file's size and of its first and last MiB: sizes, types and metadata.
        device: processor and GPUs.
        n_threads, n_threads_batch: of one-lane steps, of wider ones.
        settings: flash attention, type of the cache, layers on the GPU, whether weights may be repacked.
        build: of the engine.
    """

    model: str
    device: str
    n_threads: int
    n_threads_batch: int
    settings: str
    build: str


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Measured steps.

    Attributes:
        points: each depth has the same widths.
        prompt_token_s: seconds of a prompt's token.
        repacked: the weights were, as far as llama.cpp can for this processor; the better way where the key
            leaves it open.
        steady: equal steps took about the same time; else something else kept the machine busy.
    """

    key: Key
    points: tuple[Point, ...]
    prompt_token_s: float
    repacked: bool = True
    steady: bool = True

    def curve(self) -> _core.WidthCurve:
        """As the engine takes it."""
        points = [_core.WidthPoint(point.width, point.depth, point.seconds) for point in self.points]
        return _core.WidthCurve(points, self.prompt_token_s)

    def widths(self) -> tuple[int, ...]:
        """The measured widths, ascending."""
        return tuple(sorted({point.width for point in self.points}))

    def depths(self) -> tuple[int, ...]:
        """The measured depths, ascending."""
        return tuple(sorted({point.depth for point in self.points}))

    def bargains(self) -> tuple[int, ...]:
        """Widths above 1 that cost less a lane than every narrower one, at the lowest depth."""
        curve, depth = self.curve(), self.depths()[0]
        least = curve.seconds(1, depth)
        found = []
        for width in self.widths()[1:]:
            if (each := curve.seconds(width, depth) / width) < 0.98 * least:
                found.append(width)
                least = each
        return tuple(found)

    def speedup(self, n_branches: int, *, depth: int | None = None) -> float:
        """Speed-up of a block of equal branches, as scheduled, over writing them one after the other."""
        curve = self.curve()
        block = _core.BlockForecast()
        block.n_branches, block.body_tokens = n_branches, 1.0
        block.most, block.depth = max(self.widths()), self.depths()[0] if depth is None else depth
        return _core.predicted_gain(curve, block)

    def best_gain(self, protocol: _core.Protocol, n_lanes: int) -> float:
        """The largest speed-up predicted for a block of this protocol, of any number of branches.

        n_lanes: widest step of the engine.
        """
        block = _core.BlockForecast()
        block.seed_tokens, block.body_tokens = _SEED_TOKENS, protocol.branch_tokens
        block.decoded_again = protocol.decodes_again
        block.most, block.depth = n_lanes, self.depths()[0]
        curve, gains = self.curve(), [1.0]
        for n_branches in range(2, protocol.plan.max_items + 1):
            block.n_branches = n_branches
            gains.append(_core.predicted_gain(curve, block))
        return max(gains)

    def is_refuted_by(self, one_lane_s: float) -> bool:
        """Whether one-lane steps are far faster than was measured: the machine was busy then.

        one_lane_s: median seconds of such steps; what their depth changes is less than that.
        """
        return 0 < one_lane_s * _FAR_FASTER < self.curve().seconds(1, self.depths()[0])

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def key_of(path: Path, options: _core.EngineOptions, *, n_gpu_layers: int, repack: str) -> Key:
    """What a profile of an engine with these options would belong to.

    options: as they are given to an engine, or as it has filled them in.

    Raises OSError: the file cannot be read.
    """
    settings = f"flash_attn {options.flash_attn}, cache {options.cache_type}, gpu layers {n_gpu_layers}"
    settings += f", repack {repack}"
    n_threads = options.n_threads or _core.physical_cores()
    return Key(
        model=_model_hash(path),
        device=", ".join([processor(), *_core.gpu_devices()]),
        n_threads=n_threads,
        n_threads_batch=options.n_threads_batch or max(n_threads, _core.physical_cores()),
        settings=settings,
        build=_core.build_info(),
    )


def measure(
    key: Key,
    engine: _core.Engine,
    extent: Extent = THOROUGH,
    progress: Progress | None = None,
    *,
    repacked: bool = True,
) -> Profile:
    """Measures an idle engine; its retained answers may be given up.

    Args:
        extent: its widths are at most n_lanes.
        progress: called with (points done, points in all).
        repacked: how the engine's model was loaded.

    Raises:
        ValueError: a width or depth out of range, an engine at work, a model that cannot join branches.
        ContextFullError: a depth and the steps behind it do not fit the context.
        DecodeError: llama.cpp could not compute a step.
    """
    if 1 not in extent.widths:
        raise ValueError("the widths must contain 1")
    seconds: dict[tuple[int, int], list[float]] = {}
    done, total = 0, len(extent.widths) * len(extent.depths) * extent.n_rounds
    n_tokens = min(_PROMPT_TOKENS, engine.options.n_batch)
    try:
        prompt_s = statistics.median(engine.measure_prompt(n_tokens) for _ in range(2))
        for depth in sorted(extent.depths):  # the prefix stays in the cache as long as the depth stays
            for _ in range(extent.n_rounds):
                for width in sorted(extent.widths):
                    seconds.setdefault((width, depth), []).extend(
                        engine.measure_step(width, depth, extent.n_steps)
                    )
                    done += 1
                    if progress is not None:
                        progress(done, total)
    finally:
        engine.clear_retained()
    points = [
        Point(width=width, depth=depth, seconds=statistics.median(times))
        for (width, depth), times in seconds.items()
    ]
    spread = statistics.median(max(times) / min(times) for times in seconds.values())
    return Profile(
        key=key,
        points=tuple(points),
        prompt_token_s=prompt_s / n_tokens,
        repacked=repacked,
        steady=spread < _UNSTEADY,
    )


def load(key: Key, store: Store | None = None) -> Profile | None:
    """The profile that is kept for this key; None if there is none, or it is damaged or another's."""
    path = None
    try:
        path = _path(key, store)
        raw = json.loads(path.read_text(encoding="utf-8"))
        found = Profile(
            key=Key(**raw["key"]),
            points=tuple(Point(**point) for point in raw["points"]),
            prompt_token_s=float(raw["prompt_token_s"]),
            repacked=bool(raw["repacked"]),
        )
        found.curve()  # is it one?
    except (FileNotFoundError, NotADirectoryError):  # the latter for a user without a home
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("the profile %s cannot be used and is measured anew: %s", path, error)
        return None
    return found if found.key == key else None


def save(profile: Profile, store: Store | None = None) -> Path:
    """Keeps a profile, in the place of an older one of the same key. Raises OSError."""
    path = _path(profile.key, store)
    write_whole(path, (json.dumps(profile.to_dict(), indent=1) + "\n").encode())
    return path


def forget(profile: Profile, store: Store | None = None) -> None:
    """Keeps a profile no longer; one that has taken its place stays. Raises OSError."""
    if load(profile.key, store) == profile:
        _path(profile.key, store).unlink(missing_ok=True)


def _path(key: Key, store: Store | None) -> Path:
    name = hashlib.sha256(json.dumps(asdict(key), sort_keys=True).encode()).hexdigest()[:32]
    return (store or Store()).root / "profiles" / f"{name}.json"


def _model_hash(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_ENDS))
        file.seek(max(0, size - _ENDS))
        digest.update(file.read(_ENDS))
    return digest.hexdigest()


def processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
