"""What clients are ordinarily used for: each script prints which of its uses came out right.

The sums are made by a tool, the forms are filled in by the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Client:
    """packages: of pip, of npm for a script of node, none for one of Java."""

    packages: tuple[str, ...]
    script: str
    language: Literal["python", "node", "java"] = "python"


USE = """
import asyncio, json, sys
from pydantic import BaseModel
url, model, question = sys.argv[1:]
SUM = "What is 1234 plus 4321? First call the tool; when its result is there, say what the sum is."
FORM = "Paris is the capital of France. Give the city and the country."
class Place(BaseModel):
    city: str
    country: str
def add(a: int, b: int) -> str:
    "Adds two whole numbers."
    return str(a + b)
def is_sum(text): return "5555" in str(text).replace(",", "")
def is_place(place): return (place.city, place.country) == ("Paris", "France")
found = {}
def use(name, act):
    try:
        found[name] = bool(act())
    except Exception as error:
        found[name] = f"{type(error).__name__}: {error}"[:200]
"""

USE_NODE = """
import { z } from "zod";
const [url, model, question] = process.argv.slice(2);
const SUM = "What is 1234 plus 4321? First call the tool; when its result is there, say what the sum is.";
const FORM = "Paris is the capital of France. Give the city and the country.";
const Place = z.object({ city: z.string(), country: z.string() });
const Sum = z.object({ a: z.number().int(), b: z.number().int() });
const add = ({ a, b }) => String(a + b);
const isSum = (text) => String(text).replaceAll(",", "").includes("5555");
const isPlace = (place) => place.city === "Paris" && place.country === "France";
const found = {};
async function use(name, act) {
  try {
    found[name] = Boolean(await act());
  } catch (error) {
    found[name] = String(error).slice(0, 200);
  }
}
"""

# With what its library has: HTTP/2 is offered, which no other client does. JSON is read by patterns.
JAVA = r'''
import java.net.URI;
import java.net.http.*;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.*;
import java.util.concurrent.*;
import java.util.regex.*;
import java.util.stream.*;

public class Ask {
  static final HttpClient HTTP = HttpClient.newHttpClient();
  static String url, model;
  static final Map<String, String> found = new LinkedHashMap<>();
  static final String SUM = "What is 1234 plus 4321? First call the tool; "
      + "when its result is there, say what the sum is.";
  static final String FORM = "Paris is the capital of France. Give the city and the country.";
  static final String TOOLS = """
      "tools": [{"type": "function", "function": {"name": "add", "description": "Adds two whole numbers.",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"]}}}]""";
  static final String PLACE = """
      "response_format": {"type": "json_schema", "json_schema": {"name": "place", "schema": {"type": "object",
        "properties": {"city": {"type": "string"}, "country": {"type": "string"}},
        "required": ["city", "country"], "additionalProperties": false}}}""";

  static HttpRequest asking(String messages, String more) {
    String told = "{\"model\": \"" + model + "\", \"temperature\": 0, ";
    String body = told + "\"messages\": [" + messages + "]" + more + "}";
    return HttpRequest.newBuilder(URI.create(url + "/chat/completions"))
        .header("Content-Type", "application/json").POST(HttpRequest.BodyPublishers.ofString(body)).build();
  }

  static String user(String text) {
    return "{\"role\": \"user\", \"content\": \"" + text + "\"}";
  }

  static String sent(String messages, String more) throws Exception {
    HttpResponse<String> answer = HTTP.send(asking(messages, more), BodyHandlers.ofString());
    if (answer.statusCode() != 200) throw new Exception(answer.body());
    return answer.body();
  }

  static String first(String pattern, String text) throws Exception {
    Matcher match = Pattern.compile(pattern).matcher(text);
    if (!match.find()) throw new Exception("no " + pattern);
    return match.group(1);
  }

  static void use(String name, Callable<Boolean> act) {
    String right;
    try {
      right = String.valueOf(act.call());
    } catch (Exception error) {
      right = '"' + error.toString().replaceAll("[^\\w .,:]", " ") + '"';
    }
    found.put(name, right);
  }

  public static void main(String[] args) {
    url = args[0];
    model = args[1];
    String question = user(args[2]), brief = ", \"max_tokens\": 20";
    String text = "\"content\":\\s*\"((?:[^\"\\\\]|\\\\.)*)\"";
    use("whole", () -> !first(text, sent(question, brief)).isEmpty());
    use("streamed", () -> {
      HttpRequest request = asking(question, brief + ", \"stream\": true");
      Stream<String> sent = HTTP.send(request, BodyHandlers.ofLines()).body();
      List<String> lines = sent.filter(line -> !line.isEmpty()).toList();
      Matcher pieces = Pattern.compile(text).matcher(String.join("\n", lines));
      String all = pieces.results().map(each -> each.group(1)).collect(Collectors.joining());
      boolean over = lines.get(lines.size() - 1).equals("data: [DONE]");
      return over && all.equals(first(text, sent(question, brief)));
    });
    use("four at once", () -> {
      List<CompletableFuture<HttpResponse<String>>> all = new ArrayList<>();
      HttpRequest request = asking(question, ", \"max_tokens\": 5");
      for (int i = 0; i < 4; i++) all.add(HTTP.sendAsync(request, BodyHandlers.ofString()));
      for (var each : all) if (each.get().statusCode() != 200) return false;
      return true;
    });
    use("tools", () -> {
      String told = sent(user(SUM), ", " + TOOLS);
      String calls = first("\"tool_calls\":\\s*(\\[.*?\\}\\}\\])", told);
      String id = first("\"id\":\\s*\"(call_[^\"]*)\"", calls), number = "\\\\\":\\s*(\\d+)";
      int a = Integer.parseInt(first("\\\\\"a" + number, calls));
      int b = Integer.parseInt(first("\\\\\"b" + number, calls));
      String turns = user(SUM) + ", {\"role\": \"assistant\", \"content\": null, \"tool_calls\": " + calls
          + "}, {\"role\": \"tool\", \"tool_call_id\": \"" + id + "\", \"content\": \"" + (a + b) + "\"}";
      return first(text, sent(turns, ", " + TOOLS)).replace(",", "").contains("5555");
    });
    use("structured", () -> {
      String told = first(text, sent(user(FORM), ", " + PLACE)).replace("\\\"", "\"").replaceAll("\\s", "");
      return told.equals("{\"city\":\"Paris\",\"country\":\"France\"}");
    });
    System.out.println(found.entrySet().stream().map(e -> '"' + e.getKey() + "\": " + e.getValue())
        .collect(Collectors.joining(", ", "{", "}")));
  }
}
'''


def uses(packages: tuple[str, ...], script: str) -> Client:
    """A client whose script fills `found`."""
    return Client(packages, f"{USE}{script}\nprint(json.dumps(found))\n")


def node_uses(packages: tuple[str, ...], script: str) -> Client:
    """As uses(), for node."""
    return Client(packages, f"{USE_NODE}{script}\nconsole.log(JSON.stringify(found));\n", "node")


USES = {
    "openai, responses": uses(
        ("openai", "pydantic"),
        """
from openai import OpenAI
client = OpenAI(base_url=url, api_key="none")
body = dict(model=model, temperature=0)
use("create", lambda: client.responses.create(**body, input=question, max_output_tokens=100).output_text)
def streamed():
    # Whole: of one that was cut the client has no final response.
    with client.responses.stream(**body, input="Say hello.") as events:
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        return text and text == events.get_final_response().output_text
use("stream", streamed)
use("parse", lambda: is_place(client.responses.parse(**body, input=FORM, text_format=Place).output_parsed))
def chat():
    messages = [{"role": "user", "content": FORM}]
    answer = client.chat.completions.parse(**body, messages=messages, response_format=Place)
    return is_place(answer.choices[0].message.parsed)
use("parse, chat", chat)
""",
    ),
    "openai-agents": uses(
        ("openai-agents",),
        """
from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner
from agents import function_tool, set_tracing_disabled
from openai import AsyncOpenAI
set_tracing_disabled(True)
client = AsyncOpenAI(base_url=url, api_key="none")
for kind in (OpenAIResponsesModel, OpenAIChatCompletionsModel):
    told = dict(model=kind(model, client), model_settings=ModelSettings(temperature=0))
    agent = Agent("sums", **told, tools=[function_tool(add)])
    use(kind.__name__, lambda: is_sum(Runner.run_sync(agent, SUM).final_output))
    form = Agent("form", **told, output_type=Place)
    use(f"{kind.__name__}, structured", lambda: is_place(Runner.run_sync(form, FORM).final_output))
""",
    ),
    "langchain": uses(
        ("langchain", "langchain-openai"),
        """
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
for responses in (False, True):
    told = dict(base_url=url, api_key="none", model=model, temperature=0)
    chat = ChatOpenAI(**told, use_responses_api=responses)
    where = ", responses" if responses else ""
    def agent():
        turns = create_agent(chat, [add]).invoke({"messages": [("user", SUM)]})["messages"]
        return is_sum(turns[-1].text)
    use("agent" + where, agent)
    for method in ("json_schema", "function_calling"):
        use(method + where, lambda: is_place(chat.with_structured_output(Place, method=method).invoke(FORM)))
""",
    ),
    "autogen": uses(
        ("autogen-agentchat", "autogen-ext[openai]"),
        """
from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient
can = dict(vision=False, function_calling=True, json_output=True, family="unknown", structured_output=True)
told = dict(model=model, base_url=url, api_key="none", temperature=0)
client = OpenAIChatCompletionClient(**told, model_info=can)
def agent(**more):
    return AssistantAgent("helper", model_client=client, **more)
def sums():
    told = asyncio.run(agent(tools=[add], reflect_on_tool_use=True).run(task=SUM))
    return is_sum(told.messages[-1].content)
use("agent", sums)
""",
    ),
    "litellm, tools": uses(
        ("litellm", "pydantic"),
        """
import litellm
given = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
tool = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": given}}
body = dict(model="openai/" + model, api_base=url, api_key="none", temperature=0, tools=[tool])
def loop(**more):
    turns = [{"role": "user", "content": SUM}]
    for _ in range(4):
        turns.append(litellm.completion(messages=turns, **body, **more).choices[0].message)
        if not turns[-1].tool_calls:
            return is_sum(turns[-1].content)
        for call in turns[-1].tool_calls:
            told = add(**json.loads(call.function.arguments))
            turns.append(dict(role="tool", tool_call_id=call.id, name=call.function.name, content=told))
use("loop", loop)
use("loop, one call at a time", lambda: loop(parallel_tool_calls=False))
def too_long():
    try:
        litellm.completion(**{**body, "tools": None}, messages=[{"role": "user", "content": "x " * 200000}])
    except litellm.ContextWindowExceededError:
        return True
use("full context", too_long)
""",
    ),
    "llama-index": uses(
        ("llama-index-llms-openai-like",),
        """
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
can = dict(is_chat_model=True, is_function_calling_model=True)
llm = OpenAILike(model=model, api_base=url, api_key="none", temperature=0, max_tokens=200, **can)
async def agent():
    return await FunctionAgent(tools=[FunctionTool.from_defaults(add)], llm=llm).run(SUM)
use("agent", lambda: is_sum(asyncio.run(agent())))
use("structured", lambda: is_place(llm.as_structured_llm(Place).complete(FORM).raw))
""",
    ),
    "pydantic-ai": uses(
        ("pydantic-ai-slim[openai]",),
        """
from pydantic_ai import Agent, ModelSettings, NativeOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
for kind in (OpenAIChatModel, OpenAIResponsesModel):
    provider = OpenAIProvider(base_url=url, api_key="none")
    chat = kind(model, provider=provider, settings=ModelSettings(temperature=0))
    use(kind.__name__, lambda: is_sum(Agent(chat, tools=[add]).run_sync(SUM).output))
    for form in (NativeOutput, ToolOutput):
        told = f"{kind.__name__}, {form.__name__}"
        use(told, lambda: is_place(Agent(chat, output_type=form(Place)).run_sync(FORM).output))
""",
    ),
    "openai-node, uses": node_uses(
        ("openai", "zod"),
        """
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat, zodFunction } from "openai/helpers/zod";
const client = new OpenAI({ baseURL: url, apiKey: "none" });
const chat = { model, temperature: 0, messages: [{ role: "user", content: FORM }] };
const brief = { ...chat, messages: [{ role: "user", content: question }], max_tokens: 40 };
const response = { model, temperature: 0, input: question, max_output_tokens: 40 };
const description = "Adds two whole numbers.";
const few = { maxChatCompletions: 4 };
const tool = zodFunction({ name: "add", description, parameters: Sum, function: add });
await use("chat, parse", async () => {
  const response_format = zodResponseFormat(Place, "place");
  const told = await client.chat.completions.parse({ ...chat, response_format });
  return isPlace(told.choices[0].message.parsed);
});
await use("chat, stream", async () => {
  const stream = client.chat.completions.stream(brief);
  let text = "";
  stream.on("content", (piece) => (text += piece));
  const told = await stream.finalContent();
  return told === text && text.length > 0;
});
await use("chat, runTools", async () => {
  const asked = { ...chat, messages: [{ role: "user", content: SUM }], tools: [tool] };
  return isSum(await client.chat.completions.runTools(asked, few).finalContent());
});
await use("chat, runTools, streamed", async () => {
  const asked = { ...chat, messages: [{ role: "user", content: SUM }], tools: [tool], stream: true };
  return isSum(await client.chat.completions.runTools(asked, few).finalContent());
});
await use("responses, create", async () => (await client.responses.create(response)).output_text.length > 0);
await use("responses, stream", async () => {
  const stream = client.responses.stream(response);
  let text = "";
  stream.on("response.output_text.delta", (event) => (text += event.delta));
  const told = await stream.finalResponse();
  return told.output_text === text && text.length > 0;
});
await use("responses, parse", async () => {
  const form = { text: { format: zodTextFormat(Place, "place") } };
  return isPlace((await client.responses.parse({ ...response, input: FORM, ...form })).output_parsed);
});
await use("responses, tools", async () => {
  const input = [{ role: "user", content: SUM }];
  const parameters = z.toJSONSchema(Sum);
  const tools = [{ type: "function", name: "add", description, parameters, strict: true }];
  const first = await client.responses.create({ ...response, input, tools });
  input.push(...first.output);
  for (const call of first.output.filter((item) => item.type === "function_call"))
    input.push({
      type: "function_call_output", call_id: call.call_id, output: add(JSON.parse(call.arguments)),
    });
  const last = await client.responses.create({ ...response, input, tools });
  return input.length > 2 && isSum(last.output_text);
});
""",
    ),
    "ai-sdk": node_uses(
        ("ai@6", "@ai-sdk/openai@3", "@ai-sdk/openai-compatible@2", "zod"),
        """
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
const openai = createOpenAI({ baseURL: url, apiKey: "none" });
const named = { name: "aspd", baseURL: url, supportsStructuredOutputs: true };
const kinds = {
  responses: openai(model),
  chat: openai.chat(model),
  compatible: createOpenAICompatible(named)(model),
};
const tools = { add: tool({ description: "Adds two whole numbers.", inputSchema: Sum, execute: add }) };
const output = Output.object({ schema: Place });
const onError = () => {};
for (const [kind, llm] of Object.entries(kinds)) {
  const told = { model: llm, temperature: 0, maxRetries: 0 };
  const brief = { ...told, prompt: question, maxOutputTokens: 20 };
  await use(`${kind}, text`, async () => (await generateText(brief)).text);
  await use(`${kind}, stream`, async () => {
    const result = streamText({ ...brief, onError });
    let text = "";
    for await (const piece of result.textStream) text += piece;
    return (await result.text) === text && text.length > 0;
  });
  const stopWhen = stepCountIs(4);
  await use(`${kind}, tools`, async () => {
    const result = await generateText({ ...told, prompt: SUM, tools, stopWhen });
    return isSum(result.text) && result.steps.length > 1;
  });
  await use(`${kind}, tools streamed`, async () => {
    const result = streamText({ ...told, prompt: SUM, tools, stopWhen, onError });
    return isSum(await result.text) && (await result.steps).length > 1;
  });
  await use(`${kind}, tool required`, async () => {
    const result = await generateText({ ...told, prompt: SUM, tools, toolChoice: "required" });
    return isSum(result.toolResults[0].output);
  });
  await use(`${kind}, object`, async () => {
    return isPlace((await generateText({ ...told, prompt: FORM, output })).output);
  });
  await use(`${kind}, object streamed`, async () => {
    const result = streamText({ ...told, prompt: FORM, output, onError });
    let last;
    for await (const part of result.partialOutputStream) last = part;
    return isPlace(last);
  });
}
await use("tools and object", async () => {
  const prompt = SUM.replace(/\\.$/, ', as JSON: {"sum": ...}.');
  const result = await generateText({
    model: kinds.chat, temperature: 0, maxRetries: 0, tools, stopWhen: stepCountIs(4), prompt,
    output: Output.object({ schema: z.object({ sum: z.number() }) }),
  });
  return result.output.sum === 5555 && result.steps.length > 1;
});
""",
    ),
    "instructor": uses(
        ("instructor",),
        """
import instructor
from openai import OpenAI
client = OpenAI(base_url=url, api_key="none")
class Visit(BaseModel):
    places: list[Place]
messages = [{"role": "user", "content": FORM}]
body = dict(model=model, temperature=0, max_tokens=100, max_retries=0)
for mode in ("TOOLS", "JSON", "JSON_SCHEMA", "MD_JSON", "RESPONSES_TOOLS"):
    asked = instructor.from_openai(client, mode=instructor.Mode[mode])
    use(mode, lambda: is_place(asked.create(response_model=Place, messages=messages, **body)))
asked = instructor.from_openai(client)
def nested():
    return is_place(asked.create(response_model=Visit, messages=messages, **body).places[0])
def partial():
    *_, last = asked.create_partial(response_model=Place, messages=messages, **body)
    return is_place(last)
def iterable():
    found = asked.create_iterable(response_model=Place, messages=messages, **body)
    return is_place(next(iter(found)))
use("nested", nested)
use("partial", partial)
use("iterable", iterable)
""",
    ),
    "semantic-kernel": uses(
        ("semantic-kernel",),
        """
from openai import AsyncOpenAI
from semantic_kernel import Kernel
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai import FunctionChoiceBehavior
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion, OpenAIChatPromptExecutionSettings
from semantic_kernel.contents import ChatHistory
from semantic_kernel.functions import KernelArguments, kernel_function
class Sums:
    @kernel_function(description="Adds two whole numbers.")
    def add(self, a: int, b: int) -> str:
        return add(a, b)
def service():
    return OpenAIChatCompletion(ai_model_id=model, async_client=AsyncOpenAI(base_url=url, api_key="none"))
def asking(text):
    history = ChatHistory()
    history.add_user_message(text)
    return history
def settings(**more):
    return OpenAIChatPromptExecutionSettings(temperature=0, max_tokens=60, **more)
def calling():
    kernel = Kernel()
    kernel.add_plugin(Sums(), "sums")
    return settings(function_choice_behavior=FunctionChoiceBehavior.Auto()), kernel
async def chat():
    return str(await service().get_chat_message_content(asking(question), settings()))
async def stream():
    pieces = service().get_streaming_chat_message_content(asking(question), settings())
    return "".join([str(piece) async for piece in pieces])
async def tools():
    told, kernel = calling()
    return is_sum(await service().get_chat_message_content(asking(SUM), told, kernel=kernel))
async def tools_streamed():
    told, kernel = calling()
    pieces = service().get_streaming_chat_message_content(asking(SUM), told, kernel=kernel)
    return is_sum("".join([str(piece) async for piece in pieces]))
async def structured():
    told = await service().get_chat_message_content(asking(FORM), settings(response_format=Place))
    return is_place(Place.model_validate_json(str(told)))
async def agent():
    told = ChatCompletionAgent(
        service=service(), name="helper", instructions="Be brief.", plugins=[Sums()],
        arguments=KernelArguments(settings=settings()))
    return is_sum(await told.get_response(messages=SUM))
for act in (chat, stream, tools, tools_streamed, structured, agent):
    use(act.__name__, lambda: asyncio.run(act()))
""",
    ),
    "smolagents": uses(
        ("smolagents[openai]",),
        """
from smolagents import CodeAgent, OpenAIModel, ToolCallingAgent, tool
@tool
def add_numbers(a: int, b: int) -> int:
    \"\"\"Adds two whole numbers.

    Args:
        a: The first.
        b: The second.
    \"\"\"
    return a + b
llm = OpenAIModel(model_id=model, api_base=url, api_key="none", temperature=0, max_tokens=200)
sums = SUM.replace("the tool", "add_numbers")
def agent(kind, **more):
    return kind(tools=[add_numbers], model=llm, max_steps=4, verbosity_level=0, **more)
use("model", lambda: llm([{"role": "user", "content": "Say yes."}]).content)
use("ToolCallingAgent", lambda: is_sum(agent(ToolCallingAgent).run(sums)))
use("CodeAgent", lambda: is_sum(agent(CodeAgent).run(sums)))
use("CodeAgent, streamed", lambda: is_sum(agent(CodeAgent, stream_outputs=True).run(sums)))
""",
    ),
    "llm": uses(
        ("llm", "pydantic"),
        """
import os, subprocess
from pathlib import Path
home = Path("home").absolute()
home.mkdir(exist_ok=True)
(home / "extra-openai-models.yaml").write_text(f'''
- model_id: here
  model_name: {model}
  api_base: {url}
  api_key_name: none
  supports_tools: true
  supports_schema: true
''')
(home / "keys.json").write_text('{"none": "none"}')
llm = str(Path(sys.executable).parent / "llm")
def ran(*args, given=None):
    command = [llm, *args, "-m", "here", "-o", "temperature", "0"]
    env = {**os.environ, "LLM_USER_PATH": str(home)}
    done = subprocess.run(command, input=given, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-150:]
    return done.stdout
brief = ("-o", "max_tokens", "30")
plus = "def add(a: int, b: int) -> str:\\n    'Adds two whole numbers.'\\n    return str(a + b)"
use("prompt, streamed", lambda: ran(question, *brief))
use("prompt, whole", lambda: ran(question, "--no-stream", *brief))
use("goes on", lambda: ran("And of running?", "-c", *brief))
use("chat", lambda: ran("chat", *brief, given="Hello.\\nAnd good bye.\\nexit\\n"))
use("tools", lambda: is_sum(ran(SUM, "--functions", plus)))
use("tools, whole", lambda: is_sum(ran(SUM, "--functions", plus, "--no-stream")))
use("schema", lambda: is_place(Place.model_validate_json(ran(FORM, "--schema", "city, country"))))
""",
    ),
    "java": Client((), JAVA, "java"),
}
