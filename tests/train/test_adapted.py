"""A model by name that is made on first use: its base and an adapter, merged and quantised."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from training_records import stories, write_set

from aspd_local import Model
from aspd_local.errors import DiskFullError, HashMismatchError, ModelError, OfflineError
from aspd_local.sources import ADAPTED, DEFAULT_BASE, DEFAULT_MODEL, PACKAGED, Store, locate, resolve, verify
from aspd_local.sources import adapted as adapted_module
from aspd_local.sources.adapted import AdaptedModel, known_digest
from aspd_local.sources.inventory import inventory
from aspd_local.train import TrainConfig
from aspd_local.train.merging import export_adapter
from tiny.files import TinyModel

CONFIG = TrainConfig(epochs=1, tokens_per_step=64, row_tokens=128, rank=4, precision="f32", threads=1)


@pytest.fixture(scope="module")
def adapters(tiny_llama: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    from aspd_local.train import verb

    folder = tmp_path_factory.mktemp("adapters")
    verb.train(write_set(folder / "set.jsonl", stories(4)), tiny_llama.path, folder / "run", CONFIG)
    export_adapter(folder / "run", tiny_llama.path, folder / "tiny-aspd.gguf")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


@pytest.fixture
def tiny(
    adapters: Path, tiny_llama: TinyModel, store: Store, monkeypatch: pytest.MonkeyPatch
) -> AdaptedModel:
    """A model made of a tiny one, whose base is in the store already."""
    base = replace(PACKAGED[DEFAULT_BASE], name="tiny")
    store.models.mkdir(parents=True)
    shutil.copy(tiny_llama.path, store.path("tiny"))
    model = AdaptedModel(
        name="tiny-aspd",
        base=base,
        adapter_sha256=hashlib.sha256((adapters / "tiny-aspd.gguf").read_bytes()).hexdigest(),
        weights="Q8_0",
        head="Q8_0",
        size=100_000,
        licence="Apache-2.0",
        description="tiny",
        adapters=adapters,
    )
    monkeypatch.setattr("aspd_local.sources.ADAPTED", MappingProxyType({"tiny-aspd": model}))
    monkeypatch.setattr("aspd_local.sources.inventory.ADAPTED", MappingProxyType({"tiny-aspd": model}))
    return model


def test_it_is_made_once_and_runs_natively(tiny: AdaptedModel, store: Store) -> None:
    assert locate("tiny-aspd", store=store) is None
    with pytest.raises(OfflineError):
        resolve("tiny-aspd", store=store, offline=True)
    told: list[tuple[int, int | None, str]] = []
    path = resolve("tiny-aspd", store=store, progress=lambda *now: told.append(now))
    assert told[-1] == (tiny.size, tiny.size, "making tiny-aspd")
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    before = path.stat().st_mtime_ns
    assert resolve("tiny-aspd", store=store, offline=True) == path == locate("tiny-aspd", store=store)
    assert path.stat().st_mtime_ns == before
    assert sorted(each.name for each in store.files()) == sorted([path.name, "tiny.gguf"])
    with Model(path, n_ctx=256, profile="off") as model:
        assert model.protocol == "aspd"
        assert "Q8_0" in model.description


def test_its_bytes_are_remembered(tiny: AdaptedModel, store: Store) -> None:
    path = resolve("tiny-aspd", store=store)
    (checked,) = verify("tiny-aspd", store=store)
    assert (checked.known, checked.digest) == (True, known_digest(tiny, store))
    with path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    with pytest.raises(HashMismatchError):
        verify("tiny-aspd", store=store)
    path.with_suffix(".json").unlink()
    assert [each.known for each in verify("tiny-aspd", store=store)] == [False]


def test_another_adapter_makes_another_file_and_drops_the_old_one(
    tiny: AdaptedModel, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = resolve("tiny-aspd", store=store)
    newer = replace(tiny, adapter_sha256="f" * 64)
    monkeypatch.setattr("aspd_local.sources.ADAPTED", {"tiny-aspd": newer})
    new = resolve("tiny-aspd", store=store)
    assert new != old
    assert not old.exists()
    assert sorted(each.name for each in store.models.glob("tiny-aspd*")) == [
        f"{new.stem}.gguf",
        f"{new.stem}.json",
    ]


def test_what_a_failed_making_leaves_is_nothing(
    tiny: AdaptedModel, store: Store, adapters: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resolve("tiny-aspd", store=store, progress=stop)
    monkeypatch.setattr(
        adapted_module, "require_space", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
    )
    with pytest.raises(DiskFullError):
        resolve("tiny-aspd", store=store)
    monkeypatch.undo()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "tiny-aspd.gguf").write_bytes((adapters / "tiny-aspd.gguf").read_bytes()[:-100])
    with pytest.raises(ModelError):
        adapted_module.fetch(replace(tiny, adapters=broken), store, progress=lambda *_: None)
    assert [each.name for each in store.models.iterdir() if each.name != ".locks"] == ["tiny.gguf"]


def test_the_inventory_shows_it_before_it_is_made(tiny: AdaptedModel, store: Store) -> None:
    first = inventory(store, None)[0]
    assert (first.name, first.path, first.size_bytes) == ("tiny-aspd", None, tiny.size)
    path = resolve("tiny-aspd", store=store)
    first = inventory(store, None)[0]
    assert (first.path, first.size_bytes) == (path, tiny.size)


def test_the_shipped_adapters_are_those_that_are_named() -> None:
    assert DEFAULT_MODEL in ADAPTED
    for name, model in ADAPTED.items():
        data = (model.adapters / f"{name}.gguf").read_bytes()
        assert hashlib.sha256(data).hexdigest() == model.adapter_sha256
        assert len(data) <= 8_000_000
        assert model.base is PACKAGED[DEFAULT_BASE]
