"""What the bodies of all requests share: how a field is read, and the fields that every way to ask has.

A field is served, or it is marked as one that cannot change the answer (WITHOUT_EFFECT), or it is refused by
its name: none is ignored in silence. A field that is null is absent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
    model_validator,
)

from aspd_local import protocol

MOST_TOKENS = 2**31 - 1
Number = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, StringConstraints(max_length=256)]
MOST_DEEP = 64  # levels of an object whose fields are the client's own


def _shallow(said: dict[str, Any]) -> dict[str, Any]:
    level: list[Any] = [said]
    for _ in range(MOST_DEEP):
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
        if not level:
            return said
    raise ValueError(f"nested more than {MOST_DEEP} deep")


Object = Annotated[dict[str, Any], AfterValidator(_shallow)]


def _of_the_package(said: str) -> str:
    """A name, never a path: which files the server reads is not for a client to say."""
    if said not in ("auto", "off", *(known := protocol.names())):
        raise ValueError(f"must be 'auto', 'off' or a protocol ({', '.join(known)}), not {said!r}")
    return said


Text = Annotated[str, StringConstraints(min_length=1)]
Stop = Text | Annotated[list[Text], Field(max_length=16)] | None
Count = Annotated[StrictInt, Field(ge=1, le=MOST_TOKENS)]


class _WithoutEffect:
    """Marks a field that is accepted and cannot change the answer. `aspd serve --strict` refuses it."""


WITHOUT_EFFECT = _WithoutEffect()
Unheeded = Annotated[Any, WITHOUT_EFFECT]


class Body(BaseModel):
    """Of any request, and of its parts."""

    model_config = ConfigDict(extra="forbid", strict=False, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, said: Any) -> Any:
        return (
            {key: value for key, value in said.items() if value is not None}
            if isinstance(said, dict)
            else said
        )


def without_effect(body: Body, place: str = "") -> Iterator[str]:
    """The names of those fields in a body, and in its parts, that change nothing."""
    for name in sorted(body.model_fields_set):
        here = f"{place}.{name}" if place else name
        if WITHOUT_EFFECT in type(body).model_fields[name].metadata:
            yield here
            continue
        value = getattr(body, name)
        if isinstance(value, Body):
            yield from without_effect(value, here)
        elif isinstance(value, list):
            for i, each in enumerate(value):
                if isinstance(each, Body):
                    yield from without_effect(each, f"{here}.{i}")


class Extension(Body):
    """What other servers do not have; as in aspd_local.options.Options."""

    parallel: Annotated[Name, AfterValidator(_of_the_package)] = "auto"
    plan: Literal["auto", "always"] = "auto"
    max_branches: Annotated[StrictInt, Field(ge=1, le=16)] = 16
    draft_check: Literal["none", "lead", "cut", "exact"] = "none"


class StreamedExtension(Extension):
    """stream "live": chunks carry the events of branches as they happen."""

    stream: Literal["reading", "live"] = "reading"


class StreamOptions(Body):
    """include_usage: a last chunk without choices says how many tokens it took."""

    include_usage: StrictBool = False
    include_obfuscation: Unheeded = None


class Asked(Body):
    """What all ways to ask share, under the names of OpenAI and of llama.cpp."""

    model: Name | None = None
    stream: StrictBool | None = None
    temperature: Annotated[Number, Field(ge=0, le=100)] | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    top_k: Annotated[StrictInt, Field(ge=0, le=MOST_TOKENS)] | None = None
    min_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    repeat_penalty: Annotated[Number, Field(gt=0, le=10)] | None = None
    presence_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    dry_multiplier: Annotated[Number, Field(ge=0, le=100)] | None = None
    dry_base: Annotated[Number, Field(ge=1, le=100)] | None = None
    dry_allowed_length: Annotated[StrictInt, Field(ge=0, le=MOST_TOKENS)] | None = None
    dry_penalty_last_n: Annotated[StrictInt, Field(ge=-1, le=MOST_TOKENS)] | None = None
    dry_sequence_breakers: (
        Annotated[list[Annotated[str, StringConstraints(max_length=40)]], Field(max_length=64)] | None
    ) = None
    xtc_probability: Annotated[Number, Field(ge=0, le=1)] | None = None
    xtc_threshold: Annotated[Number, Field(ge=0, le=1)] | None = None
    loop_guard: StrictBool | None = None
    logit_bias: (
        Annotated[dict[Name, Annotated[Number, Field(ge=-100, le=100)]], Field(max_length=1024)] | None
    ) = None
    seed: Annotated[StrictInt, Field(ge=-(2**63), lt=2**64)] | None = None
    stop: Stop = None
    grammar: Annotated[str, StringConstraints(max_length=1 << 16)] | None = None
    aspd: Extension | None = None

    user: Unheeded = None
    metadata: Annotated[Object | None, WITHOUT_EFFECT] = None
    store: Unheeded = None
    service_tier: Unheeded = None
    safety_identifier: Unheeded = None
    prompt_cache_key: Unheeded = None
    prompt_cache_retention: Unheeded = None
    prompt_cache_options: Unheeded = None
    cache_prompt: Unheeded = None  # of llama-server


class Sampling(Asked):
    """What chats and plain prompts share."""

    stream_options: StreamOptions | None = None
    n: Annotated[StrictInt, Field(ge=1, le=8)] | None = None
    max_tokens: Count | None = None
    aspd: StreamedExtension | None = None
