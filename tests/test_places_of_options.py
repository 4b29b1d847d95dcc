"""An option of an answer has its place in options.py, typing.py, the server, the command line and the core.

Where one is missing from a layer, the reason stands here; a test names the file that lags behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import pytest

from aspd_local import _core
from aspd_local.cli.flags import AnswerFlags
from aspd_local.options import Options
from aspd_local.server.fields import WITHOUT_EFFECT, Body, StreamedExtension
from aspd_local.server.schemas import ChatBody
from aspd_local.typing import AnswerOptions

OPTIONS = {each.name for each in fields(Options)}


def public(value: object) -> set[str]:
    """The fields of an object of the core."""
    return {name for name in dir(value) if not name.startswith("_") and not callable(getattr(value, name))}


def heeded(body: type[Body]) -> set[str]:
    """The fields of a body that can change an answer."""
    return {name for name, told in body.model_fields.items() if WITHOUT_EFFECT not in told.metadata}


@dataclass(frozen=True)
class Place:
    """A layer.

    Attributes:
        file: where it says which options it has. names: those.
        known_as: how it calls an option, where it has a name of its own.
        lacks: options that it has not, and why. more: what it has besides, and why.
    """

    file: str
    names: set[str]
    known_as: Mapping[str, str] = field(default_factory=dict)
    lacks: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, str] = field(default_factory=dict)


_COMPARISONS = "for comparisons: a model was made for one of them"
_PROGRAMS = "for programs: on a command line there is no place to say or to see it"
PLACES = [
    Place(file="typing.py", names=set(AnswerOptions.__annotations__)),
    Place(
        file="server/schemas.py",
        names=heeded(ChatBody) | heeded(StreamedExtension),
        known_as={"json_schema": "response_format"},
        lacks={"timeout": "the server has limits of its own", "join_rule": _COMPARISONS},
        more={
            "aspd": "the object that has the options of this package",
            "model": "which model",
            "messages": "the question",
            "stream": "how the answer is sent",
            "stream_options": "how the answer is sent",
            "max_completion_tokens": "another name of max_tokens",
            "top_logprobs": "with logprobs, which is a flag there",
            "tool_choice": "becomes a grammar",
            "parallel_tool_calls": "becomes a stop string",
        },
    ),
    Place(
        file="cli/flags.py",
        names=set(AnswerFlags().options()),
        lacks={
            "logit_bias": _PROGRAMS,
            "json_schema": "--grammar takes a file; a schema has none yet",
            "logprobs": _PROGRAMS,
            "tools": _PROGRAMS,
            "n": "one question, one answer; /retry gives another",
            "timeout": "Ctrl-C",
            "max_branches": "a protocol's file limits its plans",
            "join_rule": _COMPARISONS,
        },
    ),
    Place(
        file="the core's Request and SamplingOptions",
        names=public(_core.Request()) | public(_core.SamplingOptions()),
        known_as={"parallel": "protocol", "plan": "plan_always", "logprobs": "n_logprobs"},
        lacks={
            "json_schema": "becomes a grammar",
            "tools": "are part of the prompt",
            "n": "so many requests",
            "timeout": "is looked at between steps",
            "join_rule": "a part of the protocol",
        },
        more={
            "prompt": "the question",
            "serial_prompt": "the question without instructions",
            "question": "the question as it was typed",
            "asked_parts": "found in the question",
            "plan_threshold": "of the protocol's file",
            "sampling": "the object that has the other options",
            "script": "forced tokens, for tests and benchmarks",
            "retain": "for tests and benchmarks",
            "penalty_last_n": "llama.cpp's default; Options offers DRY for longer repetitions",
        },
    ),
]


@pytest.mark.parametrize("place", PLACES, ids=lambda it: it.file)
def test_each_option_has_its_place(place: Place) -> None:
    called = {option: place.known_as.get(option, option) for option in OPTIONS - set(place.lacks)}
    behind = {option for option, name in called.items() if name not in place.names}
    assert not behind, f"{place.file} lags behind options.py: it has no {', '.join(sorted(behind))}"
    unknown = place.names - set(called.values()) - set(place.more)
    assert not unknown, f"options.py lags behind {place.file}: it has no {', '.join(sorted(unknown))}"


@pytest.mark.parametrize("place", PLACES, ids=lambda it: it.file)
def test_no_exception_is_out_of_date(place: Place) -> None:
    """What is said to be lacking is lacking, and what is said to be more is there."""
    assert set(place.lacks) | set(place.known_as) <= OPTIONS
    assert not set(place.lacks) & place.names
    assert set(place.more) <= place.names
    assert all(place.lacks.values())
    assert all(place.more.values())
