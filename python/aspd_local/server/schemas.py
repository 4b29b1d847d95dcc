"""Bodies of requests, field by field. A field that is not known is refused by its name, never ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
    model_validator,
)

MOST_TOKENS = 2**31 - 1
Number = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, StringConstraints(max_length=256)]
MOST_DEEP = 64  # levels of an object whose fields are the client's own


def _shallow(said: dict[str, Any]) -> dict[str, Any]:
    level: list[Any] = [said]
    for _ in range(MOST_DEEP):
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
        if not level:
            return said
    raise ValueError(f"nested more than {MOST_DEEP} deep")


Object = Annotated[dict[str, Any], AfterValidator(_shallow)]
Stop = str | Annotated[list[str], Field(max_length=16)] | None


class Body(BaseModel):
    """Of any request."""

    model_config = ConfigDict(extra="forbid", strict=False, protected_namespaces=())


class Extension(Body):
    """What other servers do not have.

    stream "live": chunks carry the events of branches as they happen. parallel, plan, max_branches,
    draft_check: as in aspd_local.options.Options.
    """

    stream: Literal["reading", "live"] = "reading"
    parallel: Name = "auto"
    plan: Literal["auto", "always"] = "auto"
    max_branches: Annotated[StrictInt, Field(ge=1, le=16)] = 16
    draft_check: Literal["none", "lead", "cut", "exact"] = "none"


class StreamOptions(Body):
    """include_usage: a last chunk without choices says how many tokens it took."""

    include_usage: StrictBool = False


class Sampling(Body):
    """What all ways to ask share, under the names of OpenAI and of llama.cpp."""

    model: Name | None = None
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[StrictInt, Field(ge=1, le=8)] | None = None
    temperature: Annotated[Number, Field(ge=0, le=100)] | None = None
    top_p: Annotated[Number, Field(gt=0, le=1)] | None = None
    top_k: Annotated[StrictInt, Field(ge=0, le=MOST_TOKENS)] | None = None
    min_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    repeat_penalty: Annotated[Number, Field(gt=0, le=10)] | None = None
    presence_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    dry_multiplier: Annotated[Number, Field(ge=0, le=100)] | None = None
    dry_base: Annotated[Number, Field(ge=1, le=100)] | None = None
    dry_allowed_length: Annotated[StrictInt, Field(ge=0, le=MOST_TOKENS)] | None = None
    dry_penalty_last_n: Annotated[StrictInt, Field(ge=-1, le=MOST_TOKENS)] | None = None
    dry_sequence_breakers: (
        Annotated[list[Annotated[str, StringConstraints(max_length=40)]], Field(max_length=64)] | None
    ) = None
    xtc_probability: Annotated[Number, Field(ge=0, le=1)] | None = None
    xtc_threshold: Annotated[Number, Field(ge=0, le=1)] | None = None
    loop_guard: StrictBool | None = None
    logit_bias: (
        Annotated[dict[Name, Annotated[Number, Field(ge=-100, le=100)]], Field(max_length=1024)] | None
    ) = None
    seed: Annotated[StrictInt, Field(ge=-(2**63), lt=2**64)] | None = None
    stop: Stop = None
    max_tokens: Annotated[StrictInt, Field(ge=1, le=MOST_TOKENS)] | None = None
    grammar: Annotated[str, StringConstraints(max_length=1 << 16)] | None = None
    user: str | None = None
    metadata: Object | None = None
    store: Literal[False] | None = None
    aspd: Extension | None = None


class TextPart(Body):
    """A part of a content that is a list."""

    type: Literal["text"]
    text: str


class CalledFunction(Body):
    """Of a call. arguments: a JSON object, as text."""

    name: Name
    arguments: str


class ToolCall(Body):
    """A call that the assistant made in an earlier turn."""

    id: Name
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None


class ChatMessage(Body):
    """One turn. What templates have no place for, such as a name, is accepted only where it is empty."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[TextPart], Field(max_length=1024)] | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=64)] | None = None
    tool_call_id: Name | None = None
    name: None = None
    refusal: None = None
    audio: None = None
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None
    function_call: None = None

    @model_validator(mode="after")
    def _whole(self) -> ChatMessage:
        if self.content is None and not self.tool_calls:
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
    max_completion_tokens: Annotated[StrictInt, Field(ge=1, le=MOST_TOKENS)] | None = None
    logprobs: StrictBool | None = None
    top_logprobs: Annotated[StrictInt, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    parallel_tool_calls: Literal[True] | None = None


class CompletionBody(Sampling):
    """POST /v1/completions."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1)]
    logprobs: Annotated[StrictInt, Field(ge=0, le=20)] | None = None
    echo: Literal[False] | None = None
    suffix: None = None
    best_of: Literal[1] | None = None


TokenIds = Annotated[list[Annotated[StrictInt, Field(ge=0, lt=2**31)]], Field(max_length=1 << 20)]


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
    user: str | None = None


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
