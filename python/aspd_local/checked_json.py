"""Objects of a JSON file, read field by field: what is unknown, missing or wrong is said with its place.

Knows no file in particular.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

REQUIRED: Any = object()  # in the place of a default

_Word = TypeVar("_Word", bound=str)
_LONGEST_TEXT = 4096  # characters, where nothing else is said
MOST_TEXTS = 64  # of one list


def read_json(text: str) -> object:
    """The value of a JSON text. Raises ValueError: it is none, or an object has a field twice."""

    def no_constant(said: str) -> float:
        raise ValueError(f"{said} is no number")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the field {shown(twice)} stands twice in one object")
        return found

    try:
        return json.loads(text, parse_constant=no_constant, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error}") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None


class Fields:
    """The fields of one object of the file. Each is read by its name; done() refuses those that nobody read.

    All methods raise ValueError: the field by its place in the file, what it may be, and what it is.
    """

    def __init__(self, place: str, raw: object) -> None:
        if not isinstance(raw, dict):
            raise wrong(place or "the file", "an object", raw)
        self.raw: dict[str, Any] = raw
        self._place = place
        self._known: list[str] = []

    def at(self, name: str) -> str:
        """The field's place in the file."""
        return f"{self._place}.{name}" if self._place else name

    def has(self, name: str) -> bool:
        """Whether the file has it; it is known in any case."""
        self._known.append(name)
        return name in self.raw

    def done(self) -> None:
        """Refuses fields that nobody has asked for."""
        if unknown := sorted(set(self.raw) - set(self._known)):
            known = ", ".join(dict.fromkeys(self._known))
            raise ValueError(f"unknown field {self.at(_on_a_line(unknown[0]))}; known here are {known}")

    def fields(self, name: str, *, required: bool = True) -> Fields:
        """An object; one without fields, where it is absent and may be."""
        return Fields(self.at(name), self._take(name, REQUIRED if required else {}))

    def text(
        self, name: str, default: str = REQUIRED, *, longest: int = _LONGEST_TEXT, may_be_empty: bool = False
    ) -> str:
        """A string. longest: in characters."""
        return _text(self._take(name, default), self.at(name), 0 if may_be_empty else 1, longest)

    def texts(self, name: str, *, required: bool = False) -> tuple[str, ...]:
        """A list of strings, none of them empty; of at least one, where it is required."""
        value = self._take(name, REQUIRED if required else [])
        least = 1 if required else 0
        if not isinstance(value, list) or not least <= len(value) <= MOST_TEXTS:
            raise wrong(self.at(name), f"a list of {least} to {MOST_TEXTS} strings", value)
        return tuple(_text(each, f"{self.at(name)}[{i}]", 1, _LONGEST_TEXT) for i, each in enumerate(value))

    def word(self, name: str, words: Sequence[_Word]) -> _Word:
        """One of some strings."""
        value = self._take(name, REQUIRED)
        for word in words:
            if value == word:
                return word
        raise wrong(self.at(name), f"one of {', '.join(map(repr, words))}", value)

    def flag(self, name: str) -> bool:
        """True or False; False, where it is absent."""
        value = self._take(name, False)
        if not isinstance(value, bool):
            raise wrong(self.at(name), "true or false", value)
        return value

    def integer(self, name: str, least: int, most: int, default: int = REQUIRED) -> int:
        """An integer within limits."""
        value = self._take(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise wrong(self.at(name), f"an integer from {least} to {most}", value)
        return value

    def number(self, name: str, least: float, most: float, default: float = REQUIRED) -> float:
        """A number within limits."""
        value = self._take(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            raise wrong(self.at(name), f"a number from {least} to {most}", value)
        return float(value)

    def _take(self, name: str, default: Any) -> Any:
        self._known.append(name)
        value = self.raw.get(name, default)
        if value is REQUIRED:
            raise ValueError(f"{self.at(name)} is missing")
        return value


def wrong(place: str, allowed: str, value: object) -> ValueError:
    """The error of a field that is not what it may be."""
    return ValueError(f"{place} must be {allowed}, not {shown(value)}")


def shown(value: object) -> str:
    """A value of a file, short enough for a message."""
    try:
        return _on_a_line(json.dumps(value, ensure_ascii=False))
    except RecursionError:
        return "a deeply nested value"


def _text(value: object, place: str, least: int, most: int) -> str:
    if not isinstance(value, str) or not least <= len(value) <= most:
        raise wrong(place, f"a string of {least} to {most} characters", value)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"{place} has half of a surrogate pair at character {error.start}") from None
    return value


def _on_a_line(text: str) -> str:
    """Its beginning, as it can be printed."""
    short = text if len(text) <= 80 else text[:77] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)
