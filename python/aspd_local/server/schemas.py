"""Bodies of requests, field by field; fields.py tells what they share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt, StringConstraints, model_validator

from aspd_local.server.fields import WITHOUT_EFFECT, Body, Count, Name, Object, Sampling, Unheeded


class TextPart(Body):
    """A part of a content that is a list."""

    type: Literal["text"]
    text: str
    cache_control: Unheeded = None
    prompt_cache_breakpoint: Unheeded = None


class RefusalPart(Body):
    """A part of what an assistant said in an earlier turn, elsewhere."""

    type: Literal["refusal"]
    refusal: str

    @property
    def text(self) -> str:
        """As any part's."""
        return self.refusal


class CalledFunction(Body):
    """Of a call. arguments: a JSON object, as text."""

    name: Name
    arguments: str = ""
    parsed_arguments: Unheeded = None


class ToolCall(Body):
    """A call that the assistant made in an earlier turn."""

    id: Name
    type: Literal["function"] = "function"
    function: CalledFunction
    index: Unheeded = None
    provider_specific_fields: Unheeded = None
    cache_control: Unheeded = None


ContentPart = Annotated[TextPart | RefusalPart, Field(discriminator="type")]


class ChatMessage(Body):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[ContentPart], Field(max_length=1024)] | None = None
    refusal: str | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=64)] | None = None
    tool_call_id: Name | None = None

    name: Unheeded = None
    annotations: Unheeded = None
    parsed: Unheeded = None
    reasoning: Unheeded = None
    reasoning_content: Unheeded = None
    reasoning_details: Unheeded = None
    thinking_blocks: Unheeded = None
    provider_specific_fields: Unheeded = None
    cache_control: Unheeded = None

    @model_validator(mode="after")
    def _whole(self) -> ChatMessage:
        if self.content is None and self.refusal is None and not self.tool_calls:
            raise ValueError("a message has content, or an assistant's tool_calls")
        if self.tool_calls and self.role != "assistant":
            raise ValueError("only an assistant has tool_calls")
        if self.tool_call_id is not None and self.role != "tool":
            raise ValueError("only a tool's message has a tool_call_id")
        return self


class Function(Body):
    """What may be called. parameters: a JSON schema."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]
    description: str | None = None
    parameters: Object | None = None
    strict: StrictBool | None = None


class Tool(Body):
    """A function that the model may call."""

    type: Literal["function"]
    function: Function
    cache_control: Unheeded = None


class NamedFunction(Body):
    """A function by its name."""

    name: Name


class NamedTool(Body):
    """The one that must be called."""

    type: Literal["function"]
    function: NamedFunction


class JsonSchema(Body):
    """OpenAI's wrapping of a schema."""

    name: Name | None = None
    description: str | None = None
    schema_: Object | None = Field(default=None, alias="schema")
    strict: StrictBool | None = None


class ResponseFormat(Body):
    """What form the answer has."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatBody(Sampling):
    """POST /v1/chat/completions."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=4096)]
    max_completion_tokens: Count | None = None
    logprobs: StrictBool | None = None
    top_logprobs: Annotated[StrictInt, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    parallel_tool_calls: StrictBool | None = None

    reasoning_effort: Unheeded = None
    prediction: Unheeded = None
    modalities: Annotated[list[Literal["text"]] | None, WITHOUT_EFFECT] = None
    verbosity: Annotated[Literal["medium"] | None, WITHOUT_EFFECT] = None


TokenId = Annotated[StrictInt, Field(ge=0, lt=2**31)]
TokenIds = Annotated[list[TokenId], Field(max_length=1 << 20)]


class CompletionBody(Sampling):
    """POST /v1/completions. prompt: texts, or token ids of texts."""

    prompt: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=2048)]
        | Annotated[TokenIds, Field(min_length=1)]
        | Annotated[list[Annotated[TokenIds, Field(min_length=1)]], Field(min_length=1, max_length=2048)]
    )
    logprobs: Annotated[StrictInt, Field(ge=0, le=20)] | None = None
    echo: StrictBool | None = None
    suffix: Annotated[Literal[""] | None, WITHOUT_EFFECT] = None
    best_of: Annotated[Literal[1] | None, WITHOUT_EFFECT] = None


class EmbeddingsBody(Body):
    """POST /v1/embeddings. input: texts, or token ids of texts."""

    model: Name | None = None
    input: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=2048)]
        | Annotated[TokenIds, Field(min_length=1)]
        | Annotated[list[TokenIds], Field(min_length=1, max_length=2048)]
    )
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[StrictInt, Field(ge=1)] | None = None
    user: Unheeded = None


class ControlBody(Body):
    """POST /v1/chat/completions/control: ends an answer, or one of its branches."""

    id: Name
    action: Literal["cancel", "branch_end"]
    branch: Name | None = None


class TokenizeBody(Body):
    """POST /tokenize."""

    content: str
    model: Name | None = None


class DetokenizeBody(Body):
    """POST /detokenize."""

    tokens: TokenIds
    model: Name | None = None
