"""The prompts of the default model's training are this project's own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROMPTS = ROOT / "training" / "prompts.jsonl"
VICUNA = ROOT.parent / "shared" / "data" / "vicuna_bench_question.jsonl"
COMMON = frozenset(
    re.findall(
        r"[a-z]+",
        "a an and are be can do does for from give how i in is it me my of on one some that the to what "
        "which who why with you your",
    )
)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower())) - COMMON


def test_prompts_are_those_that_the_script_writes() -> None:
    script = ROOT / "training" / "write_prompts.py"
    written = subprocess.run([sys.executable, str(script)], check=True, capture_output=True).stdout
    assert written == PROMPTS.read_bytes()


def test_no_prompt_is_a_question_of_the_vicuna_bench() -> None:
    if not VICUNA.exists():
        pytest.skip("the questions are not here")
    prompts = [
        _words(json.loads(line)["prompt"]) for line in PROMPTS.read_text(encoding="utf-8").splitlines()
    ]
    for line in VICUNA.read_text(encoding="utf-8").splitlines():
        question = _words(json.loads(line)["turns"][0])
        assert all(len(question & prompt) <= 0.45 * len(question | prompt) for prompt in prompts), line
