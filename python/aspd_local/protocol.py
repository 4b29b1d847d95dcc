"""Protocols: how a model announces, opens and closes branches. A protocol is a file in `protocols/`.

Finds the files (protocol_file.py reads them) and their markers in a vocabulary, and says which protocol fits
a model. Knows nothing of engines and chats; the state machine that acts on a protocol is in the core.

A model that is not found by its tokens' spelling can name them in its GGUF metadata:
    aspd.protocol              string, name of a protocol file
    aspd.marker.<name>         uint32, token id of the marker, for each name in the file's "vocabulary"
    aspd.join_rule             string, optional: overrides the file's join rule
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path

from aspd_local import _core
from aspd_local.errors import ProtocolError
from aspd_local.layout import JOIN_RULES, JoinRule
from aspd_local.protocol_file import PLAIN, Example, MarkerKind, Prompt, ProtocolFile, parse

_PROTOCOL_KEY = "aspd.protocol"
_MARKER_KEY = "aspd.marker."
_JOIN_RULE_KEY = "aspd.join_rule"

MOST_BYTES = 1 << 20  # of a file
_MOST_SHOWN = 300  # characters of a name that is none

__all__ = [
    "MOST_BYTES",
    "PLAIN",
    "Example",
    "MarkerKind",
    "Prompt",
    "ProtocolFile",
    "bind",
    "choose",
    "control_ids",
    "find",
    "list_rules",
    "load",
    "marker_ids",
    "names",
    "parse",
    "plan_rules",
]


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


def find(name: str, *, option: str = "protocol", words: Sequence[str] = ()) -> ProtocolFile:
    """A protocol of the package by its name, or one of a user's own by the path of its file.

    Args:
        option: who may be told this name, in an error. words: what it may be besides.

    Raises:
        ValueError: it is neither, or the file cannot be read.
        ProtocolError: the file is malformed.
    """
    if name in names():
        return load(name)
    if (fault := _fault(name)) is None:
        return _read(Path(name))
    own = f"a protocol by its name ({', '.join(names())}) or the path of its file"
    allowed = f"{', '.join(map(repr, words))} or {own}" if words else own
    raise ValueError(f"{option} must be {allowed}, not {name[:_MOST_SHOWN]!r}: {fault}")


def _fault(path: str) -> str | None:
    """Why this is no file; None: it is one."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - "" is no path, and to Path the folder one is in
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the latter for a name that no file can have
        return "no protocol has this name, and there is no such file"
    except OSError as error:
        return f"no protocol has this name, and as a file: {error.strerror}"
    if stat.S_ISDIR(mode):
        return "that is a folder"
    return None if stat.S_ISREG(mode) else "that is no ordinary file"


def _read(path: Path) -> ProtocolFile:
    name = str(path)
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"the protocol {name!r} cannot be read: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise ProtocolError(name, f"protocol {name!r}: malformed file: it has more than {MOST_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProtocolError(
            name, f"protocol {name!r}: malformed file: it is no UTF-8 text: {error}"
        ) from error
    return replace(parse(text, name), path=name)


def marker_ids(file: ProtocolFile, model: _core.Model) -> dict[str, int]:
    """Token ids of the markers of `vocabulary`, by metadata or by spelling.

    Raises:
        ProtocolError: a marker is absent from the vocabulary, or is not a CONTROL token.
    """
    metadata = model.metadata()
    ids: dict[str, int] = {}
    for name, spellings in file.vocabulary.items():
        token = _named_id(file, metadata, name, model.n_vocab)
        if token is None:
            found = (model.find_token(spelling) for spelling in spellings)
            token = next((token for token in found if token is not None), None)
        if token is None:
            raise ProtocolError(
                file.name,
                f"{file}: the vocabulary has no marker {name} ({' or '.join(spellings)})",
            )
        if not model.is_control(token):
            raise ProtocolError(
                file.name,
                f"{file}: the marker {name} (token {token}) is not a CONTROL token: a user could type it",
            )
        ids[name] = token
    if len(set(ids.values())) < len(ids):
        raise ProtocolError(file.name, f"{file}: two markers share a token id")
    return ids


def control_ids(files: Iterable[ProtocolFile], model: _core.Model) -> list[int]:
    """Token ids of all markers of these protocols that are CONTROL tokens. Raises: as marker_ids()."""
    found = (marker_ids(file, model) for file in files if file.markers == "control")
    return list(dict.fromkeys(token for ids in found for token in ids.values()))


def _named_id(file: ProtocolFile, metadata: Mapping[str, str], name: str, n_vocab: int) -> int | None:
    if metadata.get(_PROTOCOL_KEY) != file.name or (text := metadata.get(_MARKER_KEY + name)) is None:
        return None
    if not text.isdecimal() or int(text) >= n_vocab:
        raise ProtocolError(file.name, f"{file}: {_MARKER_KEY}{name} is no token id: {text!r}")
    return int(text)


def bind(file: ProtocolFile, model: _core.Model, *, join_rule: JoinRule | None = None) -> _core.Protocol:
    """The protocol with this model's token ids, as the engine takes it.

    Args:
        join_rule: instead of the file's or the model's own. Who asks for one wants the answer to go on after
            its block, also where the protocol would end it there.

    Raises:
        ProtocolError: markers are absent or not CONTROL.
    """
    ids = marker_ids(file, model) if file.markers == "control" else {}
    if file.markers == PLAIN and join_rule not in (None, file.join_rule):
        raise ValueError(f"the protocol {file.name!r} joins by the rule {file.join_rule!r} only")
    rule = join_rule or _model_rule(file, model) or file.join_rule

    def marker(text: str) -> _core.Marker:
        return _core.Marker(text[1:], ids[text[1:]]) if text.startswith("@") else _core.Marker(text)

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
    """The file's rules for lists, as the core takes them; the core's own where it states none."""
    rules = _core.ListRules()
    for name, value in file.lists.items():
        setattr(rules, name, value)
    return rules


def _model_rule(file: ProtocolFile, model: _core.Model) -> JoinRule | None:
    metadata = model.metadata()
    if metadata.get(_PROTOCOL_KEY) != file.name or (rule := metadata.get(_JOIN_RULE_KEY)) is None:
        return None
    for known in JOIN_RULES:
        if rule == known:
            return known
    raise ProtocolError(file.name, f"{file}: the model names an unknown join rule {rule!r}")


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
