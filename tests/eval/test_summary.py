"""Figures from made answers."""

from __future__ import annotations

import pytest
from made import attempt, branches, outcome, results

from aspd_local.errors import DataError
from aspd_local.eval import Results, summarise
from aspd_local.eval.bootstrap import estimate, ratio
from aspd_local.eval.compare import compare
from aspd_local.eval.preference import preference, read_preference
from aspd_local.eval.summary import agreement

TEN = "one two three four five six seven eight nine ten."


def made_run() -> Results:
    forked = branches(("A", "one two three."), ("B", "one two three four five."))
    return results(
        [
            outcome("a1", "serial", attempt(TEN, 2.0), right=0.5, nats=20.0, n_judged=10),
            outcome(
                "a1",
                "parallel",
                attempt(TEN, 1.0, parts=forked, n_sampled=12),
                right=1.0,
                nats=10.0,
                n_judged=10,
            ),
            outcome("b1", "serial", attempt(TEN, 4.0)),
            outcome("b1", "parallel", attempt(f"{TEN} {TEN}", 4.0, finish_reason="length")),
            outcome("b2", "serial", attempt(TEN, 4.0)),
            outcome("b2", "parallel", attempt("", 1.0), preferred=0.0),
        ],
        "serial",
        "parallel",
    )


def test_speed_is_seconds_a_token_of_the_text() -> None:
    said = summarise(made_run())["contestants"]
    parallel = said["parallel"]
    assert parallel["speedup"]["mean"]["value"] == 2.0
    assert parallel["speedup_forked"]["median"]["value"] == 2.0
    assert parallel["speedup_by_category"] == {
        "a": {"value": 2.0, "low": 2.0, "high": 2.0},
        "b": {"value": 2.0, "low": 2.0, "high": 2.0},
    }
    assert (parallel["answers"], parallel["empty_answers"]) == (3, 1)
    assert said["serial"]["speedup"]["mean"]["value"] == 1.0
    assert said["serial"]["speedup_forked"]["mean"] is None
    assert parallel["seconds_per_word"]["value"] == pytest.approx(6 / 30)
    assert parallel["phases"]["trunk"] == pytest.approx(0.9)


def test_quality_is_compared_question_by_question() -> None:
    parallel = summarise(made_run())["contestants"]["parallel"]
    quality = parallel["quality"]
    assert quality["right"]["value"] == 1.0
    assert quality["right_against_serial"] == {
        "value": 0.5,
        "low": 0.5,
        "high": 0.5,
        "n": 1,
        "verdict": "better",
    }
    assert quality["nll"]["value"] == 1.0
    assert quality["nll_against_serial"]["verdict"] == "better"
    assert quality["faults"] == {"repetition": 0, "empty part": 0, "other title": 0, "cut": 1}
    assert quality["faults_against_serial"]["verdict"] == "no difference seen at this size"
    assert quality["preferred_to_serial"]["value"] == 0.0
    assert quality["equal_texts"] == 1
    assert parallel["parallel"]["ppd"]["value"] == pytest.approx(1 / 3, abs=1e-5)
    assert parallel["parallel"]["branches"]["value"] == 2
    assert parallel["parallel"]["degree"]["value"] == pytest.approx(8 / 12, abs=1e-5)
    assert parallel["finish"] == {"stop": 2, "length": 1}


def test_an_estimate_has_the_same_interval_at_every_call() -> None:
    values = [float(i) for i in range(50)]
    found = estimate(values)
    assert found == estimate(values)
    assert found is not None
    assert found.value == 24.5
    assert 19 < found.low < 22
    assert 27 < found.high < 30
    low = estimate(values, "p10")
    assert low is not None
    assert low.value == pytest.approx(4.9)
    assert estimate([]) is None
    share = ratio([1.0, 0.0], [2.0, 2.0])
    assert share is not None
    assert (share.value, share.low, share.high) == (0.25, 0.0, 0.5)
    assert ratio([1.0], [0.0]) is None


def test_agreement_is_of_shared_words() -> None:
    assert agreement("a b c", "C b a") == 1
    assert agreement("a b", "a c") == 0.5
    assert agreement("", "") == 1
    assert agreement("a", "") == 0


def test_two_runs_are_compared_where_they_have_the_same_questions() -> None:
    before = made_run()
    faster = [
        outcome(each.key, each.contestant, attempt(each.text, each.seconds / 2)) for each in before.outcomes
    ]
    found = compare(before, results(faster[:4], "serial", "parallel"))
    assert found["serial"]["n"] == found["serial"]["equal_texts"] == 2
    assert found["serial"]["time"]["value"] == 0.5
    assert found["serial"]["time"]["verdict"] == "differs"
    assert found["serial"]["faults"]["verdict"] == "no difference seen at this size"
    assert found["serial"]["right"] is None
    with pytest.raises(DataError, match="share no"):
        compare(before, results([outcome("z", "serial", attempt("a"))], "serial"))


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("Hm. VERDICT: A", "first"),
        ("VERDICT: A, no, **Verdict: B**", "second"),
        ("verdict: tie.", "tie"),
        ("B", "second"),
        ("A or B", "unclear"),
        ("", "unclear"),
    ],
)
def test_the_verdict_of_a_reply(reply: str, verdict: str) -> None:
    assert read_preference(reply) == verdict


def test_a_preference_is_asked_in_both_orders() -> None:
    asked: list[str] = []

    def likes_first(prompt: str, _n: int) -> list[str]:
        asked.append(prompt)
        return ["VERDICT: A"]

    assert preference(likes_first, "Why?", "one", "two") == 0.5
    assert asked[0].index("one\n") < asked[0].index("two\n")
    assert asked[1].index("two\n") < asked[1].index("one\n")
    assert (
        preference(lambda prompt, _: ["A" if "ANSWER A\none" in prompt else "B"], "Why?", "one", "two") == 1
    )
    assert preference(lambda *_: ["tie"], "Why?", "one", "two") == 0.5
    assert preference(lambda *_: ["?"], "Why?", "one", "two") is None
