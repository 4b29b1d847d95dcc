"""What the answers of a run amount to: built from results.jsonl alone. Figures are defined in
docs/eval.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aspd_local.eval.bootstrap import Estimate, Statistic, estimate, ratio
from aspd_local.eval.config import SERIAL
from aspd_local.eval.faults import KINDS, faults
from aspd_local.eval.results import Outcome, Results

_STATISTICS: tuple[Statistic, ...] = ("mean", "median", "p10", "p90")
PHASES = ("prompt", "trunk", "plan", "branches", "join")
Json = dict[str, Any]


def summarise(results: Results) -> Json:
    """summary.json: for each contestant speed, quality and structure, each figure with its 95 % interval."""
    serial = results.of(SERIAL)
    return {
        "suite": results.said["suite"],
        "model": results.said["model"],
        "machine": results.said["machine"],
        "config": results.said["config"],
        "n_questions": len(serial),
        "contestants": {name: _contestant(results.of(name), serial) for name in results.contestants},
    }


def speedups(own: dict[str, Outcome], serial: dict[str, Outcome]) -> dict[str, float]:
    """By question: seconds a token of serial text / seconds a token of this text; empty answers have none."""
    found = {}
    for key, outcome in own.items():
        base = serial[key]
        if outcome.n_text_tokens and base.n_text_tokens:
            found[key] = (base.seconds / base.n_text_tokens) / (outcome.seconds / outcome.n_text_tokens)
    return found


def _contestant(own: dict[str, Outcome], serial: dict[str, Outcome]) -> Json:
    outcomes = list(own.values())
    attempts = [attempt for outcome in outcomes for attempt in outcome.attempts]
    by_question = speedups(own, serial)
    forked = {key for key, outcome in own.items() if outcome.forked}
    categories = sorted({outcome.category for outcome in outcomes})
    total = sum(outcome.seconds for outcome in outcomes)
    return {
        "answers": len(outcomes),
        "empty_answers": sum(not outcome.n_text_tokens for outcome in outcomes),
        "speedup": _spread(by_question.values()),
        "speedup_forked": _spread(by_question[key] for key in by_question if key in forked),
        "speedup_by_category": {
            category: _json(estimate([s for key, s in by_question.items() if own[key].category == category]))
            for category in categories
        },
        "seconds_per_answer": _spread(outcome.seconds for outcome in outcomes),
        "seconds_per_word": _json(
            ratio([each.seconds for each in outcomes], [float(each.n_words) for each in outcomes])
        ),
        "first_token_s": _spread(attempt.first_token_s for attempt in attempts),
        "tokens_per_step": _json(
            ratio(
                [float(each.n_text_tokens) for each in attempts if each.steps],
                [float(each.steps) for each in attempts if each.steps],
            )
        ),
        "critical_path": _json(
            ratio(
                [float(each.critical_path) for each in attempts],
                [float(each.n_text_tokens) for each in attempts],
            )
        ),
        "phases": {
            phase: round(sum(each.phases.get(phase, 0.0) for each in attempts) / total, 4) if total else 0.0
            for phase in PHASES
        },
        "quality": _quality(own, serial),
        "parallel": _parallel(own),
        "finish": dict(Counter(attempt.finish_reason for attempt in attempts)),
        "fallbacks": dict(Counter(attempt.fallback for attempt in attempts if attempt.fallback)),
    }


def _quality(own: dict[str, Outcome], serial: dict[str, Outcome]) -> Json:
    """Of serial answers themselves nothing is said against them."""
    faulty = {key: _faults(outcome) for key, outcome in own.items()}
    base = {key: _faults(outcome) for key, outcome in serial.items()}
    counted = Counter(kind for kinds in faulty.values() for kind in kinds)
    more = [float(len(faulty[key]) - len(base[key])) for key in own if own != serial]
    right = _paired(own, serial, lambda outcome: outcome.right)
    likely = _paired(own, serial, _nats_per_token)
    preferred = [outcome.preferred for outcome in own.values() if outcome.preferred is not None]
    return {
        "right": _json(estimate([o.right for o in own.values() if o.right is not None])),
        "right_against_serial": _compared(right, higher_is_better=True),
        "nll": _json(
            ratio(
                [o.nats for o in own.values() if o.nats is not None],
                [float(o.n_judged) for o in own.values() if o.nats is not None],
            )
        ),
        "nll_against_serial": _compared(likely, higher_is_better=False),
        "faults": {kind: counted[kind] for kind in KINDS},
        "faults_total": sum(counted.values()),
        "faulty_answers": sum(bool(kinds) for kinds in faulty.values()),
        "faults_against_serial": _compared(more, higher_is_better=False),
        "agreement": _json(estimate([agreement(own[key].text, serial[key].text) for key in own])),
        "equal_texts": sum(own[key].text == serial[key].text for key in own),
        "preferred_to_serial": _json(estimate(preferred)),
    }


def _faults(outcome: Outcome) -> tuple[str, ...]:
    return tuple(kind for attempt in outcome.attempts for kind in faults(attempt))


def _nats_per_token(outcome: Outcome) -> float | None:
    return outcome.nats / outcome.n_judged if outcome.nats is not None and outcome.n_judged else None


def _paired(
    own: dict[str, Outcome], serial: dict[str, Outcome], figure: Callable[[Outcome], float | None]
) -> list[float]:
    """This figure less that of the serial answer, for questions where both have one."""
    if own == serial:
        return []
    found = []
    for key, outcome in own.items():
        here, there = figure(outcome), figure(serial[key])
        if here is not None and there is not None:
            found.append(here - there)
    return found


def _compared(differences: Sequence[float], *, higher_is_better: bool) -> Json | None:
    """A mean difference with its interval, and in words what can be said of it."""
    found = estimate(differences)
    if found is None:
        return None
    if found.low <= 0 <= found.high:
        verdict = "no difference seen at this size"
    else:
        verdict = "better" if (found.value > 0) == higher_is_better else "worse"
    return {**found.to_json(), "n": len(differences), "verdict": verdict}


def agreement(text: str, other: str) -> float:
    """F1 of the words that two texts share, 0 to 1."""
    one, two = Counter(text.casefold().split()), Counter(other.casefold().split())
    shared = (one & two).total()
    return 2 * shared / (one.total() + two.total()) if one or two else 1.0


def _parallel(own: dict[str, Outcome]) -> Json:
    """The paper's figures (arXiv 2508.08895, section 4), over answers instead of data."""
    outcomes = list(own.values())
    attempts = [attempt for outcome in outcomes for attempt in outcome.attempts]
    forked = [attempt for attempt in attempts if attempt.parts]
    in_branches = [float(sum(part.n_tokens for part in attempt.parts)) for attempt in forked]
    return {
        "ppd": _json(estimate([float(outcome.forked) for outcome in outcomes])),
        "branches": _json(
            ratio([float(len(a.parts)) for a in forked], [float(len(a.blocks)) for a in forked])
        ),
        "degree": _json(ratio(in_branches, [float(attempt.n_sampled) for attempt in forked])),
        "efficiency": _json(
            ratio([float(a.n_text_tokens) for a in forked], [float(a.n_sampled) for a in forked])
        ),
    }


def _spread(values: Iterable[float]) -> Json:
    kept = list(values)
    return {statistic: _json(estimate(kept, statistic)) for statistic in _STATISTICS}


def _json(found: Estimate | None) -> dict[str, float] | None:
    return None if found is None else found.to_json()
