"""What a server does for many clients at once, and what it costs over the Python API.

    throughput   clients side by side against one after the other, and, with --peer, against llama-server
                 with as many slots and serial answers: tokens of answers a second, and the ratios
    first        milliseconds to the first text of a stream, through the server and from Model.stream()
    leaving      clients that leave at random moments: seconds until the engine is rid of their answers
    refusing     milliseconds to refuse hostile bodies
    soak         resident anonymous memory a request, over many requests of their own

    python bench/serve.py MODEL {throughput,first,leaving,refusing,soak} [--clients 16] [--each 4]
        [--max-tokens 96] [--requests 8] [--threads N] [--peer llama-server] [--n N]

Prints JSON. Everything runs on this machine, one part after another, rounds of ours and theirs in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx2

from aspd_local import Model
from aspd_local.eval.llama_server import ServerProcess
from aspd_local.sources import resolve

CHAT = "/v1/chat/completions"
REST_S = 0.5  # the threads of the other side look for work for a while after each step
TOPICS = (
    "cycling to work",
    "growing tomatoes",
    "learning the piano",
    "a week in Norway",
    "keeping bees",
    "a small flat",
    "night shifts",
    "cooking for ten",
)
HOSTILE: dict[str, bytes] = {
    "deep": b"[" * 1_000_000,
    "many messages": b'{"messages":[' + b",".join([b'{"role":"user","content":"x"}'] * 100_000) + b"]}",
    "large": b'{"messages":"' + b"x" * 100_000_000 + b'"}',
    "many biases": json.dumps({"messages": [], "logit_bias": {str(i): 1 for i in range(100_000)}}).encode(),
    "long number": b'{"n":' + b"9" * 1_000_000 + b"}",
    "many choices": b'{"messages":[{"role":"user","content":"x"}],"n":1000000000}',
    "many tokens": b'{"messages":[{"role":"user","content":"x"}],"max_tokens":9223372036854775808}',
    "negative": b'{"messages":[{"role":"user","content":"x"}],"max_tokens":-1,"top_k":-1,"seed":-1e30}',
    "not a number": b'{"messages":[{"role":"user","content":"x"}],"temperature":NaN}',
    "long prompt": json.dumps({"messages": [{"role": "user", "content": "x " * 1_000_000}]}).encode(),
}


def question(number: int) -> str:
    """A question of its own that asks for a list."""
    return f"What are the benefits and risks of {TOPICS[number % len(TOPICS)]}? ({number})"


def body(number: int, args: argparse.Namespace, **more: Any) -> dict[str, Any]:
    """Of a request."""
    messages = [{"role": "user", "content": question(number)}]
    return {"messages": messages, "temperature": 0, "max_tokens": args.max_tokens, **more}


def command(args: argparse.Namespace) -> list[str]:
    """`aspd serve`, with everything but the address."""
    entry = [sys.executable, "-c", "from aspd_local.cli.app import main; main()", "serve", str(args.path)]
    return [*entry, "--requests", str(args.requests), "--threads", str(args.threads), "--n-ctx", "8192"]


async def ask_all(url: str, args: argparse.Namespace, clients: int, more: dict[str, Any]) -> dict[str, float]:
    """args.each requests from each client; the clients run side by side."""
    async with httpx2.AsyncClient(base_url=url, timeout=600, trust_env=False) as http:

        async def one_client(client: int) -> int:
            tokens = 0
            for i in range(args.each * args.clients // clients):
                said = body(client + clients * i, args, **more)
                found = (await http.post(CHAT, json=said)).json()
                tokens += found["usage"]["completion_tokens"]
            return tokens

        begun = time.perf_counter()
        tokens = sum(await asyncio.gather(*(one_client(i) for i in range(clients))))
        seconds = time.perf_counter() - begun
    return {"tokens": tokens, "seconds": seconds, "tokens_per_s": tokens / seconds}


def throughput(args: argparse.Namespace) -> dict[str, Any]:
    """Rounds of all ways in turn; medians."""
    serial = {"aspd": {"parallel": "off"}}
    rounds: dict[str, list[float]] = {}
    with ExitStack() as stack:
        ours = stack.enter_context(ServerProcess(command(args))).url
        ways: dict[str, tuple[str, int, dict[str, Any]]] = {
            "together": (ours, args.clients, {}),
            "one after another": (ours, 1, {}),
        }
        if args.peer:
            slots = [
                "--parallel",
                str(args.requests),
                "--ctx-size",
                "8192",
                "--threads",
                str(args.threads or 2),
            ]
            peer = stack.enter_context(ServerProcess([args.peer, "--model", str(args.path), *slots])).url
            ways["serial, together"] = (ours, args.clients, serial)
            ways["llama-server"] = (peer, args.clients, {})
        for _ in range(args.rounds):
            for name, (url, clients, more) in ways.items():
                found = asyncio.run(ask_all(url, args, clients, more))
                rounds.setdefault(name, []).append(found["tokens_per_s"])
                print(f"{name}: {found['tokens_per_s']:.1f} tokens/s", file=sys.stderr)
    medians = {name: statistics.median(values) for name, values in rounds.items()}
    said: dict[str, Any] = {"tokens_per_s": medians}
    said["together / one after another"] = medians["together"] / medians["one after another"]
    if args.peer:
        said["serial, together / llama-server"] = medians["serial, together"] / medians["llama-server"]
    return said


def first(args: argparse.Namespace) -> dict[str, Any]:
    """Alternating: a stream of the server, a stream of the Python API, both with a prompt of their own."""
    times: dict[str, list[float]] = {"server": [], "python": []}
    with ExitStack() as stack:
        url = stack.enter_context(ServerProcess(command(args))).url
        http = stack.enter_context(httpx2.Client(base_url=url, timeout=600, trust_env=False))
        threads = {"n_threads": args.threads, "n_threads_batch": args.threads}
        model = stack.enter_context(Model(args.path, n_ctx=8192, n_requests=args.requests, **threads))
        for i in range(args.n or 40):
            time.sleep(REST_S)
            begun = time.perf_counter()
            with http.stream("POST", CHAT, json=body(i, args, stream=True)) as answer:
                for line in answer.iter_lines():
                    if '"content":"' in line and '"content":""' not in line:
                        times["server"].append(time.perf_counter() - begun)
                        break
            time.sleep(REST_S)
            begun = time.perf_counter()
            for _ in model.stream_text(question(i), temperature=0, max_tokens=args.max_tokens):
                times["python"].append(time.perf_counter() - begun)
                break
    medians = {name: 1e3 * statistics.median(values[2:]) for name, values in times.items()}
    return {"ms": medians, "difference_ms": medians["server"] - medians["python"]}


async def leave(url: str, args: argparse.Namespace) -> list[float]:
    """Some clients are always asking; each leaves after a random time. Seconds until nothing is under way."""
    dice = random.Random(0)
    found = []
    async with httpx2.AsyncClient(base_url=url, timeout=600, trust_env=False) as http:

        async def one(number: int) -> None:
            async with http.stream("POST", CHAT, json=body(number, args, stream=True)) as answer:
                async for _ in answer.aiter_lines():
                    pass

        for i in range(args.n or 300):
            n = dice.randint(1, 3)
            asked = [asyncio.create_task(one(n * i + j)) for j in range(n)]
            await asyncio.sleep(dice.random() * dice.choice([0.02, 0.3, 1.0]))
            for task in asked:
                task.cancel()
            begun = time.perf_counter()
            for task in asked:
                with suppress(asyncio.CancelledError):
                    await task
            while 'aspd_answers_under_way{model="' in (text := (await http.get("/metrics")).text):
                line = next(line for line in text.splitlines() if line.startswith("aspd_answers_under_way{"))
                if line.endswith(" 0.0"):
                    break
            found.append(time.perf_counter() - begun)
    return sorted(found)


def leaving(args: argparse.Namespace) -> dict[str, Any]:
    """Quantiles; asking for the metrics is part of each."""
    with ServerProcess(command(args)) as server:
        found = asyncio.run(leave(server.url, args))
    return {
        "n": len(found),
        "median_ms": 1e3 * statistics.median(found),
        "p99_ms": 1e3 * found[int(0.99 * len(found))],
        "longest_ms": [round(1e3 * seconds) for seconds in found[-5:]],
    }


def refusing(args: argparse.Namespace) -> dict[str, Any]:
    """Medians of five; the time that the bytes take to arrive is part of it."""
    said = {}
    with ServerProcess(command(args)) as server, httpx2.Client(base_url=server.url, trust_env=False) as http:
        for name, content in HOSTILE.items():
            times = []
            for _ in range(5):
                begun = time.perf_counter()
                try:
                    status = http.post(
                        CHAT, content=content, headers={"Content-Type": "application/json"}
                    ).status_code
                except httpx2.TransportError:  # it hung up while we were still sending
                    status = 413
                times.append(1e3 * (time.perf_counter() - begun))
            said[name] = {"status": status, "ms": round(statistics.median(times), 1)}
        http.get("/health").raise_for_status()
    return said


def anonymous_kib(pid: int) -> int:
    """Resident anonymous memory of a process, and what of it is swapped out."""
    fields = dict(
        line.split(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    return sum(int(fields[name].split()[0]) for name in ("RssAnon", "VmSwap"))


def soak(args: argparse.Namespace) -> dict[str, Any]:
    """Unique requests, streamed and not, some left early, 8 at a time."""
    n = args.n or 3000
    args.max_tokens = min(args.max_tokens, 16)
    with ServerProcess(command(args)) as server:
        held: dict[int, int] = {}

        async def run() -> None:
            async with httpx2.AsyncClient(base_url=server.url, timeout=600, trust_env=False) as http:
                for done in range(0, n, 8):
                    await asyncio.gather(*(one(http, done + i) for i in range(8)))
                    if done % 304 == 296:
                        held[done + 8] = anonymous_kib(server.pid)
                        print(f"{done + 8}: {held[done + 8]} KiB", file=sys.stderr)

        async def one(http: httpx2.AsyncClient, number: int) -> None:
            if number % 2:
                await http.post(CHAT, json=body(number, args))
                return
            async with http.stream("POST", CHAT, json=body(number, args, stream=True)) as answer:
                async for line in answer.aiter_lines():
                    if number % 10 == 0 and "content" in line:
                        break

        asyncio.run(run())
    (n_before, before), (n_after, after) = next(iter(held.items())), list(held.items())[-1]
    return {"kib": held, "kib_a_request": (after - before) / (n_after - n_before)}


def main() -> None:
    """Measures one thing and prints it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parts = {"throughput": throughput, "first": first, "leaving": leaving, "refusing": refusing, "soak": soak}
    parser.add_argument("part", choices=parts)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--each", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-tokens", type=int, default=96)
    parser.add_argument("--requests", type=int, default=8)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--n", type=int, default=0)
    parser.add_argument("--peer", help="llama.cpp's llama-server")
    args = parser.parse_args()
    args.path = resolve(args.model)
    try:
        print(json.dumps(parts[args.part](args), indent=1))
    except subprocess.SubprocessError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
