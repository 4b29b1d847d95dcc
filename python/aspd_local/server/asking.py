"""From the body of a request to what a model is asked."""

from __future__ import annotations

from typing import cast

from aspd_local.chat import Message
from aspd_local.server.problems import Problem
from aspd_local.server.schemas import (
    ChatBody,
    ChatMessage,
    CompletionBody,
    Extension,
    NamedTool,
    Sampling,
)
from aspd_local.server.tools import Remembered, grammar
from aspd_local.typing import AnswerOptions

# Options that a body has under the name of AnswerOptions. Choices and their time limit are the server's own.
_OWN = {"logit_bias", "seed", "n", "timeout"}
_PLAIN = frozenset(Sampling.model_fields) & frozenset(AnswerOptions.__annotations__) - _OWN
_ANY_OBJECT = {"type": "object"}


def chat_messages(body: ChatBody, remembered: Remembered) -> list[Message]:
    """The chat as a model takes it; calls of earlier turns are text again. Raises Problem."""
    return [_message(message, remembered) for message in body.messages]


def _message(message: ChatMessage, remembered: Remembered) -> Message:
    content = message.content or ""
    text = content if isinstance(content, str) else "".join(part.text for part in content)
    for call in message.tool_calls or ():
        try:
            said = remembered.text(call.id, call.function.name, call.function.arguments)
        except ValueError as error:
            raise Problem(400, f"tool_calls: {call.id}: {error}", param="messages") from error
        text += "\n" + said if text else said
    return {"role": "system" if message.role == "developer" else message.role, "content": text}


def chat_options(body: ChatBody) -> AnswerOptions:
    """Options of a chat's answer. Raises Problem (400)."""
    options = _options(body)
    if body.max_completion_tokens is not None:
        if body.max_tokens is not None:
            raise Problem(
                400, "max_tokens and max_completion_tokens exclude each other", param="max_completion_tokens"
            )
        options["max_tokens"] = body.max_completion_tokens
    if body.logprobs:
        options["logprobs"] = body.top_logprobs or 0
    elif body.top_logprobs:
        raise Problem(400, "top_logprobs needs logprobs", param="top_logprobs")
    form = body.response_format
    if form is not None and form.type != "text":
        if body.grammar is not None:
            raise Problem(400, "grammar and response_format exclude each other", param="grammar")
        if form.type == "json_object":
            options["json_schema"] = _ANY_OBJECT
        elif form.json_schema is None or form.json_schema.schema_ is None:
            raise Problem(400, "response_format has no json_schema.schema", param="response_format")
        else:
            options["json_schema"] = form.json_schema.schema_
    _offer_tools(body, options)
    return options


def tool_names(body: Sampling) -> tuple[str, ...]:
    """Functions that the answer may call."""
    if not isinstance(body, ChatBody) or not body.tools or body.tool_choice == "none":
        return ()
    return tuple(tool.function.name for tool in body.tools)


def _offer_tools(body: ChatBody, options: AnswerOptions) -> None:
    names = tool_names(body)
    if not names:
        if body.tool_choice not in (None, "none", "auto"):
            raise Problem(400, "tool_choice needs tools", param="tool_choice")
        return
    assert body.tools is not None
    options["tools"] = [tool.model_dump(exclude_none=True) for tool in body.tools]
    if body.tool_choice in (None, "auto"):
        return
    if "json_schema" in options or "grammar" in options:
        raise Problem(400, "tool_choice and a form of the answer exclude each other", param="tool_choice")
    offered = [tool.function.model_dump(exclude_none=True) for tool in body.tools]
    if isinstance(body.tool_choice, NamedTool):
        wanted = body.tool_choice.function.name
        offered = [function for function in offered if function["name"] == wanted]
        if not offered:
            raise Problem(400, f"tool_choice: {wanted!r} is not among the tools", param="tool_choice")
    options["grammar"] = grammar(offered)


def completion_options(body: CompletionBody) -> AnswerOptions:
    """Options of a plain prompt's continuation. Raises Problem (400)."""
    options = _options(body)
    if body.logprobs is not None:
        options["logprobs"] = body.logprobs
    return options


def completion_prompt(body: CompletionBody) -> str:
    """The prompt; a list has one."""
    return body.prompt if isinstance(body.prompt, str) else body.prompt[0]


def _options(body: Sampling) -> AnswerOptions:
    own = body.aspd or Extension()
    plain = body.model_dump(include=set(_PLAIN), exclude_none=True)
    options = cast(AnswerOptions, {**plain, **own.model_dump(exclude={"stream"})})
    if body.logit_bias:
        options["logit_bias"] = _biases(body.logit_bias)
    if body.seed is not None:
        options["seed"] = body.seed % 2**64
    if body.stream_options is not None and not body.stream:
        raise Problem(400, "stream_options needs stream", param="stream_options")
    return options


def _biases(said: dict[str, float]) -> dict[int, float]:
    """By token id; -100 bans, as with OpenAI."""
    found: dict[int, float] = {}
    for key, bias in said.items():
        if not (key.isdecimal() and len(key) < 10):
            raise Problem(400, f"logit_bias: {key!r} is no token id", param="logit_bias")
        found[int(key)] = float("-inf") if bias <= -100 else bias
    return found


def nth_seed(options: AnswerOptions, number: int) -> AnswerOptions:
    """Options of the number-th choice, from 0: each has a seed of its own."""
    seed = options.get("seed")
    return options if seed is None or number == 0 else {**options, "seed": (seed + number) % 2**64}
