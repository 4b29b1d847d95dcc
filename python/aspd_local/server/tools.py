"""Calls of tools in an answer: offered through the chat template, read from what the model wrote.

Known is the form in which most open models are taught to call (Hermes, Qwen): a JSON object with name and
arguments between <tool_call> and </tool_call>. A template that does not ask for it is not offered tools.
Small models often leave the marks away, or write others: the same object, of an offered tool, is a call too
where it begins a line, by itself, in a code fence or in another tag.
"""

from __future__ import annotations

import json
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aspd_local import _core

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_MOST_CALLS = 1024  # whose text is remembered
# A call without the known marks, up to its brace: a code fence or another tag may stand before it. Braces may
# be doubled, as some templates show them (Qwen2.5-Coder's).
_WRAP = r'(?:(?P<fence>```\w*\s*)|<(?P<tag>\w+)>\s*)?(?P<brace>\{?)(?=\{\s*"name"\s*:)'
_FIRST, _NEXT = re.compile(rf"^[ \t]*{_WRAP}", re.MULTILINE), re.compile(_WRAP)
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Call:
    """One call. arguments: JSON, as the model wrote it. text: what later turns show the model, which is
    what it wrote where that was in the known marks.
    """

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


@dataclass(frozen=True)
class Offered:
    """Tools that an answer may call. parallel: more than one of them."""

    names: tuple[str, ...] = ()
    parallel: bool = True

    def read(self, text: str) -> Said:
        """The calls in an answer. One that is malformed or of no offered tool stays text."""
        if not self.names:
            return Said(text, ())
        said = _marked(text, self.names)
        if not said.calls:
            said = _unmarked(text, self.names)
        return said if self.parallel else Said(said.content, said.calls[:1])


def _marked(text: str, names: Sequence[str]) -> Said:
    content, opened, rest = text.partition(OPEN)
    calls: list[Call] = []
    while opened:
        inner, closed, behind = rest.partition(CLOSE)
        call = _call(_parsed(inner), names, f"{OPEN}{inner}{CLOSE}")
        if call is None or (not closed and behind):
            break
        calls.append(call)
        between, opened, rest = behind.partition(OPEN)
        if between.strip():
            break
    if not calls:
        return Said(text, ())
    return Said(content.rstrip(), tuple(calls))


def _unmarked(text: str, names: Sequence[str]) -> Said:
    """As _marked(), of calls in other marks or in none; their arguments must be there."""
    for found in _FIRST.finditer(text):
        calls: list[Call] = []
        begin: re.Match[str] | None = found
        while begin is not None:
            try:
                value, end = _DECODER.raw_decode(text, begin.end())
            except (ValueError, RecursionError):
                break
            if not isinstance(value, dict) or value.keys() != {"name", "arguments"}:
                break
            call = _call(value, names)
            if call is None:
                break
            calls.append(call)
            closing = "```" if begin["fence"] else f"</{begin['tag']}>" if begin["tag"] else ""
            begin = _NEXT.match(text, _behind(text, _behind(text, end, begin["brace"] and "}"), closing))
        if calls:
            return Said(text[: found.start()].rstrip(), tuple(calls))
    return Said(text, ())


def _behind(text: str, at: int, mark: str) -> int:
    """Where the first thing behind white space, and behind this mark if it stands there, begins."""
    rest = text[at:].lstrip().removeprefix(mark).lstrip()
    return len(text) - len(rest)


def _parsed(text: str) -> Any:
    text = text.strip()
    if text.startswith("{{") and text.endswith("}}"):
        text = text[1:-1]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _call(said: Any, names: Sequence[str], text: str = "") -> Call | None:
    """What was parsed as a call; text: "", where its form is not the taught one."""
    if not isinstance(said, dict) or said.get("name") not in names:
        return None
    arguments = said.get("arguments", {})
    if not isinstance(arguments, dict):
        return None
    name, written = said["name"], json.dumps(arguments, ensure_ascii=False)
    return Call("call_" + secrets.token_hex(12), name, written, text or spelt(name, written))


class CallFilter:
    """Lets the text of an answer pass but for its calls, and holds back what may be one."""

    def __init__(self, offered: Offered) -> None:
        self._names = offered.names
        self._read = ""  # the text so far
        self._passed = ""
        self._line = 0  # where the first line begins that may be a call without marks

    def feed(self, text: str) -> str:
        """What may pass now: nothing from the first call on, nor the white space before it."""
        self._read += text
        before, found, _ = self._read.partition(OPEN)
        held = before[: self._unmarked(before)].rstrip()
        if not found:
            most = max((n for n in range(len(OPEN)) if held.endswith(OPEN[:n])), default=0)
            held = held[: len(held) - most].rstrip() if most else held
        more, self._passed = held[len(self._passed) :], held
        return more

    def _unmarked(self, text: str) -> int:
        """Where what may be a call without marks begins; else the end."""
        for begun in _BEGUN.finditer(text, self._line):
            name = begun["name"]
            if name is None or (
                name in self._names if begun["end"] else any(each.startswith(name) for each in self._names)
            ):
                self._line = begun.start()
                return self._line
        self._line = text.rfind("\n") + 1
        return len(text)

    def rest(self, content: str) -> str:
        """What of a finished answer's content has not passed yet."""
        return content[len(self._passed) :]


def _cut_short(*parts: str) -> str:
    """A pattern of these parts in turn; the text may end before each."""
    pattern = ""
    for part in reversed(parts):
        pattern = rf"(?:\Z|{part}{pattern})"
    return pattern


_FENCE = _cut_short("`", "`", "`", r"\w*\s*")
_OBJECT = _cut_short(r"\{", r"\{?\s*", *'"name', r'"\s*', r":\s*", r'"(?P<name>[^"]*)(?P<end>"?)')
# As _FIRST, up to the name; the text may end before that.
_BEGUN = re.compile(rf"^[ \t]*(?:{_FENCE}|<\w*(?:\Z|>\s*))?{_OBJECT}", re.MULTILINE)


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


def rules_of(schema: Mapping[str, Any]) -> str:
    """GBNF of JSON of a schema. Raises ValueError: there is none."""
    return _core.grammar_of_schema(json.dumps(schema))


def grammar(offered: Sequence[Mapping[str, Any]], form: str | None = None) -> str:
    """GBNF of one call of one of these functions.

    Args:
        form: GBNF too. The answer may be of it instead, or a call without marks. Of several calls a small
            model under a grammar would find no end.

    Raises:
        ValueError: the schema of a function has no grammar.
    """
    rules = []
    for i, tool in enumerate(offered):
        schema = tool.get("parameters") or {"type": "object"}
        rules.append(_renamed(rules_of(schema), f"arguments-{i}-").strip())
    names = [json.dumps(json.dumps(tool["name"])) for tool in offered]
    pair = r'"{" blank "\"name\":" blank %s "," blank "\"arguments\":" blank arguments-%d-root blank "}"'
    calls = " | ".join(pair % (name, i) for i, name in enumerate(names))
    rules += [f"call ::= {calls}", r'blank ::= | " " | "\n" [ \t]{0,20}']
    root = f'root ::= "{OPEN}\\n" call "\\n{CLOSE}"'
    if form is not None:
        root += " | call | form-root"
        rules.append(_renamed(form, "form-").strip())
    return "\n".join([root, *rules])


_WORD = re.compile(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|(?P<rule>[a-zA-Z][a-zA-Z0-9-]*)')


def _renamed(rules: str, prefix: str) -> str:
    """The same grammar with other names of its rules, so that it can stand beside others."""
    return _WORD.sub(lambda word: (prefix if word["rule"] else "") + word[0], rules)


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
