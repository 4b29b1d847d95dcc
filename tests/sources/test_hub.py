"""Fetching from a hub: what arrives, where it is kept, what is asked of whom."""

from __future__ import annotations

import logging
from pathlib import Path

import huggingface_hub
import pytest
from stand_in_hub import COMMIT, FILE, StandInHub

from aspd_local.errors import DownloadError, HashMismatchError, OfflineError
from aspd_local.sources import locate, pull, resolve, resolve_pattern, verify
from aspd_local.sources.hub import Hub
from aspd_local.sources.inventory import inventory
from aspd_local.sources.store import Store

NAME = "hf:acme/tiny-GGUF:q4_k_m"


def test_a_fetched_file_has_the_bytes_of_the_hub(hub: Hub, content: bytes) -> None:
    assert resolve(NAME, hub=hub).read_bytes() == content


def test_the_cache_has_the_layout_that_huggingface_hub_reads(
    stand_in: StandInHub, hub: Hub, cache: Path
) -> None:
    path = resolve(NAME, hub=hub)
    folder = cache / "models--acme--tiny-GGUF"
    assert path == folder / "snapshots" / COMMIT / FILE
    assert path.readlink() == Path("../../blobs") / stand_in.digest(FILE)
    assert (folder / "refs" / "main").read_text() == COMMIT
    assert [file.name for file in (folder / "blobs").iterdir()] == [stand_in.digest(FILE)]
    assert huggingface_hub.try_to_load_from_cache("acme/tiny-GGUF", FILE, cache_dir=cache) == str(path)
    scanned = huggingface_hub.scan_cache_dir(cache)
    assert not scanned.warnings
    assert [repo.repo_id for repo in scanned.repos] == ["acme/tiny-GGUF"]


def test_a_file_fetched_by_huggingface_hub_is_found_without_a_request(
    stand_in: StandInHub, hub: Hub, cache: Path
) -> None:
    theirs = huggingface_hub.hf_hub_download("acme/tiny-GGUF", FILE, cache_dir=cache, endpoint=stand_in.url)
    stand_in.reset_counts()
    assert resolve(NAME, hub=hub) == Path(theirs)
    assert stand_in.seen == []


def test_a_cached_file_is_used_without_any_request(stand_in: StandInHub, hub: Hub) -> None:
    path = resolve(NAME, hub=hub)
    stand_in.reset_counts()
    assert resolve(NAME, hub=hub) == path
    assert resolve(NAME, hub=hub, offline=True) == path
    assert resolve(f"hf:acme/tiny-GGUF/{FILE}@{COMMIT}", hub=hub, offline=True) == path
    assert locate(NAME, hub=hub) == path
    assert stand_in.seen == []


def test_offline_without_the_file_is_an_offline_error(stand_in: StandInHub, hub: Hub) -> None:
    with pytest.raises(OfflineError) as caught:
        resolve(NAME, hub=hub, offline=True)
    assert caught.value.source == NAME
    assert stand_in.seen == []


def test_huggingface_hubs_offline_switch_is_honoured(
    stand_in: StandInHub, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(OfflineError, match="HF_HUB_OFFLINE"):
        resolve(NAME, hub=hub)
    assert stand_in.seen == []


def test_pull_follows_a_branch_that_moved(stand_in: StandInHub, hub: Hub) -> None:
    old = resolve(NAME, hub=hub)
    stand_in.files[FILE] = b"a new version"
    stand_in.revisions["main"] = "d" * 40
    assert resolve(NAME, hub=hub) == old
    new = pull(NAME, hub=hub)
    assert new.read_bytes() == b"a new version"
    assert resolve(NAME, hub=hub) == new
    assert resolve(f"{NAME}@{COMMIT}", hub=hub) == old


def test_pull_without_a_network_uses_the_file_that_is_here(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with StandInHub({FILE: content}) as server:
        hub = Hub(endpoint=server.url, cache=tmp_path)
        path = resolve(NAME, hub=hub)
    huggingface_hub.close_session()
    with caplog.at_level(logging.WARNING):
        assert pull(NAME, hub=hub) == path
    assert "cannot reach" in caplog.text


def test_no_network_and_no_file_is_a_download_error(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"cannot reach http://127\.0\.0\.1:9"):
        resolve(NAME, hub=Hub(endpoint="http://127.0.0.1:9", cache=tmp_path))


def test_a_file_with_the_same_bytes_in_a_new_commit_is_not_fetched_again(
    stand_in: StandInHub, hub: Hub
) -> None:
    resolve(NAME, hub=hub)
    stand_in.revisions["main"] = "d" * 40
    stand_in.reset_counts()
    assert pull(NAME, hub=hub).parent.name == "d" * 40
    assert stand_in.requests_for_bytes() == []


def test_a_small_file_kept_in_git_is_checked_by_gits_hash(stand_in: StandInHub, hub: Hub) -> None:
    stand_in.files["small.gguf"] = b"small"
    stand_in.plain = ("small.gguf",)
    path = resolve("hf:acme/tiny-GGUF/small.gguf", hub=hub)
    assert path.read_bytes() == b"small"
    assert path.readlink().name == stand_in.digest("small.gguf")


def test_all_parts_of_a_split_model_are_fetched_and_the_first_returned(
    stand_in: StandInHub, hub: Hub
) -> None:
    parts = [f"big/Big-Q8_0-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    stand_in.files.update({part: part.encode() * 1000 for part in parts})
    told: list[tuple[int, int | None, str]] = []
    path = resolve("hf:acme/tiny-GGUF:Q8_0", hub=hub, progress=lambda *said: told.append(said))
    assert path.name == "Big-Q8_0-00001-of-00003.gguf"
    assert [path.with_name(part.split("/")[1]).read_bytes() for part in parts] == [
        stand_in.files[part] for part in parts
    ]
    total = sum(len(stand_in.files[part]) for part in parts)
    assert told[-1] == (total, total, f"{parts[2]} (3 of 3)")
    assert len(verify("hf:acme/tiny-GGUF:Q8_0", hub=hub)) == 3


def test_a_split_model_that_is_half_in_the_cache_is_not_taken_for_whole(
    stand_in: StandInHub, hub: Hub
) -> None:
    parts = [f"Big-Q8_0-0000{number}-of-00002.gguf" for number in (1, 2)]
    stand_in.files.update({part: part.encode() * 1000 for part in parts})
    stand_in.wrong.drop_after = [len(stand_in.files[parts[0]]), 10]
    with pytest.raises(DownloadError):
        resolve("hf:acme/tiny-GGUF:Q8_0", hub=hub)
    assert locate(f"hf:acme/tiny-GGUF/{parts[0]}@{COMMIT}", hub=hub) is None
    assert resolve("hf:acme/tiny-GGUF:Q8_0", hub=hub).name == parts[0]
    assert stand_in.sent == sum(len(stand_in.files[part]) for part in parts)


def test_a_split_model_without_all_parts_on_the_hub_is_refused(stand_in: StandInHub, hub: Hub) -> None:
    stand_in.files["Big-Q8_0-00001-of-00002.gguf"] = b"first"
    with pytest.raises(DownloadError, match="a part is missing in the repository: Big-Q8_0-00002"):
        resolve("hf:acme/tiny-GGUF:Q8_0", hub=hub)


def test_an_ambiguous_tag_lists_the_candidates(stand_in: StandInHub, hub: Hub) -> None:
    stand_in.files["Other-Q4_K_M.gguf"] = b"other"
    with pytest.raises(DownloadError) as caught:
        resolve(NAME, hub=hub)
    assert caught.value.candidates == ("Other-Q4_K_M.gguf", FILE)


def test_a_tag_that_is_not_there_lists_what_is(hub: Hub) -> None:
    with pytest.raises(DownloadError) as caught:
        resolve("hf:acme/tiny-GGUF:Q2_K", hub=hub)
    assert caught.value.candidates == (FILE,)


def test_a_repository_with_one_model_needs_no_tag(hub: Hub) -> None:
    assert resolve("hf:acme/tiny-GGUF", hub=hub).name == FILE


def test_file_names_that_leave_their_folder_are_never_written(
    stand_in: StandInHub, hub: Hub, tmp_path: Path
) -> None:
    stand_in.files = {"../../../evil-Q4_K_M.gguf": b"evil"}
    with pytest.raises(DownloadError):
        resolve(NAME, hub=hub)
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("commit", ["../../x", "", "main"])
def test_a_commit_that_is_none_is_refused(stand_in: StandInHub, hub: Hub, commit: str) -> None:
    stand_in.revisions["main"] = commit
    with pytest.raises(DownloadError, match="does not answer as a hub does"):
        resolve(NAME, hub=hub)


def test_a_server_that_is_no_hub_is_a_download_error(stand_in: StandInHub, cache: Path) -> None:
    with pytest.raises(DownloadError):
        resolve(NAME, hub=Hub(endpoint=f"{stand_in.cdn_url}/bytes", cache=cache))


@pytest.mark.parametrize(
    ("name", "said"),
    [("hf:acme/absent:Q4_K_M", "no such repository"), (f"{NAME}@absent", "no revision 'absent'")],
)
def test_what_the_hub_does_not_have_is_a_download_error(hub: Hub, name: str, said: str) -> None:
    with pytest.raises(DownloadError, match=said):
        resolve(name, hub=hub)


def test_a_listing_that_fails_in_passing_is_asked_for_again(stand_in: StandInHub, patient_hub: Hub) -> None:
    stand_in.wrong.listing_statuses = [500, 503, 429]
    assert resolve(NAME, hub=patient_hub).name == FILE


def test_a_listing_that_keeps_failing_is_a_download_error(stand_in: StandInHub, patient_hub: Hub) -> None:
    stand_in.wrong.listing_statuses = [500] * 4
    with pytest.raises(DownloadError, match="HTTP 500"):
        resolve(NAME, hub=patient_hub)
    assert len(stand_in.seen) == 4


@pytest.mark.parametrize(("status", "code"), [(401, "GatedRepo"), (403, "GatedRepo"), (401, "")])
def test_a_listing_that_needs_a_token_says_so(stand_in: StandInHub, hub: Hub, status: int, code: str) -> None:
    stand_in.wrong.listing_statuses = [status]
    stand_in.wrong.error_code = code
    with pytest.raises(DownloadError, match="HF_TOKEN"):
        resolve(NAME, hub=hub)


def test_links_that_the_file_system_does_not_have_are_replaced_by_the_file(
    stand_in: StandInHub, cache: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_SYMLINKS", True)
    hub = Hub(endpoint=stand_in.url, cache=cache)
    path = resolve(NAME, hub=hub)
    assert not path.is_symlink()
    assert path.read_bytes() == content
    assert not verify(NAME, hub=hub)[0].known


def test_a_pattern_finds_its_file(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aspd_local.sources._default_hub", lambda _: hub)
    path = resolve_pattern("acme/tiny-GGUF", "*q4_k_m.gguf")
    assert path.name == FILE
    assert resolve_pattern("acme/tiny-GGUF", FILE, offline=True) == path


@pytest.mark.parametrize(
    ("repo", "file"), [("acme", "x.gguf"), ("a/b", ""), ("a/b", "x.gguf@y"), ("a/b", "../x.gguf")]
)
def test_a_malformed_pattern_is_a_value_error(repo: str, file: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        resolve_pattern(repo, file)


def test_verify_finds_a_changed_byte(stand_in: StandInHub, hub: Hub, content: bytes) -> None:
    path = resolve(NAME, hub=hub)
    assert verify(NAME, hub=hub)[0].known
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(HashMismatchError) as caught:
        verify(NAME, hub=hub)
    assert (caught.value.path, caught.value.expected) == (str(path), stand_in.digest(FILE))


def test_the_inventory_names_each_model_of_the_cache_once(
    stand_in: StandInHub, hub: Hub, tmp_path: Path
) -> None:
    stand_in.files.update({f"Big-Q8_0-0000{number}-of-00002.gguf": b"part" for number in (1, 2)})
    resolve(NAME, hub=hub)
    resolve("hf:acme/tiny-GGUF:Q8_0", hub=hub)
    found = [entry for entry in inventory(Store(tmp_path / "store"), hub) if entry.source == "hub"]
    assert [(entry.name, entry.size_bytes) for entry in found] == [
        ("hf:acme/tiny-GGUF/Big-Q8_0-00001-of-00002.gguf", 8),
        (f"hf:acme/tiny-GGUF/{FILE}", len(stand_in.files[FILE])),
    ]
    assert all(locate(entry.name, hub=hub) == entry.path for entry in found)
