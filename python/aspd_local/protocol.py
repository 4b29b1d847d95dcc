"""Protocols: how a model announces, opens and closes branches. A protocol is a file in `protocols/`.

Reads the files, finds their markers in a vocabulary, and says which protocol fits a model. Knows nothing of
engines and chats; the state machine that acts on a protocol is in the core.

A model that is not found by its tokens' spelling can name them in its GGUF metadata:
    aspd.protocol              string, name of a protocol file
    aspd.marker.<name>         uint32, token id of the marker, for each name in the file's "vocabulary"
    aspd.join_rule             string, optional: overrides the file's join rule
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

from aspd_local import _core
from aspd_local.errors import ProtocolError
from aspd_local.layout import JOIN_RULES, JoinRule

_PROTOCOL_KEY = "aspd.protocol"
_MARKER_KEY = "aspd.marker."
_JOIN_RULE_KEY = "aspd.join_rule"

MarkerKind = Literal["control", "text", "lists"]
PLAIN = "lists"  # of these markers the answers are ordinary text


@dataclass(frozen=True, kw_only=True)
class Example:
    """One turn that shows a model the protocol."""

    user: str
    assistant: str


@dataclass(frozen=True)
class Prompt:
    """What a model is told of a protocol: a system text, and turns that show it.

    plan_threshold: where the answer would begin with a plan at least as likely as this, it does. 0: the
    model's first token is sampled, and so the decision.
    """

    system: str
    examples: tuple[Example, ...]
    plan_threshold: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ProtocolFile:
    """A protocol as its file states it. Strings that begin with "@" name a marker of `vocabulary`.

    Attributes:
        markers: "control" and "text": the model writes plans (vocabulary, plan); "lists": its own lists are
            taken apart (lists).
        prompt: what a model is told; None: it needs no telling.
        listing: the same for questions that list their parts (aspd_local.asked).
    """

    name: str
    markers: MarkerKind
    vocabulary: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    lists: Mapping[str, Any] = field(default_factory=dict)
    branch_seed: tuple[str, ...] = ()
    branch_close: str = ""
    branch_tokens: int = 40
    join_seed: tuple[str, ...] = ()
    join_rule: JoinRule = "longest"
    ends_with_block: bool = False
    banned: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    max_blocks: int = 16
    text_before: str = ""
    strip_body: bool = False
    prompt: Prompt | None = None
    listing: Prompt | None = None


def names() -> tuple[str, ...]:
    """Names of the protocols that come with the package."""
    folder = resources.files("aspd_local") / "protocols"
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".json")))


@cache
def load(name: str) -> ProtocolFile:
    """Reads a protocol of the package.

    Raises:
        ValueError: no protocol has this name.
        ProtocolError: the file is malformed.
    """
    if name not in names():
        raise ValueError(f"unknown protocol {name!r}; known are {', '.join(names())}")
    text = (resources.files("aspd_local") / "protocols" / f"{name}.json").read_text(encoding="utf-8")
    return parse(text, name)


def parse(text: str, name: str) -> ProtocolFile:
    """The protocol that a file's text states. Raises ProtocolError, saying what is wrong."""
    try:
        raw = json.loads(text)
        join = raw["join"]
        if raw["markers"] not in get_args(MarkerKind):
            raise ValueError(f"markers must be one of {get_args(MarkerKind)}")
        if join["rule"] not in JOIN_RULES:
            raise ValueError(f"join.rule must be one of {JOIN_RULES}")
        known = {
            "name",
            "source",
            "markers",
            "vocabulary",
            "plan",
            "lists",
            "branch",
            "join",
            "banned",
            "max_blocks",
            "text",
            "prompt",
            "listing",
        }
        if unknown := sorted(set(raw) - known):
            raise ValueError(f"unknown fields {unknown}")
        return ProtocolFile(
            name=raw["name"],
            markers=raw["markers"],
            vocabulary={key: tuple(spellings) for key, spellings in raw.get("vocabulary", {}).items()},
            plan=raw["plan"] if raw["markers"] != PLAIN else {},
            lists=raw["lists"] if raw["markers"] == PLAIN else {},
            branch_seed=tuple(raw["branch"].get("seed", ())),
            branch_close=raw["branch"].get("close", ""),
            branch_tokens=raw["branch"]["tokens"],
            join_seed=tuple(join.get("seed", ())),
            join_rule=join["rule"],
            ends_with_block=join.get("ends_answer", False),
            banned={state: tuple(markers) for state, markers in raw.get("banned", {}).items()},
            max_blocks=raw.get("max_blocks", 16),
            text_before=raw.get("text", {}).get("before", ""),
            strip_body=raw.get("text", {}).get("strip_body", False),
            prompt=_prompt(raw, "prompt"),
            listing=_prompt(raw, "listing"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(name, f"protocol {name!r}: malformed file: {error}") from error


def _prompt(raw: Mapping[str, Any], name: str) -> Prompt | None:
    if name not in raw:
        return None
    told = raw[name]
    threshold = float(told.get("plan_threshold", 0))
    if not 0 <= threshold <= 1:
        raise ValueError(f"{name}.plan_threshold must be between 0 and 1")
    return Prompt(told["system"], tuple(Example(**turn) for turn in told.get("examples", [])), threshold)


def marker_ids(file: ProtocolFile, model: _core.Model) -> dict[str, int]:
    """Token ids of the markers of `vocabulary`, by metadata or by spelling.

    Raises:
        ProtocolError: a marker is absent from the vocabulary, or is not a CONTROL token.
    """
    metadata = model.metadata()
    ids: dict[str, int] = {}
    for name, spellings in file.vocabulary.items():
        token = _named_id(file.name, metadata, name, model.n_vocab)
        if token is None:
            found = (model.find_token(spelling) for spelling in spellings)
            token = next((token for token in found if token is not None), None)
        if token is None:
            raise ProtocolError(
                file.name,
                f"protocol {file.name!r}: the vocabulary has no marker {name} ({' or '.join(spellings)})",
            )
        if not model.is_control(token):
            raise ProtocolError(
                file.name,
                f"protocol {file.name!r}: the marker {name} (token {token}) is not a CONTROL token: "
                "a user could type it",
            )
        ids[name] = token
    if len(set(ids.values())) < len(ids):
        raise ProtocolError(file.name, f"protocol {file.name!r}: two markers share a token id")
    return ids


def _named_id(protocol: str, metadata: Mapping[str, str], name: str, n_vocab: int) -> int | None:
    if metadata.get(_PROTOCOL_KEY) != protocol or (text := metadata.get(_MARKER_KEY + name)) is None:
        return None
    if not text.isdecimal() or int(text) >= n_vocab:
        raise ProtocolError(protocol, f"protocol {protocol!r}: {_MARKER_KEY}{name} is no token id: {text!r}")
    return int(text)


def bind(file: ProtocolFile, model: _core.Model, *, join_rule: JoinRule | None = None) -> _core.Protocol:
    """The protocol with this model's token ids, as the engine takes it.

    Args:
        join_rule: instead of the file's or the model's own. Who asks for one wants the answer to go on after
            its block, also where the protocol would end it there.

    Raises:
        ProtocolError: markers are absent or not CONTROL, or the file names a marker that it does not declare.
    """
    ids = marker_ids(file, model) if file.markers == "control" else {}
    if file.markers == PLAIN and join_rule not in (None, file.join_rule):
        raise ValueError(f"the protocol {file.name!r} joins by the rule {file.join_rule!r} only")
    rule = join_rule or _model_rule(file, model) or file.join_rule

    def marker(text: str) -> _core.Marker:
        if not text.startswith("@"):
            return _core.Marker(text)
        if text[1:] not in ids:
            raise ProtocolError(file.name, f"protocol {file.name!r}: the file declares no marker {text}")
        return _core.Marker(text[1:], ids[text[1:]])

    def part(text: str) -> _core.SeedPart:
        if text.startswith("@"):
            return _core.SeedPart(_core.SeedKind.MARKER, marker=marker(text))
        if text == "{title}":
            return _core.SeedPart(_core.SeedKind.TITLE)
        if text == "{n}":
            return _core.SeedPart(_core.SeedKind.NUMBER)
        return _core.SeedPart(_core.SeedKind.TEXT, text)

    protocol = _core.Protocol()
    protocol.name = file.name
    protocol.join_rule = _core.JoinRule[rule.upper()]
    protocol.branch_tokens = file.branch_tokens
    protocol.max_blocks = file.max_blocks
    if file.markers == PLAIN:
        protocol.lists = list_rules(file)
        return protocol
    protocol.text_markers = file.markers == "text"
    protocol.plan_open = marker(file.plan.get("open", ""))
    protocol.item_open = marker(file.plan.get("item_open", ""))
    protocol.item_close = marker(file.plan.get("item_close", ""))
    protocol.plan_close = marker(file.plan["close"])
    protocol.plan = plan_rules(file)
    protocol.branch_seed = [part(text) for text in file.branch_seed]
    protocol.branch_close = marker(file.branch_close)
    protocol.join_seed = [part(text) for text in file.join_seed]
    protocol.ends_with_block = file.ends_with_block and join_rule is None
    protocol.banned_in_trunk = [marker(text) for text in file.banned.get("trunk", ())]
    protocol.banned_in_plan = [marker(text) for text in file.banned.get("plan", ())]
    protocol.banned_in_branch = [marker(text) for text in file.banned.get("branch", ())]
    protocol.banned_after_join = [marker(text) for text in file.banned.get("after_join", ())]
    protocol.text_before = file.text_before
    protocol.strip_body = file.strip_body
    return protocol


def plan_rules(file: ProtocolFile) -> _core.PlanRules:
    """The file's rules for plans, as the core takes them; the core's own where it states none."""
    rules = _core.PlanRules()
    for name in ("min_items", "max_items", "max_words", "max_bytes", "forbid_list_marks"):
        setattr(rules, name, file.plan.get(name, getattr(rules, name)))
    return rules


def list_rules(file: ProtocolFile) -> _core.ListRules:
    """The file's rules for lists, as the core takes them. Raises ProtocolError for a rule that is none."""
    rules = _core.ListRules()
    for name, value in file.lists.items():
        if not hasattr(rules, name):
            raise ProtocolError(file.name, f"protocol {file.name!r}: unknown rule for lists: {name}")
        try:
            setattr(rules, name, value)
        except TypeError as error:
            raise ProtocolError(
                file.name, f"protocol {file.name!r}: lists.{name} cannot be {value!r}"
            ) from error
    return rules


def _model_rule(file: ProtocolFile, model: _core.Model) -> JoinRule | None:
    metadata = model.metadata()
    if metadata.get(_PROTOCOL_KEY) != file.name or (rule := metadata.get(_JOIN_RULE_KEY)) is None:
        return None
    for known in JOIN_RULES:
        if rule == known:
            return known
    raise ProtocolError(file.name, f"protocol {file.name!r}: the model names an unknown join rule {rule!r}")


def choose(model: _core.Model) -> ProtocolFile:
    """The protocol that fits a model: one whose CONTROL markers it has; else `intrinsic`, which has none."""
    named = model.metadata().get(_PROTOCOL_KEY)
    for name in names():
        file = load(name)
        if file.markers != "control" or (named is not None and named != name):
            continue
        try:
            marker_ids(file, model)
        except ProtocolError:
            continue
        return file
    return load("intrinsic")
