"""The body of POST /v1/responses, field by field; fields.py tells what bodies share.

Nothing is kept between requests: what refers to an earlier response is refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StrictBool, StrictInt, StringConstraints
from pydantic import Tag as Kind

from aspd_local.server.fields import WITHOUT_EFFECT, Asked, Body, Count, Name, Object, StreamOptions, Unheeded


class InputText(Body):
    """A part of what was said, by whoever."""

    type: Literal["input_text", "output_text", "text"]
    text: str
    annotations: Unheeded = None
    logprobs: Unheeded = None
    cache_control: Unheeded = None
    prompt_cache_breakpoint: Unheeded = None


class InputRefusal(Body):
    """A part of what an assistant said in an earlier turn, elsewhere."""

    type: Literal["refusal"]
    refusal: str

    @property
    def text(self) -> str:
        """As any part's."""
        return self.refusal


Parts = Annotated[
    list[Annotated[InputText | InputRefusal, Field(discriminator="type")]], Field(max_length=1024)
]


class InputMessage(Body):
    """One turn; also as an earlier response had it among its output."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: str | Parts
    id: Unheeded = None
    status: Unheeded = None
    phase: Unheeded = None


class InputCall(Body):
    """A call that the assistant made in an earlier turn. arguments: a JSON object, as text."""

    type: Literal["function_call"]
    call_id: Name
    name: Name
    arguments: str = ""
    id: Unheeded = None
    status: Unheeded = None
    parsed_arguments: Unheeded = None


class InputOutput(Body):
    """What a function gave."""

    type: Literal["function_call_output"]
    call_id: Name
    output: str | Parts
    id: Unheeded = None
    status: Unheeded = None


class InputReasoning(Body):
    """Thoughts of an earlier turn, which the answer does not depend on."""

    type: Literal["reasoning"]
    id: Unheeded = None
    summary: Unheeded = None
    content: Unheeded = None
    encrypted_content: Unheeded = None
    status: Unheeded = None


def _kind(item: Any) -> str:
    """An item's type: a message need not name it."""
    said = item.get("type") if isinstance(item, dict) else getattr(item, "type", None)
    return said if isinstance(said, str) else "message"


InputItem = Annotated[
    Annotated[InputMessage, Kind("message")]
    | Annotated[InputCall, Kind("function_call")]
    | Annotated[InputOutput, Kind("function_call_output")]
    | Annotated[InputReasoning, Kind("reasoning")],
    Discriminator(_kind),
]


class ResponseTool(Body):
    """A function that the model may call. parameters: a JSON schema."""

    type: Literal["function"]
    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]
    description: str | None = None
    parameters: Object | None = None
    strict: StrictBool | None = None


class ResponseNamedTool(Body):
    """The one that must be called."""

    type: Literal["function"]
    name: Name


class TextFormat(Body):
    """What form the answer has."""

    type: Literal["text", "json_object", "json_schema"]
    name: Name | None = None
    description: str | None = None
    schema_: Object | None = Field(default=None, alias="schema")
    strict: StrictBool | None = None


class TextSettings(Body):
    """Of the answer's text."""

    format: TextFormat | None = None
    verbosity: Annotated[Literal["medium"] | None, WITHOUT_EFFECT] = None


class ResponseBody(Asked):
    """POST /v1/responses."""

    input: str | Annotated[list[InputItem], Field(min_length=1, max_length=4096)]
    instructions: str | None = None
    max_output_tokens: Count | None = None
    tools: Annotated[list[ResponseTool], Field(max_length=128)] | None = None
    tool_choice: Literal["auto", "none", "required"] | ResponseNamedTool | None = None
    parallel_tool_calls: StrictBool | None = None
    text: TextSettings | None = None
    top_logprobs: Annotated[StrictInt, Field(ge=0, le=20)] | None = None
    include: Annotated[list[Name], Field(max_length=64)] | None = None
    stream_options: StreamOptions | None = None

    reasoning: Unheeded = None
    max_tool_calls: Unheeded = None  # of tools that a server runs itself
    background: Annotated[Literal[False] | None, WITHOUT_EFFECT] = None
    truncation: Annotated[Literal["disabled"] | None, WITHOUT_EFFECT] = None
