"""The transfer of one file: interrupted, damaged, redirected, refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path

import pytest
from stand_in_hub import COMMIT, FILE, SIZE, StandInHub

from aspd_local.errors import DiskFullError, DownloadError, HashMismatchError
from aspd_local.sources import locate, resolve
from aspd_local.sources.hub import Hub
from aspd_local.sources.retry import Retry

NAME = "hf:acme/tiny-GGUF:q4_k_m"
POINTS = [1 + point * (SIZE - 2) // 19 for point in range(20)]
FETCH = "import sys; from aspd_local.sources import resolve; print(resolve(sys.argv[1]))"


def incomplete(cache: Path, stand_in: StandInHub) -> Path:
    return cache / "models--acme--tiny-GGUF" / "blobs" / f"{stand_in.digest(FILE)}.incomplete"


def blobs(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "models--acme--tiny-GGUF" / "blobs").iterdir())


def cut(stand_in: StandInHub, hub: Hub, point: int) -> None:
    """Fetches until the connection ends after `point` bytes."""
    stand_in.wrong.drop_after = [point]
    with pytest.raises(DownloadError, match="connection"):
        resolve(NAME, hub=hub)


def environment(stand_in: StandInHub, cache: Path) -> dict[str, str]:
    return {**os.environ, "HF_ENDPOINT": stand_in.url, "HF_HUB_CACHE": str(cache)}


@pytest.mark.parametrize("point", POINTS)
def test_after_a_cut_only_the_missing_bytes_are_fetched(
    stand_in: StandInHub, hub: Hub, cache: Path, content: bytes, point: int
) -> None:
    cut(stand_in, hub, point)
    assert incomplete(cache, stand_in).read_bytes() == content[:point]
    assert resolve(NAME, hub=hub).read_bytes() == content
    assert stand_in.sent == SIZE
    assert blobs(cache) == [stand_in.digest(FILE)]


def test_cuts_within_one_call_are_resumed(stand_in: StandInHub, patient_hub: Hub, content: bytes) -> None:
    stand_in.wrong.drop_after = [1000] * 10
    assert resolve(NAME, hub=patient_hub).read_bytes() == content
    assert stand_in.sent == SIZE


def test_a_server_that_sends_nothing_is_given_up(stand_in: StandInHub, patient_hub: Hub) -> None:
    stand_in.wrong.drop_after = [0] * 10
    with pytest.raises(DownloadError, match="connection"):
        resolve(NAME, hub=patient_hub)
    assert len(stand_in.wrong.drop_after) == 10 - 4


@pytest.mark.parametrize("point", [1, SIZE // 2, SIZE - 1])
def test_after_a_kill_only_the_missing_bytes_are_fetched(
    stand_in: StandInHub, hub: Hub, cache: Path, content: bytes, point: int
) -> None:
    stand_in.wrong.pause_after = point
    process = subprocess.Popen([sys.executable, "-c", FETCH, NAME], env=environment(stand_in, cache))
    part = incomplete(cache, stand_in)
    try:
        deadline = time.monotonic() + 15
        while not (part.exists() and part.stat().st_size == point) and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    sent = stand_in.sent
    assert (sent, part.stat().st_size) == (point, point)
    stand_in.reset_counts()
    assert resolve(NAME, hub=hub).read_bytes() == content
    ranges = [seen.headers.get("range") for seen in stand_in.requests_for_bytes()]
    assert ranges == [f"bytes={point}-"] * 2  # at the hub and behind its redirect


def test_an_interrupt_leaves_what_arrived(
    stand_in: StandInHub, hub: Hub, cache: Path, content: bytes
) -> None:
    def interrupt(done_bytes: int, *_: object) -> None:
        if done_bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resolve(NAME, hub=hub, progress=interrupt)
    kept = incomplete(cache, stand_in).read_bytes()
    assert kept
    assert content.startswith(kept)
    stand_in.reset_counts()
    assert resolve(NAME, hub=hub).read_bytes() == content
    assert stand_in.sent == SIZE - len(kept)


def test_progress_grows_from_what_is_here_to_the_whole(stand_in: StandInHub, hub: Hub) -> None:
    cut(stand_in, hub, 1000)
    told: list[tuple[int, int | None, str]] = []
    resolve(NAME, hub=hub, progress=lambda *said: told.append(said))
    assert told[0] == (1000, SIZE, FILE)
    assert told[-1] == (SIZE, SIZE, FILE)
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)


def test_a_server_that_ignores_ranges_sends_the_whole_again(
    stand_in: StandInHub, hub: Hub, content: bytes
) -> None:
    cut(stand_in, hub, 1000)
    stand_in.wrong.ignore_range = True
    assert resolve(NAME, hub=hub).read_bytes() == content
    assert stand_in.sent == 1000 + SIZE


def test_a_server_that_sends_another_range_is_asked_for_the_whole(
    stand_in: StandInHub, hub: Hub, content: bytes
) -> None:
    cut(stand_in, hub, 1000)
    stand_in.wrong.shift_range = 7
    assert resolve(NAME, hub=hub).read_bytes() == content


def test_an_etag_that_changed_between_two_calls_starts_again(
    stand_in: StandInHub, hub: Hub, content: bytes
) -> None:
    cut(stand_in, hub, 1000)
    stand_in.wrong.etag = "other"
    assert resolve(NAME, hub=hub).read_bytes() == content
    assert stand_in.requests_for_bytes()[-1].headers["if-range"] != '"other"'
    assert stand_in.sent == 1000 + SIZE


def test_an_etag_that_changed_starts_again_even_where_the_server_ignores_if_range(
    stand_in: StandInHub, hub: Hub, content: bytes
) -> None:
    cut(stand_in, hub, 1000)
    stand_in.wrong.etag = "other"
    stand_in.wrong.ignore_if_range = True
    assert resolve(NAME, hub=hub).read_bytes() == content
    assert "range" not in stand_in.requests_for_bytes()[-1].headers


def test_a_file_that_changed_on_the_hub_is_a_download_error(stand_in: StandInHub, hub: Hub) -> None:
    stand_in.wrong.linked_etag = "0" * 64
    with pytest.raises(DownloadError, match="changed on the server"):
        resolve(NAME, hub=hub)
    assert stand_in.sent == 0


def test_wrong_bytes_are_a_hash_mismatch_and_are_not_kept(
    stand_in: StandInHub, hub: Hub, cache: Path, content: bytes
) -> None:
    stand_in.wrong.body = content[:-1] + bytes([content[-1] ^ 1])
    with pytest.raises(HashMismatchError) as caught:
        resolve(NAME, hub=hub)
    assert caught.value.expected == stand_in.digest(FILE)
    assert caught.value.actual != caught.value.expected
    assert blobs(cache) == []
    stand_in.wrong.body = None
    assert resolve(NAME, hub=hub).read_bytes() == content


def test_wrong_bytes_kept_by_an_earlier_call_are_replaced(
    stand_in: StandInHub, hub: Hub, cache: Path, content: bytes
) -> None:
    cut(stand_in, hub, 1000)
    incomplete(cache, stand_in).write_bytes(b"x" * 1000)
    assert resolve(NAME, hub=hub).read_bytes() == content


def test_more_bytes_than_the_file_has_are_not_used(
    stand_in: StandInHub, hub: Hub, cache: Path, content: bytes
) -> None:
    kept = incomplete(cache, stand_in)
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"x" * (SIZE + 1))
    assert resolve(NAME, hub=hub).read_bytes() == content


@pytest.mark.parametrize("length", [0, SIZE - 1, SIZE + 1])
def test_a_wrong_length_that_the_server_says_is_refused_at_once(
    stand_in: StandInHub, hub: Hub, cache: Path, content: bytes, length: int
) -> None:
    stand_in.wrong.body = (content + b"x")[:length]
    with pytest.raises(DownloadError, match=f"wrong length: {SIZE} bytes expected, the server has {length}"):
        resolve(NAME, hub=hub)
    assert incomplete(cache, stand_in).read_bytes() == b""


@pytest.mark.parametrize("length", [0, SIZE - 1, SIZE + 1])
def test_a_wrong_length_that_shows_in_the_end_is_a_download_error(
    stand_in: StandInHub, patient_hub: Hub, content: bytes, length: int
) -> None:
    stand_in.wrong.body = (content + b"x")[:length]
    stand_in.wrong.say_length = False
    with pytest.raises(DownloadError):
        resolve(NAME, hub=patient_hub)
    assert locate(NAME, hub=patient_hub) is None
    stand_in.wrong.body = None
    assert resolve(NAME, hub=patient_hub).read_bytes() == content


@pytest.mark.parametrize(
    ("status", "said"), [(404, "not found"), (418, "HTTP 418"), (401, "HF_TOKEN"), (403, "HF_TOKEN")]
)
def test_a_refusal_is_a_download_error_and_not_repeated(
    stand_in: StandInHub, patient_hub: Hub, status: int, said: str
) -> None:
    stand_in.wrong.statuses = [status]
    stand_in.wrong.error_code = "GatedRepo"
    with pytest.raises(DownloadError, match=said):
        resolve(NAME, hub=patient_hub)
    assert len(stand_in.requests_for_bytes()) == 1


def test_a_server_that_fails_in_passing_is_asked_again(
    stand_in: StandInHub, patient_hub: Hub, content: bytes
) -> None:
    stand_in.wrong.statuses = [500, 503, 429]
    assert resolve(NAME, hub=patient_hub).read_bytes() == content


def test_a_server_that_keeps_failing_is_a_download_error(stand_in: StandInHub, patient_hub: Hub) -> None:
    stand_in.wrong.statuses = [500] * 4
    with pytest.raises(DownloadError, match="HTTP 500"):
        resolve(NAME, hub=patient_hub)
    assert stand_in.wrong.statuses == []


def test_the_token_never_leaves_the_hub(stand_in: StandInHub, cache: Path, content: bytes) -> None:
    hub = Hub(endpoint=stand_in.url, cache=cache, token="hf_secret", retry=Retry(limit=1, wait_s=0.0))
    stand_in.wrong.drop_after = [1000]
    assert resolve(NAME, hub=hub).read_bytes() == content
    at_hub = [seen for seen in stand_in.seen if seen.host == "hub"]
    elsewhere = [seen for seen in stand_in.seen if seen.host == "cdn"]
    assert (len(at_hub), len(elsewhere)) == (3, 2)
    assert all(seen.headers["authorization"] == "Bearer hf_secret" for seen in at_hub)
    assert all("hf_secret" not in str(seen) for seen in elsewhere)


def test_the_token_follows_a_redirect_within_the_hub(
    stand_in: StandInHub, cache: Path, content: bytes
) -> None:
    stand_in.renamed_from = "old/name"
    hub = Hub(endpoint=stand_in.url, cache=cache, token="hf_secret")
    assert resolve("hf:old/name:q4_k_m", hub=hub).read_bytes() == content
    assert all(("authorization" in seen.headers) == (seen.host == "hub") for seen in stand_in.seen)


def test_no_space_is_a_disk_full_error_before_any_byte_is_asked_for(
    stand_in: StandInHub, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(SIZE, 1, SIZE - 1))
    with pytest.raises(DiskFullError) as caught:
        resolve(NAME, hub=hub)
    assert caught.value.needed == SIZE
    assert stand_in.requests_for_bytes() == []


def test_a_disk_that_fills_up_is_a_disk_full_error_and_keeps_what_arrived(
    stand_in: StandInHub, hub: Hub, cache: Path, content: bytes
) -> None:
    limited = (
        "import resource, sys; from aspd_local import errors, sources\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: sources.resolve(sys.argv[1])\n"
        "except errors.DiskFullError as error: print(error.needed)"
    )
    command = [sys.executable, "-c", limited, NAME]
    env = environment(stand_in, cache)
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    assert int(done.stdout) == SIZE - 100_000
    assert incomplete(cache, stand_in).read_bytes() == content[:100_000]
    assert resolve(NAME, hub=hub).read_bytes() == content


def test_a_cache_that_cannot_be_written_is_a_download_error(stand_in: StandInHub, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(DownloadError, match="cannot write"):
        resolve(NAME, hub=Hub(endpoint=stand_in.url, cache=blocked / "cache"))


def test_two_processes_fetch_a_file_once(stand_in: StandInHub, cache: Path, content: bytes) -> None:
    def wait_for_the_other() -> None:
        deadline = time.monotonic() + 15
        while sum("/api/" in seen.path for seen in stand_in.seen) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)

    stand_in.wrong.before_body = wait_for_the_other
    command = [sys.executable, "-c", FETCH, NAME]
    both = [
        subprocess.Popen(command, env=environment(stand_in, cache), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = [process.communicate(timeout=30)[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert printed[0] == printed[1]
    assert Path(printed[0]).read_bytes() == content
    assert stand_in.sent == SIZE


def test_two_threads_fetch_a_file_once(stand_in: StandInHub, hub: Hub, content: bytes) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(resolve(NAME, hub=hub))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [path.read_bytes() == content for path in found] == [True] * 4
    assert stand_in.sent == SIZE


def test_huggingface_hubs_settings_are_honoured(stand_in: StandInHub, tmp_path: Path) -> None:
    settings = {"HF_ENDPOINT": stand_in.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "hf_secret"}
    env = {key: value for key, value in os.environ.items() if key != "HF_HUB_CACHE"} | settings
    command = [sys.executable, "-c", FETCH, NAME]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    path = tmp_path / "home" / "hub" / "models--acme--tiny-GGUF" / "snapshots" / COMMIT / FILE
    assert done.stdout.strip() == str(path)
    assert all(
        seen.headers["authorization"] == "Bearer hf_secret" for seen in stand_in.seen if seen.host == "hub"
    )
    stand_in.reset_counts()
    again = subprocess.run(
        command, env={**env, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=True
    )
    assert again.stdout.strip() == str(path)
    assert stand_in.seen == []
