"""OpenAI's responses: the stateless core of that protocol, around the same questions and answers as chats."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from pydantic import ValidationError

from aspd_local.events import Done, ReadingOrder, Text
from aspd_local.results import Answer, TokenLogprob
from aspd_local.server import bodies
from aspd_local.server.answering import finished
from aspd_local.server.asking import joined
from aspd_local.server.bodies import Naming
from aspd_local.server.fields import WITHOUT_EFFECT, Asked
from aspd_local.server.loop import Stream
from aspd_local.server.problems import Problem, problem_of
from aspd_local.server.response_schemas import (
    InputCall,
    InputMessage,
    InputOutput,
    InputReasoning,
    ResponseBody,
    ResponseNamedTool,
)
from aspd_local.server.schemas import ChatBody
from aspd_local.server.sending import event_lines
from aspd_local.server.tools import Call, CallFilter, Offered, Said

_log = logging.getLogger("aspd_local.server")
_LOGPROBS = "message.output_text.logprobs"
# Fields that a chat's body has too, under the same name and with the same meaning.
_SAME = {name for name, field in Asked.model_fields.items() if WITHOUT_EFFECT not in field.metadata}
_SAME = _SAME - {"stream"} | {"parallel_tool_calls"}
# Fields of a chat's body, and what a response's body calls them.
_NAMES = {
    "messages": "input",
    "response_format": "text.format",
    "max_tokens": "max_output_tokens",
}


def as_client_says(param: str | None) -> str | None:
    """The field of a response's body that became this one of a chat's."""
    return _NAMES.get(param or "", param)


def chat_body(body: ResponseBody) -> ChatBody:
    """The same question as a chat. Raises Problem (400)."""
    if body.top_logprobs is not None and not _wants_logprobs(body):
        raise Problem(400, f"top_logprobs needs {_LOGPROBS!r} in include", param="top_logprobs")
    if body.stream_options is not None and body.stream_options.include_usage:
        why = "stream_options.include_usage is not supported: the last event has the usage"
        raise Problem(400, why, param="stream_options.include_usage", code="unsupported_parameter")
    said = body.model_dump(include=_SAME, exclude_none=True)
    said |= {"messages": _messages(body), "max_tokens": body.max_output_tokens}
    if _wants_logprobs(body):
        said |= {"logprobs": True, "top_logprobs": body.top_logprobs}
    if body.text is not None and (form := body.text.format) is not None:
        schema = form.model_dump(exclude={"type"}, exclude_none=True, by_alias=True)
        said["response_format"] = {"type": form.type, "json_schema": schema or None}
    if body.tools is not None:
        tools = [tool.model_dump(exclude={"type"}, exclude_none=True) for tool in body.tools]
        said["tools"] = [{"type": "function", "function": tool} for tool in tools]
    said["tool_choice"] = body.tool_choice
    if isinstance(body.tool_choice, ResponseNamedTool):
        said["tool_choice"] = {"type": "function", "function": {"name": body.tool_choice.name}}
    try:
        return ChatBody(**said)
    except ValidationError as error:
        fault = error.errors()[0]
        raise Problem(400, fault["msg"], param=as_client_says(str(fault["loc"][0]))) from None


def _wants_logprobs(body: ResponseBody) -> bool:
    return _LOGPROBS in (body.include or ())


def _messages(body: ResponseBody) -> list[dict[str, Any]]:
    """The turns; calls belong to the assistant's turn before them, as they stood in one answer."""
    turns: list[dict[str, Any]] = []
    if body.instructions:
        turns.append({"role": "system", "content": body.instructions})
    items = [InputMessage(role="user", content=body.input)] if isinstance(body.input, str) else body.input
    for item in items:
        match item:
            case InputMessage():
                text = joined(item.content)
                role = "system" if item.role == "developer" else item.role
                if role == "system" and [turn["role"] for turn in turns] == ["system"]:
                    turns[0]["content"] += f"\n\n{text}"  # beside the instructions
                else:
                    turns.append({"role": role, "content": text})
            case InputCall():
                function = {"name": item.name, "arguments": item.arguments}
                call = {"id": item.call_id, "type": "function", "function": function}
                if not turns or turns[-1]["role"] != "assistant":
                    turns.append({"role": "assistant", "content": ""})
                turns[-1].setdefault("tool_calls", []).append(call)
            case InputOutput():
                text = joined(item.output)
                turns.append({"role": "tool", "tool_call_id": item.call_id, "content": text})
            case InputReasoning():
                pass
    if not turns:
        raise Problem(400, "input has no message", param="input")
    return turns


@dataclass(frozen=True, kw_only=True)
class Responses:
    """A Form (answering.py): OpenAI's responses. tools, told, called: as in answering.Wanted."""

    body: ResponseBody
    naming: Naming
    tools: Offered
    told: Callable[[Answer], None]
    called: Callable[[Sequence[Call]], object]

    async def whole(self, streams: Sequence[Stream]) -> dict[str, Any]:
        """See Form."""
        answer, tokens = await finished(streams[0], self.told)
        return self.over(answer, self.output(answer, tokens))

    async def pieces(self, streams: Sequence[Stream]) -> AsyncIterator[bytes]:
        """See Form: the events that OpenAI's own server sends, in its order."""
        writer = _Writer(self)
        try:
            for line in writer.begin():
                yield line
            async for batch in streams[0].batches():
                for line in writer.lines(
                    [piece for timed in batch for piece in writer.order.pieces(timed.event)]
                ):
                    yield line
                if isinstance(done := batch[-1].event, Done):
                    self.told(done.result)
                    for line in writer.end(done.result):
                        yield line
        except Exception as error:
            _log.warning("%s: %s", self.naming.id, error)
            for line in writer.fail(problem_of(error)):
                yield line
        finally:
            for stream in streams:
                stream.cancel()

    # --- objects -------------------------------------------------------------------------------------

    def read(self, answer: Answer) -> Said:
        """The calls in a finished answer."""
        said = self.tools.read(answer.text)
        self.called(said.calls)
        return said

    def output(self, answer: Answer, tokens: Sequence[TokenLogprob]) -> list[dict[str, Any]]:
        """The items of a whole answer: what is said, and what is called."""
        said = self.read(answer)
        items = [call_item(call, "completed") for call in said.calls]
        if said.content or not items:
            part = text_part(said.content, self.logprobs(tokens))
            items.insert(0, message_item(new_id("msg"), _status(answer), [part]))
        return items

    def logprobs(self, tokens: Sequence[TokenLogprob]) -> list[dict[str, Any]]:
        """Of tokens of the text; none where they were not asked for."""
        return bodies.chat_logprobs(tokens) if _wants_logprobs(self.body) else []

    def response(self, status: str, output: Sequence[dict[str, Any]] = (), **more: Any) -> dict[str, Any]:
        """The object itself, which repeats what was asked for."""
        body = self.body
        text = body.text.model_dump(exclude_none=True, by_alias=True) if body.text is not None else {}
        choice = body.tool_choice
        return {
            "id": self.naming.id,
            "object": "response",
            "created_at": self.naming.created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "model": self.naming.model,
            "output": list(output),
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "temperature": body.temperature,
            "text": {"format": {"type": "text"}, **text},
            "tool_choice": choice.model_dump() if isinstance(choice, ResponseNamedTool) else choice or "auto",
            "tools": [tool.model_dump() for tool in body.tools or ()],
            "top_logprobs": body.top_logprobs or 0,
            "top_p": body.top_p,
            "truncation": "disabled",
            "usage": None,
            "user": body.user,
            "metadata": body.metadata or {},
            **more,
        }

    def over(self, answer: Answer, output: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The response when its answer is."""
        status = _status(answer)
        reason = "max_output_tokens" if answer.finish_reason == "length" else answer.finish_reason
        return self.response(
            status,
            output,
            incomplete_details=None if status == "completed" else {"reason": reason},
            usage=_usage(answer),
            completed_at=int(time.time()),
            **bodies.facts(answer),
        )


@dataclass
class _Writer:
    """Events of one stream, numbered. The message's item is opened with its first text."""

    form: Responses
    order: ReadingOrder = field(default_factory=ReadingOrder)
    _numbers: Any = field(default_factory=count)
    _filter: CallFilter = field(init=False)
    _message: str = ""  # the id of the message's item, once it is open
    _text: str = ""
    _tokens: list[TokenLogprob] = field(default_factory=list)
    _items: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._filter = CallFilter(self.form.tools)

    def begin(self) -> list[bytes]:
        """The response is there, and written."""
        told = self.form.response("in_progress")
        return [self._line(f"response.{kind}", response=told) for kind in ("created", "in_progress")]

    def lines(self, pieces: Sequence[Text]) -> list[bytes]:
        """Text that may be read now."""
        text = "".join(piece.text for piece in pieces)
        return self._say(
            self._filter.feed(text) if self.form.tools.names else text,
            [each for piece in pieces for each in piece.logprobs],
        )

    def end(self, answer: Answer) -> list[bytes]:
        """What is left of the text, the calls, and the whole response."""
        said = self.form.read(answer)
        lines = self._say(self._filter.rest(said.content), []) if self.form.tools.names else []
        if not self._message and not said.calls:
            lines += self._open()
        if self._message:
            lines += self._close(_status(answer))
        for call in said.calls:
            lines += self._call(call)
        told = self.form.over(answer, self._items)
        kind = "completed" if told["status"] == "completed" else "incomplete"
        return [*lines, self._line(f"response.{kind}", response=told)]

    def fail(self, problem: Problem) -> list[bytes]:
        """Something went wrong in the middle."""
        error = {"code": "server_error", "message": problem.message}
        told = self.form.response("failed", self._items, error=error)
        said = {"code": problem.code, "message": problem.message, "param": problem.param}
        return [self._line("error", **said), self._line("response.failed", response=told)]

    def _say(self, text: str, tokens: Sequence[TokenLogprob]) -> list[bytes]:
        if not text and not tokens:
            return []
        lines = [] if self._message else self._open()
        self._text += text
        self._tokens += tokens
        return [
            *lines,
            self._in_part("response.output_text.delta", delta=text, logprobs=self.form.logprobs(tokens)),
        ]

    def _open(self) -> list[bytes]:
        self._message = new_id("msg")
        item = message_item(self._message, "in_progress", [])
        return [
            self._line("response.output_item.added", output_index=0, item=item),
            self._in_part("response.content_part.added", part=text_part("", [])),
        ]

    def _close(self, status: str) -> list[bytes]:
        logprobs = self.form.logprobs(self._tokens)
        part = text_part(self._text, logprobs)
        item = message_item(self._message, status, [part])
        self._items.append(item)
        return [
            self._in_part("response.output_text.done", text=self._text, logprobs=logprobs),
            self._in_part("response.content_part.done", part=part),
            self._line("response.output_item.done", output_index=0, item=item),
        ]

    def _call(self, call: Call) -> list[bytes]:
        at = len(self._items)
        item = call_item(call, "completed")
        self._items.append(item)
        place = {"item_id": item["id"], "output_index": at}
        begun = {**item, "status": "in_progress", "arguments": ""}
        arguments = "response.function_call_arguments"
        return [
            self._line("response.output_item.added", output_index=at, item=begun),
            self._line(f"{arguments}.delta", **place, delta=call.arguments),
            self._line(f"{arguments}.done", **place, name=call.name, arguments=call.arguments),
            self._line("response.output_item.done", output_index=at, item=item),
        ]

    def _in_part(self, kind: str, **more: Any) -> bytes:
        return self._line(kind, item_id=self._message, output_index=0, content_index=0, **more)

    def _line(self, kind: str, **more: Any) -> bytes:
        return event_lines({"type": kind, "sequence_number": next(self._numbers), **more})


def new_id(kind: str) -> str:
    """The id of a response ("resp") or an item."""
    return f"{kind}_{secrets.token_hex(12)}"


def message_item(item_id: str, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    """What is said."""
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}


def call_item(call: Call, status: str) -> dict[str, Any]:
    """What is called."""
    said = {"call_id": call.id, "name": call.name, "arguments": call.arguments}
    return {"id": new_id("fc"), "type": "function_call", "status": status, **said}


def text_part(text: str, logprobs: list[dict[str, Any]]) -> dict[str, Any]:
    """The one part of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def _status(answer: Answer) -> str:
    return "completed" if answer.finish_reason == "stop" else "incomplete"


def _usage(answer: Answer) -> dict[str, Any]:
    said = answer.usage
    return {
        "input_tokens": said.prompt_tokens,
        "input_tokens_details": {"cached_tokens": said.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": said.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": said.prompt_tokens + said.completion_tokens,
    }
