"""Protocol files, read and checked: what each field may be, so that the engine is never given anything else.

Knows neither models nor where files lie. docs/protocols.md tells what the fields mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from aspd_local import _core
from aspd_local.checked_json import MOST_TEXTS, REQUIRED, Fields, read_json, shown, wrong
from aspd_local.errors import ProtocolError
from aspd_local.layout import JOIN_RULES, JoinRule

MarkerKind = Literal["control", "text", "lists"]
PLAIN = "lists"  # of these markers the answers are ordinary text

_TAKEN = ("auto", "off", "serial")  # what stands in the place of a protocol's name
_LONGEST_NAME = 64
_LONGEST_MARKER = 64  # bytes of one that is text: the core looks back so far
_MOST = 1_000_000  # of what has no other limit
# Of plans and lists of the model's own: least and most.
_PLAN_LIMITS = {"min_items": (2, 64), "max_items": (2, 64), "max_words": (1, 1000), "max_bytes": (1, 10_000)}
_LIST_LIMITS = {**_PLAN_LIMITS, "ready_items": (3, 64), "max_tail": (0, _MOST), "window": (1, 1000)}
_LIST_NUMBERS = {
    "min_mark": (0, 1),
    "min_first_mark": (0, 1),
    "max_order": (0, 1000),
    "least_end": (-1000, 0),
    "least_lead": (-1000, 0),
    "least_window": (-1000, 0),
}
_LIST_TEXTS = ("bullets", "number_ends", "emphasis", "lead_ends")
_BANNED = {"control": ("trunk", "plan", "branch", "after_join"), "text": ("trunk", "branch")}


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
        path: of a user's own file; None: it is one of the package.
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
    path: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        """As errors call it."""
        return f"protocol {self.name!r}" + (f" ({self.path})" if self.path else "")


def parse(text: str, name: str) -> ProtocolFile:
    """The protocol that a file's text states.

    Args:
        name: of the file, in errors.

    Raises:
        ProtocolError: the text is no JSON, or a field is unknown, missing or wrong: which, what it may be.
    """
    try:
        return _protocol(Fields("", read_json(text)))
    except ValueError as error:
        raise ProtocolError(name, f"protocol {name!r}: malformed file: {error}") from error


def _protocol(fields: Fields) -> ProtocolFile:
    name = fields.text("name", longest=_LONGEST_NAME)
    if name in _TAKEN:
        raise ValueError(f"name must not be one of {', '.join(_TAKEN)}")
    if fields.has("source"):
        fields.text("source")
    kind = fields.word("markers", get_args(MarkerKind))
    max_blocks = fields.integer("max_blocks", 1, _MOST, 16)
    branch, join = fields.fields("branch"), fields.fields("join")
    branch_tokens = branch.integer("tokens", 1, _MOST)
    if kind == PLAIN:
        join_rule: JoinRule = join.word("rule", ("linear",))
        lists = _lists(fields.fields("lists"))
        for each in (branch, join, fields):
            each.done()
        return ProtocolFile(
            name=name,
            markers=kind,
            lists=lists,
            branch_tokens=branch_tokens,
            join_rule=join_rule,
            max_blocks=max_blocks,
        )
    join_rule = join.word("rule", JOIN_RULES)
    markers = _Markers(kind, _vocabulary(fields) if kind == "control" else {})
    text = fields.fields("text", required=False)
    found = ProtocolFile(
        name=name,
        markers=kind,
        vocabulary=markers.vocabulary,
        plan=_plan(fields.fields("plan"), markers),
        branch_seed=markers.seed(branch, "seed", ("{title}", "{n}"), required=True),
        branch_close=markers.one(branch, "close"),
        branch_tokens=branch_tokens,
        join_seed=markers.seed(join, "seed", (), required=join_rule in ("sum", "longest")),
        join_rule=join_rule,
        ends_with_block=join.flag("ends_answer"),
        banned=markers.banned(fields.fields("banned", required=False)),
        max_blocks=max_blocks,
        text_before=text.text("before", "", may_be_empty=True),
        strip_body=text.flag("strip_body"),
        prompt=_prompt(fields, "prompt"),
        listing=_prompt(fields, "listing"),
    )
    if found.listing is not None and found.prompt is None:
        raise ValueError("listing needs prompt: what is told where a question lists no parts")
    for each in (branch, join, text, fields):
        each.done()
    return found


@dataclass(frozen=True)
class _Markers:
    """Reads what names markers. vocabulary: those that the file declares, where they are CONTROL tokens."""

    kind: MarkerKind
    vocabulary: Mapping[str, tuple[str, ...]]

    def one(self, fields: Fields, name: str, default: str = REQUIRED) -> str:
        marker = fields.text(name, default, may_be_empty=default == "")
        return self._checked(marker, fields.at(name)) if marker else ""

    def banned(self, fields: Fields) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for state in _BANNED[self.kind]:
            if fields.has(state):
                listed = enumerate(fields.texts(state))
                found[state] = tuple(self._checked(each, f"{fields.at(state)}[{i}]") for i, each in listed)
        fields.done()
        return found

    def seed(self, fields: Fields, name: str, places: Sequence[str], *, required: bool) -> tuple[str, ...]:
        """places: strings that stand for something of the branch; each is a part of its own."""
        parts = fields.texts(name, required=required)
        for i, part in enumerate(parts):
            at = f"{fields.at(name)}[{i}]"
            if part.startswith("@"):
                self._declared(part, at)
            elif part not in places and any(place in part for place in ("{title}", "{n}")):
                own = f"{' and '.join(places)} are parts of their own" if places else "there is no branch"
                raise ValueError(f"{at} is {shown(part)}: {own}")
        return parts

    def _checked(self, marker: str, place: str) -> str:
        if marker.startswith("@"):
            self._declared(marker, place)
        elif self.kind == "control":
            raise wrong(place, 'the name of a marker of the vocabulary, as in "@name"', marker)
        elif len(marker.encode()) > _LONGEST_MARKER:
            raise wrong(place, f"a marker of at most {_LONGEST_MARKER} bytes", marker)
        return marker

    def _declared(self, marker: str, place: str) -> None:
        if self.kind == "text":
            raise ValueError(f'{place} is {shown(marker)}: only markers "control" have a vocabulary')
        if marker[1:] not in self.vocabulary:
            known = ", ".join(f"@{name}" for name in self.vocabulary)
            raise ValueError(
                f"{place} is {shown(marker)}, which the vocabulary does not declare; it has {known}"
            )


def _vocabulary(fields: Fields) -> dict[str, tuple[str, ...]]:
    said = fields.fields("vocabulary")
    found = {name: said.texts(name, required=True) for name in said.raw}
    if not 1 <= len(found) <= MOST_TEXTS:
        raise ValueError(f"vocabulary must be an object of 1 to {MOST_TEXTS} markers")
    return found


def _plan(fields: Fields, markers: _Markers) -> dict[str, Any]:
    control = markers.kind == "control"
    markers.one(fields, "open", "" if control else REQUIRED)
    if control:
        markers.one(fields, "item_open")
        markers.one(fields, "item_close")
    elif fields.text("item_close", "\n") != "\n":
        raise wrong(fields.at("item_close"), '"\\n": a title is a line', fields.raw["item_close"])
    markers.one(fields, "close")
    _limits(fields, _PLAN_LIMITS, _core.PlanRules())
    if fields.has("forbid_list_marks"):
        fields.flag("forbid_list_marks")
    fields.done()
    return dict(fields.raw)


def _lists(fields: Fields) -> dict[str, Any]:
    for name in _LIST_TEXTS:
        fields.texts(name)
    fields.text("elision")
    if fields.has("separator"):
        fields.word("separator", ("\n", "\n\n"))
    _limits(fields, _LIST_LIMITS, _core.ListRules())
    for name, (least, most) in _LIST_NUMBERS.items():
        if fields.has(name):
            fields.number(name, least, most)
    fields.done()
    return dict(fields.raw)


def _limits(
    fields: Fields, limits: Mapping[str, tuple[int, int]], rules: _core.PlanRules | _core.ListRules
) -> None:
    """rules: with what counts where the file is silent."""
    for name, (least, most) in limits.items():
        if fields.has(name):
            fields.integer(name, least, most)
    least_items = fields.raw.get("min_items", rules.min_items)
    most_items = fields.raw.get("max_items", rules.max_items)
    if least_items > most_items:
        raise wrong(fields.at("max_items"), f"at least min_items, {least_items}", most_items)


def _prompt(fields: Fields, name: str) -> Prompt | None:
    if not fields.has(name):
        return None
    told = fields.fields(name)
    listed = told.raw.get("examples", [])
    if told.has("examples") and (not isinstance(listed, list) or len(listed) > MOST_TEXTS):
        raise wrong(told.at("examples"), f"a list of at most {MOST_TEXTS} turns", listed)
    found = Prompt(
        told.text("system", longest=_MOST),
        tuple(_example(Fields(f"{told.at('examples')}[{i}]", turn)) for i, turn in enumerate(listed)),
        told.number("plan_threshold", 0, 1, 0.0),
    )
    told.done()
    return found


def _example(fields: Fields) -> Example:
    turn = Example(user=fields.text("user", longest=_MOST), assistant=fields.text("assistant", longest=_MOST))
    fields.done()
    return turn
