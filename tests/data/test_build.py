"""The stages over a file: order, bad lines, killed runs, workers, the splits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_scorer import FakeScorer

from aspd_local import DataError
from aspd_local.data import Config, Thresholds, plain_text
from aspd_local.data.build import How, Models, build
from aspd_local.data.checkpoint import Target
from aspd_local.data.record import Record, from_line

WORDS = "has a text of its own that is long enough for a part"
CONFIG = Config()
SCORED = Config(scorer="fake", thresholds=Thresholds(scorer="fake", gain=2.0, join=0.5))


def row(i: int, middle: str = "") -> dict[str, str]:
    answer = f"Answer {i}:\n\n- **Aa** {WORDS}\n- **Bb** {WORDS} {middle}\n- **Cc** {WORDS}\n\nDone."
    return {"prompt": f"Question {i}?", "answer": answer}


def serial(i: int) -> dict[str, str]:
    return {"prompt": f"Question {i}?", "answer": f"Just {i}."}


def records(path: Path) -> list[Record]:
    return [from_line(line) for line in path.read_bytes().splitlines()]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def test_one_example_for_each_answer_in_their_order(write: Callable[..., Path], out: Path) -> None:
    summary = build(write(row(1), serial(2), row(3)), Target(path=out), CONFIG)
    found = records(out)
    assert [record.prompt for record in found] == ["Question 1?", "Question 2?", "Question 3?"]
    assert [len(record.blocks) for record in found] == [1, 0, 1]
    assert [branch.title for branch in found[0].blocks[0].branches] == ["Aa", "Bb", "Cc"]
    assert all(plain_text(record.structure) == record.answer for record in found)
    assert (summary.n_examples, summary.n_parallel) == (3, 2)


def test_bad_lines_are_reported_and_counted(write: Callable[..., Path], out: Path) -> None:
    summary = build(write(b"{", row(1), b"", {"prompt": "a"}, row(2)), Target(path=out), CONFIG)
    assert summary.shown == [(1, "not JSON"), (4, "no answer")]
    assert dict(summary.bad) == {"not JSON": 1, "no answer": 1}
    assert len(records(out)) == 2


def test_only_bad_lines_is_an_error_and_no_file(write: Callable[..., Path], out: Path) -> None:
    with pytest.raises(DataError, match=r"no line holds an example \(2 not JSON\)"):
        build(write(b"{", b"}"), Target(path=out), CONFIG)
    assert not out.exists()


def test_chats_are_written_as_messages(write: Callable[..., Path], out: Path) -> None:
    turns = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": row(1)["answer"]}]
    build(write({"messages": turns}), Target(path=out), CONFIG)
    fields = json.loads(out.read_bytes())
    assert fields["messages"] == turns[:1]
    assert "prompt" not in fields


def test_lines_carry_version_configuration_and_decisions(write: Callable[..., Path], out: Path) -> None:
    build(write(row(1)), Target(path=out), CONFIG)
    fields = json.loads(out.read_bytes())
    assert fields["pipeline"] == CONFIG.to_dict()
    assert fields["pipeline"]["version"] == 2
    assert fields["decisions"] == [{"outcome": "kept", "kind": "bulleted", "n_branches": 3, "begin": 11}]
    assert list(fields)[:3] == ["prompt", "answer", "structure"]


# --- the likelihood test --------------------------------------------------------------------------


def test_scorer_decides(write: Callable[..., Path], out: Path, fake_scorer: FakeScorer) -> None:
    answers = write(row(1), row(2, "DEPENDS"), row(3))
    summary = build(answers, Target(path=out), SCORED, models=Models(scorer=fake_scorer))
    found = records(out)
    assert [len(record.blocks) for record in found] == [1, 0, 1]
    assert summary.rejected == {("likelihood", "siblings help"): 1}
    (decision,) = found[1].decisions
    assert (decision.stage, decision.reason, decision.evidence) == ("likelihood", "siblings help", "7.000")
    assert found[1].scores == (
        {"begin": 11, "gain": 7.0, "uncontrolled": 7.0, "mean_gain": 3.5, "join": 0.0},
    )
    assert found[0].counts.unit == "tokens"


def test_foreign_siblings_come_from_other_prompts(
    write: Callable[..., Path], out: Path, fake_scorer: FakeScorer
) -> None:
    rows = [row(i, f"mark{i}") for i in range(8)]
    build(write(*rows), Target(path=out), SCORED, models=Models(scorer=fake_scorer))
    chosen = set()
    for i, (_, _, foreign) in enumerate(fake_scorer.asked):
        assert f"mark{i}" not in "".join(foreign)
        assert "mark" in "".join(foreign)
        chosen.add(foreign)
    assert len(chosen) > 2


def test_too_long_to_score_is_serial(write: Callable[..., Path], out: Path, fake_scorer: FakeScorer) -> None:
    long = row(1)
    long["answer"] = long["answer"].replace("long enough", "long enough " * 40)
    config = Config(max_tokens=64, scorer="fake", thresholds=SCORED.thresholds)
    build(write(long), Target(path=out), config, models=Models(scorer=fake_scorer))
    (record,) = records(out)
    assert record.blocks == ()
    assert record.decisions[0].reason == "too long to score"


# --- the same bytes -------------------------------------------------------------------------------


@pytest.fixture
def mixed(write: Callable[..., Path]) -> Path:
    rows = [row(i) if i % 3 else serial(i) for i in range(150)]
    return write(*rows[:50], b"bad", *rows[50:])


def test_any_number_of_workers_gives_the_same_bytes(mixed: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    one = build(mixed, Target(path=first), CONFIG)
    two = build(mixed, Target(path=second), CONFIG, how=How(workers=2))
    assert first.read_bytes() == second.read_bytes()
    assert one == two


def test_another_seed_gives_other_splits_of_the_same_examples(mixed: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    build(mixed, Target(path=first), Config(seed=0, valid=0.3, test=0.3))
    build(mixed, Target(path=second), Config(seed=1, valid=0.3, test=0.3))
    a, b = records(first), records(second)
    assert [each.answer for each in a] == [each.answer for each in b]
    assert [each.split for each in a] != [each.split for each in b]
    assert {each.split for each in a} == {"train", "valid", "test"}


def test_equal_prompts_share_a_split(write: Callable[..., Path], out: Path) -> None:
    rows = [{"prompt": "Same?", "answer": f"Answer {i}."} for i in range(30)]
    build(write(*rows), Target(path=out), Config(valid=0.5, test=0.3))
    assert len({record.split for record in records(out)}) == 1


class Killed(BaseException):
    """As Ctrl-C comes: between any two things."""


@pytest.mark.parametrize("at", [1, 2, 37])
def test_interrupted_run_goes_on_and_ends_with_the_same_bytes(
    mixed: Path, tmp_path: Path, fake_scorer: FakeScorer, at: int
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    build(mixed, Target(path=whole), SCORED, models=Models(scorer=fake_scorer))

    class Mortal(FakeScorer):
        def score(self, *args: object, **more: object) -> None:
            if len(self.asked) == at:
                raise Killed
            return super().score(*args, **more)  # type: ignore[arg-type, return-value]

    with pytest.raises(Killed):
        build(mixed, Target(path=out), SCORED, models=Models(scorer=Mortal()))
    assert not out.exists()
    again = FakeScorer()
    summary = build(mixed, Target(path=out), SCORED, models=Models(scorer=again))
    assert summary.resumed > 0
    assert len(again.asked) == len(fake_scorer.asked) - at
    assert out.read_bytes() == whole.read_bytes()


PROGRAM = """
import sys, time
from pathlib import Path
from aspd_local.data import Config
from aspd_local.data.build import How, build
from aspd_local.data.checkpoint import Target
build(Path(sys.argv[1]), Target(path=Path(sys.argv[2])), Config(), how=How(progress=lambda *_:
time.sleep(0.01)))
"""


def test_killed_process_goes_on_and_ends_with_the_same_bytes(mixed: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    build(mixed, Target(path=whole), CONFIG)
    part = tmp_path / "out.part"
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(mixed), str(out)]) as process:
        while not part.exists() or part.stat().st_size < 20_000:
            assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
    summary = build(mixed, Target(path=out), CONFIG)
    assert 0 < summary.resumed < 150
    assert out.read_bytes() == whole.read_bytes()


def test_changed_input_does_not_go_on(mixed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "out.part").write_bytes(b"{}\n")
    (tmp_path / "out.part.json").write_text("{}")
    with pytest.raises(ValueError, match="other settings"):
        build(mixed, Target(path=out), CONFIG)


def test_progress_ends_with_all_bytes(mixed: Path, out: Path) -> None:
    told: list[tuple[str, int, int]] = []
    build(mixed, Target(path=out), CONFIG, how=How(progress=lambda *step: told.append(step)))
    assert told[-1] == ("building", mixed.stat().st_size, mixed.stat().st_size)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_limit_reads_so_many_lines(mixed: Path, out: Path) -> None:
    build(mixed, Target(path=out), CONFIG, how=How(limit=10))
    assert len(records(out)) == 10
