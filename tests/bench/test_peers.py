"""bench/peers.py, contenders.py and llama_server.py: which questions, what llama-server says, the summary."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import peers
import pytest
from comparison import PeerError
from contenders import Reading
from llama_server import LlamaServer, Reply, parse


def reading(n_words: int, n_tokens: int, decode_s: float, seconds: float) -> Reading:
    text = " ".join(["word"] * n_words)
    return Reading(text=text, n_tokens=n_tokens, decode_s=decode_s, seconds=seconds, detail={})


def test_figures_of_an_answer() -> None:
    assert reading(50, 80, 4.0, 5.0).figures() == {
        "tokens_per_s": 20.0,
        "seconds": 5.0,
        "seconds_per_100_words": 10.0,
    }


def test_an_answer_without_words_or_without_time_is_empty() -> None:
    assert reading(0, 80, 4.0, 5.0).is_empty
    assert reading(1, 0, 0.0, 5.0).is_empty
    assert not reading(1, 1, 0.1, 5.0).is_empty


def test_speed_above_one_is_faster_than_the_plain_server() -> None:
    base = [reading(100, 40, 4.0, 8.0), reading(100, 40, 4.0, 8.0)]
    fast = [reading(200, 40, 2.0, 4.0), reading(100, 40, 2.0, 4.0)]
    summary = {entry["name"]: entry for entry in peers.summarise({"engine": fast, peers.BASELINE: base})}
    assert summary["engine"]["speed"] == {"tokens_per_s": 2.0, "seconds": 2.0, "seconds_per_100_words": 3.0}
    assert set(summary[peers.BASELINE]["speed"].values()) == {1.0}


def test_questions_are_spread_over_the_labelled_ones() -> None:
    asked = [str(number) for number in range(10)]
    assert peers.choose(asked, {"1", "3", "5", "7"}, 2) == ["1", "5"]
    assert peers.choose(asked, None, 100) == asked


def test_no_labelled_question_is_an_error() -> None:
    with pytest.raises(ValueError, match="labelled"):
        peers.choose(["a"], {"b"}, 8)


def test_labels_are_read_with_their_quotes(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text('label;request\n1;Why?\n0;Who?\n1;"How; and ""when""?"\n', encoding="utf-8")
    assert peers.read_labels(path) == {"Why?", 'How; and "when"?'}


def test_a_file_without_labels_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(ValueError, match="label;request"):
        peers.read_labels(path)


def test_kinds_of_speculation_are_checked() -> None:
    assert peers.speculation("ngram-mod,ngram-simple,ngram-mod") == ["ngram-mod", "ngram-simple"]
    assert peers.speculation("none") == []
    with pytest.raises(argparse.ArgumentTypeError, match="ngram-cache"):
        peers.speculation("ngram")


REPLY: dict[str, Any] = {
    "choices": [{"finish_reason": "stop", "index": 0, "message": {"role": "assistant", "content": "Red."}}],
    "timings": {"prompt_n": 9, "predicted_n": 3, "predicted_ms": 150.0},
}


def test_the_server_s_timings_are_read() -> None:
    assert parse(REPLY) == Reply(text="Red.", n_tokens=3, decode_s=0.15, drafted=0, accepted=0)
    drafting = REPLY | {"timings": REPLY["timings"] | {"draft_n": 48, "draft_n_accepted": 2}}
    assert parse(drafting).drafted == 48
    assert parse(drafting).accepted == 2


@pytest.mark.parametrize("reply", [{}, {"timings": REPLY["timings"], "choices": []}, {"error": "busy"}])
def test_an_unexpected_reply_is_an_error(reply: dict[str, Any]) -> None:
    with pytest.raises(PeerError, match="llama-server"):
        parse(reply)


def test_a_server_that_ends_at_once_is_an_error_with_its_last_line() -> None:
    with pytest.raises(PeerError, match=r"exit code 3: no such model"):
        LlamaServer(["sh", "-c", "echo loading; echo no such model >&2; exit 3"])
