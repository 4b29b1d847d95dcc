"""Names, the store, checksums, and what importing costs."""

from __future__ import annotations

import copy
import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from aspd_local import errors
from aspd_local.errors import DownloadError, HashMismatchError, ModelError, OfflineError
from aspd_local.sources import DEFAULT_BASE, PACKAGED, Store, locate, pull, resolve, verify
from aspd_local.sources.digest import digest_of, sha256_of
from aspd_local.sources.inventory import inventory


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


@pytest.fixture
def packaged_file(store: Store) -> Path:
    """A file where the default model would be, with other bytes."""
    store.models.mkdir(parents=True)
    path = store.path(DEFAULT_BASE)
    path.write_bytes(b"not the model")
    return path


def test_an_existing_path_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    assert resolve(path) == path
    assert resolve(str(path), offline=True) == path
    assert resolve("model.gguf") == Path("model.gguf")
    assert pull("model.gguf") == Path("model.gguf")


@pytest.mark.parametrize("name", ["absent.gguf", "/absent/file", "no-such-name", "", "http://host/x"])
def test_a_missing_file_is_a_model_error_that_lists_known_names(name: str, store: Store) -> None:
    with pytest.raises(ModelError, match=DEFAULT_BASE) as caught:
        resolve(name, store=store)
    assert caught.value.path == name


def test_a_folder_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a folder"):
        resolve(str(tmp_path))


def test_a_path_that_the_system_refuses_is_a_model_error() -> None:
    with pytest.raises(ModelError):
        resolve("x" * 10_000)


def test_a_file_that_cannot_be_read_is_a_model_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    path = tmp_path / "model.gguf"
    path.touch()
    monkeypatch.setattr("aspd_local.sources.sha256_of", refuse)
    with pytest.raises(ModelError, match="Permission denied"):
        verify(path)


def test_a_name_with_a_nul_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="malformed"):
        resolve("a\0b")


def test_a_path_object_is_never_a_name(store: Store) -> None:
    with pytest.raises(ModelError):
        resolve(Path(DEFAULT_BASE), store=store)


def test_a_folder_does_not_hide_a_packaged_name(
    tmp_path: Path, packaged_file: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / DEFAULT_BASE).mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve(DEFAULT_BASE, store=store) == packaged_file


def test_a_packaged_model_that_is_here_is_used(packaged_file: Path, store: Store) -> None:
    assert resolve(DEFAULT_BASE, store=store, offline=True) == packaged_file
    assert locate(DEFAULT_BASE, store=store) == packaged_file


def test_a_packaged_model_that_is_absent_is_an_offline_error_when_offline(store: Store) -> None:
    assert locate(DEFAULT_BASE, store=store) is None
    with pytest.raises(OfflineError) as caught:
        resolve(DEFAULT_BASE, store=store, offline=True)
    assert caught.value.source == DEFAULT_BASE


def test_verify_compares_a_packaged_model(packaged_file: Path, store: Store) -> None:
    with pytest.raises(HashMismatchError) as caught:
        verify(DEFAULT_BASE, store=store)
    assert caught.value.path == str(packaged_file)
    assert caught.value.expected == PACKAGED[DEFAULT_BASE].sha256
    assert caught.value.actual == hashlib.sha256(b"not the model").hexdigest()


def test_verify_of_a_file_of_ones_own_tells_its_checksum(packaged_file: Path) -> None:
    (checked,) = verify(packaged_file)
    assert not checked.known
    assert checked.digest == hashlib.sha256(b"not the model").hexdigest()


def test_verify_of_an_absent_model_is_an_offline_error(store: Store) -> None:
    with pytest.raises(OfflineError):
        verify(DEFAULT_BASE, store=store)


def test_the_inventory_lists_packaged_models_and_other_files(packaged_file: Path, store: Store) -> None:
    other = store.models / "other.gguf"
    other.write_bytes(b"other")
    (store.models / "half.gguf.incomplete").write_bytes(b"half")
    found = inventory(store, None)
    assert [(entry.name, entry.source, entry.path) for entry in found] == [
        ("smollm2-135m-aspd", "packaged", None),
        ("smollm2-135m", "packaged", packaged_file),
        ("qwen2.5-coder-1.5b", "packaged", None),
        (str(other), "cache", other),
    ]


def test_the_store_is_in_the_users_cache_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name, **_: str(tmp_path / name))
    assert Store().path("x") == tmp_path / "aspd-local" / "models" / "x.gguf"


def test_digests_are_those_of_sha256sum_and_of_git(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"hello\n")
    assert sha256_of(path) == "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    assert digest_of(path, "0" * 40) == "ce013625030ba8dba906f756967f9e9ca394464a"
    with pytest.raises(ValueError, match="not a checksum"):
        digest_of(path, "xyz")


ALL_ERRORS = [
    errors.AspdError("text"),
    errors.ModelError("text", "path"),
    errors.ContextFullError(5, 3),
    errors.CancelledError("text"),
    errors.DecodeError(-3, "text"),
    errors.EngineBusyError(),
    errors.ProtocolError("aspd", "text"),
    errors.DownloadError("source", "reason", ("a", "b")),
    errors.HashMismatchError("path", "expected", "actual", "source"),
    errors.OfflineError("source", "reason"),
    errors.DiskFullError("source", "path", 5),
]


@pytest.mark.parametrize("error", ALL_ERRORS, ids=lambda error: type(error).__name__)
def test_errors_survive_pickle_and_copy_with_their_fields(error: errors.AspdError) -> None:
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert vars(twin) == vars(error)
        assert str(twin) == str(error) == error.message


def test_download_errors_are_one_family() -> None:
    assert issubclass(DownloadError, errors.AspdError)
    for kind in (errors.HashMismatchError, errors.OfflineError, errors.DiskFullError):
        assert issubclass(kind, DownloadError)


def test_importing_sources_loads_no_network_library() -> None:
    code = (
        "import sys, aspd_local.sources\n"
        "heavy = {'huggingface_hub', 'httpx2', 'platformdirs', 'filelock', 'typer', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_hf_name_without_huggingface_hub_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['huggingface_hub'] = None\n"
        "from aspd_local import errors, sources\n"
        "try: sources.resolve('hf:acme/tiny:Q4_K_M')\n"
        "except errors.DownloadError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'huggingface-hub>=2'" in done.stdout
