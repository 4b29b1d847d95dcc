"""Do unmodified clients work? Installs each into an environment of its own and asks.

First a question, whole and streamed, through a proxy that keeps what `aspd serve` sent: the client's text
must be the content of the body, and the contents of the chunks put together. Then what each is ordinarily
used for: tools in a loop, structured output, responses. Each use is right or not; a model is needed that can
call tools.
Needs the package indexes of Python and, for openai-node, npm.

    python bench/clients.py MODEL [--only "NAME;..."] [--into DIR]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2

from aspd_local.eval.llama_server import ServerProcess
from aspd_local.sources import resolve

QUESTION = "What are the benefits of cycling to work?"
PYTHON = """
import json, sys
url, model, question = sys.argv[1:]
def said(whole, streamed): print(json.dumps([whole, streamed]))
"""
NODE = """
import OpenAI from "openai";
const [url, model, question] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url, apiKey: "none" });
const body = { model, messages: [{ role: "user", content: question }], temperature: 0, max_tokens: 300 };
const whole = (await client.chat.completions.create(body)).choices[0].message.content;
let streamed = "";
for await (const chunk of await client.chat.completions.create({ ...body, stream: true }))
  streamed += chunk.choices[0].delta.content ?? "";
console.log(JSON.stringify([whole, streamed]));
"""


@dataclass(frozen=True)
class Client:
    """packages: of pip, or of npm for a script of node."""

    packages: tuple[str, ...]
    script: str
    node: bool = False


CLIENTS = {
    "openai": Client(
        ("openai",),
        PYTHON
        + """
from openai import OpenAI
client = OpenAI(base_url=url, api_key="none")
body = dict(model=model, messages=[{"role": "user", "content": question}], temperature=0, max_tokens=300)
whole = client.chat.completions.create(**body).choices[0].message.content
chunks = client.chat.completions.create(**body, stream=True, extra_body={"aspd": {"stream": "live"}})
said(whole, "".join(chunk.choices[0].delta.content or "" for chunk in chunks))
""",
    ),
    "langchain-openai": Client(
        ("langchain-openai",),
        PYTHON
        + """
from langchain_openai import ChatOpenAI
chat = ChatOpenAI(base_url=url, api_key="none", model=model, temperature=0, max_tokens=300)
said(chat.invoke(question).content, "".join(chunk.content for chunk in chat.stream(question)))
""",
    ),
    "litellm": Client(
        ("litellm",),
        PYTHON
        + """
import litellm
body = dict(model="openai/" + model, api_base=url, api_key="none", temperature=0, max_tokens=300,
            messages=[{"role": "user", "content": question}])
whole = litellm.completion(**body).choices[0].message.content
chunks = litellm.completion(**body, stream=True)
said(whole, "".join(chunk.choices[0].delta.content or "" for chunk in chunks))
""",
    ),
    "openai-node": Client(("openai",), NODE, node=True),
}

# Each prints which of its uses were right: a sum that the tool makes, a form to fill in.
USE = """
import asyncio, json, sys
from pydantic import BaseModel
url, model, question = sys.argv[1:]
SUM = "What is 1234 plus 4321? Use the tool."
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


def uses(packages: tuple[str, ...], script: str) -> Client:
    """A client whose script fills `found`."""
    return Client(packages, f"{USE}{script}\nprint(json.dumps(found))\n")


USES = {
    "openai, responses": uses(
        ("openai", "pydantic"),
        """
from openai import OpenAI
client = OpenAI(base_url=url, api_key="none")
body = dict(model=model, temperature=0)
use("create", lambda: client.responses.create(**body, input=question, max_output_tokens=100).output_text)
def streamed():
    with client.responses.stream(**body, input=question, max_output_tokens=100) as events:
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
from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner
from agents import function_tool, set_tracing_disabled
from openai import AsyncOpenAI
set_tracing_disabled(True)
client = AsyncOpenAI(base_url=url, api_key="none")
for kind in (OpenAIResponsesModel, OpenAIChatCompletionsModel):
    told = dict(name="sums", instructions="Be brief.", model=kind(model, client))
    agent = Agent(**told, tools=[function_tool(add)])
    use(kind.__name__, lambda: is_sum(Runner.run_sync(agent, SUM).final_output))
    form = Agent(name="form", model=kind(model, client), output_type=Place)
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
client = OpenAIChatCompletionClient(model=model, base_url=url, api_key="none", model_info=can)
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
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
for kind in (OpenAIChatModel, OpenAIResponsesModel):
    chat = kind(model, provider=OpenAIProvider(base_url=url, api_key="none"))
    use(kind.__name__, lambda: is_sum(Agent(chat, tools=[add]).run_sync(SUM).output))
    for form in (NativeOutput, ToolOutput):
        told = f"{kind.__name__}, {form.__name__}"
        use(told, lambda: is_place(Agent(chat, output_type=form(Place)).run_sync(FORM).output))
""",
    ),
}


def run(client: Client, folder: Path, args: list[str]) -> Any:
    """What it printed, as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    if client.node:
        if not (folder / "node_modules").exists():
            subprocess.run(["npm", "install", "--silent", *client.packages], cwd=folder, check=True)
        script = folder / "ask.mjs"
        command = ["node", str(script)]
    else:
        python = folder / "venv" / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
            subprocess.run([str(python), "-m", "pip", "install", "-q", *client.packages], check=True)
        script = folder / "ask.py"
        command = [str(python), str(script)]
    script.write_text(client.script, encoding="utf-8")
    done = subprocess.run(
        [*command, *args], capture_output=True, text=True, cwd=folder, check=True, timeout=300
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Asks with every client; the exit code is 1 where one differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--only", metavar="NAME;...", default=";".join([*CLIENTS, *USES]), help="parted by ;")
    parser.add_argument("--into", type=Path, help="keeps the environments here")
    args = parser.parse_args()
    entry = [sys.executable, "-c", "from aspd_local.cli.app import main; main()", "serve"]
    bad = 0
    with (
        tempfile.TemporaryDirectory() as scratch,
        ServerProcess([*entry, str(resolve(args.model))]) as server,
        Proxy(server.url) as proxy,
    ):
        for name in args.only.split(";"):
            proxy.sent.clear()
            where = (args.into or Path(scratch)) / name
            try:
                printed = run((CLIENTS | USES)[name], where, [f"{proxy.url}/v1", "any", QUESTION])
            except (subprocess.SubprocessError, OSError) as error:
                lines = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
                print(f"{name}: failed: {lines[-1]}")
                bad += 1
                continue
            if name in USES:
                print(f"{name}: {json.dumps(printed)}")
                bad += not all(right is True for right in printed.values())
                continue
            sent = [content(each) for each in proxy.sent]
            same = [one == other for one, other in zip(printed, sent, strict=True)]
            print(f"{name}: whole {same[0]}, streamed {same[1]}, {len(sent[1])} characters")
            bad += not all(same)
    raise SystemExit(bad > 0)


def content(sent: bytes) -> str:
    """The text in a body that the server sent, whole or a stream."""
    if not sent.startswith(b"data: "):
        said: str = json.loads(sent)["choices"][0]["message"]["content"]
        return said
    chunks = [json.loads(line[6:]) for line in sent.decode().split("\n\n") if line[6:].startswith("{")]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


class Proxy:
    """Passes requests on to a server and keeps what it answers, in order, under the model's own name."""

    def __init__(self, server: str) -> None:
        self.sent: list[bytes] = []
        outer = self
        http = httpx2.Client(base_url=server, timeout=300, trust_env=False)
        model = http.get("/v1/models").json()["data"][0]["id"]

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = http.post(self.path, json={**body, "model": model})
                outer.sent.append(answer.content)
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers["content-type"])
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()


if __name__ == "__main__":
    main()
