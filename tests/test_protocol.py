"""Protocol files: what they must state, and that what models are shown keeps to it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest

from aspd_local import protocol
from aspd_local.errors import ProtocolError
from aspd_local.protocol import Example, Prompt

Raw = dict[str, Any]


def raw(name: str) -> Raw:
    text = (resources.files("aspd_local") / "protocols" / f"{name}.json").read_text(encoding="utf-8")
    found: Raw = json.loads(text)
    return found


def test_the_packages_protocols_load() -> None:
    assert protocol.names() == ("aspd", "intrinsic", "prompted")
    for name in protocol.names():
        assert protocol.load(name).name == name


def set_at(*path: str, to: Any) -> Callable[[Raw], None]:
    def change(file: Raw) -> None:
        *parents, last = path
        for key in parents:
            file = file[key]
        file[last] = to

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda file: file.pop("plan"), "plan", id="no plan"),
        pytest.param(set_at("markers", to="loud"), "markers", id="unknown markers"),
        pytest.param(set_at("join", "rule", to="best"), "join.rule", id="unknown rule"),
        pytest.param(set_at("colour", to=1), "colour", id="unknown field"),
        pytest.param(set_at("prompt", "plan_threshold", to=1.5), "prompt.plan_threshold", id="above one"),
        pytest.param(set_at("listing", "plan_threshold", to=-1), "listing.plan_threshold", id="negative"),
        pytest.param(set_at("prompt", "plan_threshold", to="often"), "often", id="no number"),
        pytest.param(set_at("prompt", "examples", to=[{"user": "?"}]), "assistant", id="half an example"),
    ],
)
def test_a_malformed_file_is_refused_and_named(change: Callable[[Raw], None], said: str) -> None:
    file = raw("prompted")
    change(file)
    with pytest.raises(ProtocolError, match="malformed") as caught:
        protocol.parse(json.dumps(file), "prompted")
    assert said in str(caught.value)


def test_no_threshold_means_that_the_decision_is_sampled() -> None:
    file = raw("prompted")
    del file["prompt"]["plan_threshold"]
    told = protocol.parse(json.dumps(file), "prompted").prompt
    assert told is not None
    assert told.plan_threshold == 0


def told_of_prompted() -> list[Prompt]:
    file = protocol.load("prompted")
    assert file.prompt is not None
    assert file.listing is not None
    return [file.prompt, file.listing]


EXAMPLES = [example for told in told_of_prompted() for example in told.examples]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda it: it.user[:30])
def test_what_a_model_is_shown_keeps_to_the_rules(example: Example) -> None:
    plan = protocol.load("prompted").plan
    shown = re.fullmatch(r"<plan>\n(.*\n)</plan>\n(.*)", example.assistant, re.DOTALL)
    if shown is None:
        assert "<" not in example.assistant
        return
    titles = shown[1].splitlines()
    assert plan["min_items"] <= len(titles) <= plan["max_items"]
    assert len({title.lower() for title in titles}) == len(titles)
    assert all(0 < len(title.split()) <= plan["max_words"] for title in titles)
    assert all(len(title.encode()) <= plan["max_bytes"] for title in titles)
    assert not any(title[0] in "-*+#>|0123456789" for title in titles)
    parts = re.findall(r'<part title="([^"]*)">\n(.+?)\n</part>', shown[2], re.DOTALL)
    assert [title for title, _ in parts] == titles
    assert shown[2].count("<part") == shown[2].count("</part>") == len(titles)


def test_examples_of_both_kinds_are_shown() -> None:
    for told in told_of_prompted():
        with_plan = ["<plan>" in example.assistant for example in told.examples]
        assert 0 < sum(with_plan) < len(with_plan)
