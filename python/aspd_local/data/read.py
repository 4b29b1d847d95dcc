"""Lines of JSON become examples. A line that is none says why; it never stops a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from aspd_local import chat
from aspd_local.chat import Message
from aspd_local.data.example import BadLine, Example

# What ShareGPT, and older forms of OpenAI's, call the roles.
_SPEAKERS = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}


class _UnusableError(Exception):
    """The reason is its text."""


def read_line(line: bytes | str, number: int = 1) -> Example | BadLine:
    """One line: `prompt` and `answer`; or a chat as OpenAI (`messages`) or ShareGPT (`conversations`) writes
    it.

    Of a chat the last assistant turn is the answer, unless there is an `answer` beside it.
    """
    try:
        return _example(_object(line), number)
    except _UnusableError as error:
        return BadLine(number=number, reason=str(error))


def _object(line: bytes | str) -> Mapping[str, Any]:
    try:
        text = line.decode("utf-8-sig") if isinstance(line, bytes) else line
    except UnicodeDecodeError:
        raise _UnusableError("not UTF-8") from None
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise _UnusableError("not JSON") from None
    if not isinstance(fields, dict):
        raise _UnusableError("not a JSON object")
    return fields


def _example(fields: Mapping[str, Any], number: int) -> Example:
    answer = fields.get("answer")
    prompt = None
    if "messages" in fields:
        turns = [_openai(turn) for turn in _list(fields["messages"])]
    elif "conversations" in fields:
        turns = [_sharegpt(turn) for turn in _list(fields["conversations"])]
    elif isinstance(fields.get("prompt"), str):
        prompt = fields["prompt"]
        turns = [("user", prompt)]
    else:
        raise _UnusableError("no prompt")
    if answer is None:
        if prompt is not None or not turns or turns[-1][0] != "assistant":
            raise _UnusableError("no answer")
        answer = turns.pop()[1]
    if not isinstance(answer, str):
        raise _UnusableError("the answer is no text")
    if not answer.strip():
        raise _UnusableError("the answer is empty")
    if not turns or turns[-1][0] not in ("user", "tool") or not turns[-1][1].strip():
        raise _UnusableError("no prompt")
    cut = fields.get("finish_reason") == "length"
    return Example(number=number, prompt=prompt, messages=_checked(turns), answer=_utf8(answer), cut=cut)


def _list(turns: Any) -> Sequence[Any]:
    if not isinstance(turns, list):
        raise _UnusableError("the chat is no list")
    return turns


def _openai(turn: Any) -> tuple[str, str]:
    if not isinstance(turn, dict) or not isinstance(turn.get("role"), str):
        raise _UnusableError("a turn without a role")
    said: str = turn["role"]
    role = _SPEAKERS.get(said, said)
    content: Any = turn.get("content")
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        texts = [part for part in parts if isinstance(part, str)]
        if len(texts) != len(parts):
            raise _UnusableError("a turn that is not only text")
        content = "".join(texts)
    if not isinstance(content, str):
        raise _UnusableError("a turn without text")
    return role, content


def _sharegpt(turn: Any) -> tuple[str, str]:
    if not isinstance(turn, dict) or not isinstance(turn.get("from"), str):
        raise _UnusableError("a turn without a role")
    if turn["from"] not in _SPEAKERS:
        raise _UnusableError("an unknown role")
    if not isinstance(turn.get("value"), str):
        raise _UnusableError("a turn without text")
    return _SPEAKERS[turn["from"]], turn["value"]


def _checked(turns: Sequence[tuple[str, str]]) -> tuple[Message, ...]:
    messages: list[Message] = [{"role": role, "content": _utf8(content)} for role, content in turns]
    try:
        return tuple(chat.normalise(messages))
    except ValueError:
        raise _UnusableError("an unknown role") from None


def _utf8(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _UnusableError("half of a surrogate pair") from None
    return text
