"""Do unmodified clients work? Installs each into an environment of its own and asks.

First a question, whole and streamed, through a proxy that keeps what `aspd serve` sent: the client's text
must be the content of the body, and the contents of the chunks put together. Then what each is ordinarily
used for (client_uses.py), with nothing between: streams, tools in a loop, structured output, responses. Each
use is right or not; a model is needed that can call tools. MODEL may be the URL of a server that runs.
Needs the package index of Python; for some node with npm's, or Java.

    python bench/clients.py MODEL [--only "NAME;..."] [--into DIR]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
from client_uses import USES, Client

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
    "openai-node": Client(("openai",), NODE, "node"),
}


def run(client: Client, folder: Path, args: list[str]) -> Any:
    """What it printed, as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    if client.language == "java":
        script = folder / "Ask.java"
        command = ["java", str(script)]
    elif client.language == "node":
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
        [*command, *args], capture_output=True, text=True, cwd=folder, check=True, timeout=1800
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
    bad = 0
    with (
        tempfile.TemporaryDirectory() as scratch,
        served(args.model) as url,
        Proxy(url) as proxy,
    ):
        for name in args.only.split(";"):
            proxy.sent.clear()
            where = (args.into or Path(scratch)) / name
            given = [f"{url}/v1", proxy.model] if name in USES else [f"{proxy.url}/v1", "any"]
            try:
                printed = run((CLIENTS | USES)[name], where, [*given, QUESTION])
            except (subprocess.SubprocessError, OSError) as error:
                lines = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
                print(f"{name}: failed: {lines[-1]}", flush=True)
                bad += 1
                continue
            if name in USES:
                print(f"{name}: {json.dumps(printed)}", flush=True)
                bad += not all(right is True for right in printed.values())
                continue
            sent = [content(each) for each in proxy.sent]
            same = [one == other for one, other in zip(printed, sent, strict=True)]
            print(f"{name}: whole {same[0]}, streamed {same[1]}, {len(sent[1])} characters", flush=True)
            bad += not all(same)
    raise SystemExit(bad > 0)


@contextmanager
def served(model: str) -> Iterator[str]:
    """The URL of a server of this model: one that runs, or one that is started and ended."""
    if model.startswith("http"):
        yield model.rstrip("/")
        return
    entry = [sys.executable, "-c", "from aspd_local.cli.app import main; main()", "serve"]
    with ServerProcess([*entry, str(resolve(model))]) as server:
        yield server.url


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
        self.model = model = http.get("/v1/models").json()["data"][0]["id"]

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
