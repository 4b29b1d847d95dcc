"""Calls of tools in an answer: offered through the chat template, read from what the model wrote.

Known is the form in which most open models are taught to call (Hermes, Qwen): a JSON object with name and
arguments between <tool_call> and </tool_call>. A template that does not ask for it is not offered tools.
"""

from __future__ import annotations

import json
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aspd_local import _core

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_MOST_CALLS = 1024  # whose text is remembered


@dataclass(frozen=True)
class Call:
    """One call. arguments: JSON, as the model wrote it. text: the whole of it in the answer."""

    id: str
    name: str
    arguments: str
    text: str

    def to_json(self) -> dict[str, Any]:
        """In OpenAI's form."""
        said = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": said}


@dataclass(frozen=True)
class Said:
    """An answer taken apart: what is said, and what is called."""

    content: str
    calls: tuple[Call, ...]


def read_calls(text: str, names: Sequence[str]) -> Said:
    """The calls in an answer. One that is malformed or of no offered tool stays text, with all behind it."""
    content, opened, rest = text.partition(OPEN)
    calls: list[Call] = []
    while opened:
        inner, closed, behind = rest.partition(CLOSE)
        call = _call(inner, names)
        if call is None or (not closed and behind):
            break
        calls.append(call)
        between, opened, rest = behind.partition(OPEN)
        if between.strip():
            break
    if not calls:
        return Said(text, ())
    return Said(content.rstrip(), tuple(calls))


def _call(inner: str, names: Sequence[str]) -> Call | None:
    try:
        said = json.loads(inner)
        name, arguments = said["name"], said.get("arguments", {})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    if name not in names or not isinstance(arguments, dict):
        return None
    text = f"{OPEN}{inner}{CLOSE}"
    return Call("call_" + secrets.token_hex(12), name, json.dumps(arguments, ensure_ascii=False), text)


class CallFilter:
    """Lets the text of an answer pass but for its calls, and holds back what may be one."""

    def __init__(self) -> None:
        self._read = ""  # the text so far
        self._passed = ""

    def feed(self, text: str) -> str:
        """What may pass now: nothing from the first call on, nor the white space before it."""
        self._read += text
        before, found, _ = self._read.partition(OPEN)
        held = before.rstrip() if found else self._read.rstrip()
        if not found:
            most = max((n for n in range(len(OPEN)) if held.endswith(OPEN[:n])), default=0)
            held = held[: len(held) - most].rstrip() if most else held
        more, self._passed = held[len(self._passed) :], held
        return more

    def rest(self, content: str) -> str:
        """What of a finished answer's content has not passed yet."""
        return content[len(self._passed) :]


def spelt(name: str, arguments: str) -> str:
    """A call as the model would have written it.

    Arguments that are no JSON object, as a model may have written them elsewhere, stand there as a string:
    they must not end the chat.
    """
    said: Any = {}
    if arguments.strip():
        try:
            said = json.loads(arguments)
        except (ValueError, RecursionError):
            said = None
    if not isinstance(said, dict):
        said = arguments
    return f"{OPEN}\n{json.dumps({'name': name, 'arguments': said}, ensure_ascii=False)}\n{CLOSE}"


def grammar(offered: Sequence[Mapping[str, Any]]) -> str:
    """GBNF of one call of one of these functions. Raises ValueError: their schemas have no grammar."""
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": tool["name"]},
                "arguments": tool.get("parameters") or {"type": "object"},
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in offered
    ]
    rules = _core.grammar_of_schema(json.dumps({"anyOf": calls}))
    renamed = "\n".join(
        "call" + rule[4:] if rule.startswith("root ::=") else rule for rule in rules.split("\n")
    )
    return f'root ::= "{OPEN}\\n" call "\\n{CLOSE}"\n{renamed}'


class Remembered:
    """Texts of calls by their ids, bounded: the next turn finds the answer as it was written."""

    def __init__(self) -> None:
        self._texts: OrderedDict[str, str] = OrderedDict()

    def keep(self, calls: Sequence[Call]) -> None:
        """Keeps what was written."""
        for call in calls:
            self._texts[call.id] = call.text
        while len(self._texts) > _MOST_CALLS:
            self._texts.popitem(last=False)

    def text(self, call_id: str, name: str, arguments: str) -> str:
        """What was written, or would have been."""
        return self._texts.get(call_id) or spelt(name, arguments)
