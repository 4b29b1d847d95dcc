"""Models that this package makes from a packaged base and an adapter of its own, on first use.

A GGUF file of the base's weights and a small LoRA travel apart; here they become one quantised file in the
store.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from aspd_local.errors import DiskFullError, DownloadError
from aspd_local.sources import packaged
from aspd_local.sources.digest import sha256_of
from aspd_local.sources.packaged import PACKAGED, PackagedModel
from aspd_local.sources.progress import Progress
from aspd_local.sources.store import Store, is_disk_full, publish, require_space

if TYPE_CHECKING:
    from importlib.abc import Traversable

_log = logging.getLogger(__name__)
_MERGING = 0.3  # of the time; quantising is the rest


@dataclass(frozen=True, kw_only=True)
class AdaptedModel:
    """A base with an adapter merged into it.

    Attributes:
        name: what a person types.
        base: what was trained.
        adapter_sha256: of the adapter, hexadecimal.
        adapters: where the adapter is, as NAME.gguf.
        weights, head: types of the result, by ggml's names.
        size: bytes of the result, near enough for a list and for the room on the disk.
        licence: SPDX name.
        description: one line.
    """

    name: str
    base: PackagedModel
    adapter_sha256: str
    weights: str
    head: str
    size: int
    licence: str
    description: str
    adapters: Traversable = field(
        default_factory=lambda: resources.files("aspd_local") / "adapters", repr=False
    )

    def path(self, store: Store) -> Path:
        """Where it is, or would be: another adapter or base makes another file."""
        return store.path(f"{self.name}-{self.adapter_sha256[:8]}")


ADAPTED: Mapping[str, AdaptedModel] = MappingProxyType(
    {
        model.name: model
        for model in (
            AdaptedModel(
                name="smollm2-135m-aspd",
                base=PACKAGED["smollm2-135m"],
                adapter_sha256="6080d37e9a006a628b9bc804cb5f6cd40f2d3d2800ff20d6cadd7e9a31e73ee7",
                weights="Q8_0",
                head="Q8_0",
                size=144_811_808,
                licence="Apache-2.0",
                description="SmolLM2 135M Instruct, trained to fork by itself, Q8_0",
            ),
        )
    }
)
DEFAULT_MODEL = "smollm2-135m-aspd"


def fetch(model: AdaptedModel, store: Store, *, progress: Progress) -> Path:
    """Fetches the base if it is not there, merges, quantises, and returns the path of the result.

    Raises:
        DownloadError, HashMismatchError, DiskFullError: as packaged.fetch().
        ModelError: the adapter does not fit the base.
    """
    path = model.path(store)
    if path.is_file():
        return path
    base = packaged.fetch(model.base, store, progress=progress)
    try:
        with store.lock(model.name):
            if not path.is_file():
                _make(model, base, path, progress)
                _drop_older(model, store, path)
    except OSError as error:
        if is_disk_full(error):
            raise DiskFullError(model.name, str(store.models), 3 * model.size) from error
        raise DownloadError(model.name, f"cannot write {store.models}: {error}") from error
    return path


def known_digest(model: AdaptedModel, store: Store) -> str | None:
    """SHA-256 that the file had when it was made, hexadecimal: the bytes depend on the processor."""
    try:
        said = json.loads(_note(model.path(store)).read_text(encoding="utf-8"))
        return str(said["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def _make(model: AdaptedModel, base: Path, path: Path, progress: Progress) -> None:
    from aspd_local import _core

    require_space(model.name, path.parent, 3 * model.size)  # the merged file has 16 bits a weight
    folder = path.with_name(f".{path.stem}.making")
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    folder.mkdir()

    def telling(begin: float, end: float) -> Callable[[float], None]:
        def tell(done: float) -> None:
            share = begin + (end - begin) * done
            progress(round(share * model.size), model.size, f"making {model.name}")

        return tell

    telling(0, 1)(0)
    try:
        merged, made = folder / "merged.gguf", folder / "made.gguf"
        options = _core.QuantizeOptions()
        options.weights, options.head = model.weights, model.head
        with resources.as_file(model.adapters / f"{model.name}.gguf") as adapter_path:
            _core.merge(str(base), str(adapter_path), str(merged), telling(0, _MERGING))
        _core.quantize(str(merged), str(made), options, telling(_MERGING, 1))
        telling(0, 1)(1)
        _note(path).write_text(json.dumps({"sha256": sha256_of(made)}), encoding="utf-8")
        publish(made, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _drop_older(model: AdaptedModel, store: Store, path: Path) -> None:
    """What earlier versions of the package made under this name."""
    for other in store.models.glob(f"{model.name}-{'[0-9a-f]' * 8}.gguf"):
        if other != path:
            _log.info("removing %s, which an earlier version made", other)
            other.unlink(missing_ok=True)
            _note(other).unlink(missing_ok=True)
