"""Evaluation: the same questions, answered serially and in parallel by the same weights on the same machine.

>>> results = run(EvalConfig(model="smollm2-135m-aspd", suite="vicuna"), Path("out"), silent)  # doctest:
+SKIP >>> summarise(results)["contestants"]["parallel"]["speedup"]["mean"]                            #
doctest: +SKIP {'value': 1.3, 'low': 1.2, 'high': 1.4}
"""

from __future__ import annotations

from aspd_local.eval.attempt import Attempt, Part
from aspd_local.eval.config import EvalConfig, JudgeConfig
from aspd_local.eval.faults import faults
from aspd_local.eval.results import Outcome, Results, read_results
from aspd_local.eval.runner import run
from aspd_local.eval.suites import Question, Suite, load
from aspd_local.eval.summary import summarise

__all__ = [
    "Attempt",
    "EvalConfig",
    "JudgeConfig",
    "Outcome",
    "Part",
    "Question",
    "Results",
    "Suite",
    "faults",
    "load",
    "read_results",
    "run",
    "summarise",
]
