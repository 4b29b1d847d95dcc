"""What models there are: those known by name, and what this machine has. Asks no one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from aspd_local.sources.adapted import ADAPTED, AdaptedModel
from aspd_local.sources.packaged import PACKAGED, PackagedModel
from aspd_local.sources.reference import parts_of
from aspd_local.sources.store import Store

if TYPE_CHECKING:
    from aspd_local.sources.hub import Hub


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model.

    Attributes:
        name: what a person types to get it.
        source: "packaged" (known by name, and made here from packages), "cache" (else in the user's cache)
            or "hub" (in the hub's cache).
        size_bytes: of all its files.
        path: its first file; None where it is not on this machine.
        licence: SPDX name; None where it is not known.
        description: one line; empty where there is none.
    """

    name: str
    source: Literal["packaged", "cache", "hub"]
    size_bytes: int
    path: Path | None
    licence: str | None = None
    description: str = ""


def inventory(store: Store, hub: Hub | None) -> list[Entry]:
    """All models: packaged ones first, then the rest of the user's cache, then the hub's cache.

    Args:
        store: the user's cache.
        hub: None leaves its cache out.
    """
    entries = []
    known = set()
    made: list[tuple[AdaptedModel | PackagedModel, Path]] = [(m, m.path(store)) for m in ADAPTED.values()]
    for model, path in [*made, *((model, store.path(model.name)) for model in PACKAGED.values())]:
        known.add(path)
        entries.append(
            Entry(
                name=model.name,
                source="packaged",
                size_bytes=model.size,
                path=path if path.is_file() else None,
                licence=model.licence,
                description=model.description,
            )
        )
    for path in store.files():
        if path not in known:
            entries.append(Entry(name=str(path), source="cache", size_bytes=path.stat().st_size, path=path))
    return entries + (_hub_entries(hub) if hub else [])


def _hub_entries(hub: Hub) -> list[Entry]:
    entries = []
    for name, path in hub.files():
        parts = [path.with_name(part) for part in parts_of(path.name)]
        if path == parts[0] and all(part.is_file() for part in parts):
            size = sum(part.stat().st_size for part in parts)
            entries.append(Entry(name=name, source="hub", size_bytes=size, path=path))
    return entries
