"""How long does an answer with a list take, from this engine and from llama.cpp's own programs?

Asks the same questions, greedily, in turn of: the engine with branches and without, llama-server without and
with speculation by n-grams (no second model), llama-cpp-python if it is installed. All have the model in
memory and have answered one question before. Prints for each the medians over the questions of

    tokens_per_s           sampled tokens / seconds of decoding them; of the engine with its plans and markers
    seconds                from the question to the whole answer
    seconds_per_100_words  the same by length of the text that a reader sees: answers differ

and `speed`: how many times as fast as plain llama-server, median over the questions; above 1 is faster.

    python bench/peers.py --model MODEL [--questions QUESTIONS.jsonl [--labels LABELS.csv]] [--limit 8]
        [--max-tokens 400] [--speculation ngram-mod,ngram-simple,ngram-cache] [--json]

QUESTIONS: JSON lines with question_id, category, turns; without, eight of this script are asked. LABELS:
`label;request`; only what is labelled 1 is asked.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import comparison
import questions
from contenders import BindingPeer, EnginePeer, Peer, Reading, ServerPeer, load_binding, open_engine
from llama_server import LlamaServer

SPECULATION = ("ngram-mod", "ngram-simple", "ngram-map-k", "ngram-map-k4v", "ngram-cache")
WARM_UP = "Name three colours."
BASELINE = "llama-server"
QUESTIONS = (
    "What should I look at before I rent a flat?",
    "How can a small office save electricity?",
    "What are good ways to learn a language as an adult?",
    "Which things belong in a first-aid kit for a hike, and what is each for?",
    "What are the advantages and disadvantages of working at night?",
    "How do I prepare for a job interview?",
    "Compare bicycle, bus and car for a daily way of ten kilometres.",
    "What are the main parts of a computer, and what does each do?",
)


def speculation(text: str) -> list[str]:
    """The kinds of a comma-separated list, each once; "none": no kind. Raises ArgumentTypeError."""
    kinds = list(dict.fromkeys(part for part in text.split(",") if part and part != "none"))
    for kind in kinds:
        if kind not in SPECULATION:
            raise argparse.ArgumentTypeError(f"{kind!r} is none of {', '.join(SPECULATION)}")
    return kinds


def choose(asked: Sequence[str], listed: set[str] | None, limit: int) -> list[str]:
    """At most `limit` questions, spread over those in `listed` (None: all). Raises ValueError for none."""
    fitting = [question for question in asked if listed is None or question in listed]
    if not fitting:
        raise ValueError("no question is labelled 1")
    n = min(limit, len(fitting))
    return [fitting[i * len(fitting) // n] for i in range(n)]


def read_labels(path: Path) -> set[str]:
    """The requests labelled 1 of a file `label;request` with a header. Raises ValueError for another file."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter=";")
        if rows.fieldnames is None or not {"label", "request"} <= set(rows.fieldnames):
            raise ValueError(f"{path}: no columns label;request")
        return {row["request"] for row in rows if row["label"] == "1"}


def summarise(readings: dict[str, list[Reading]]) -> list[dict[str, Any]]:
    """One entry for each peer. readings: name -> an answer to each question, in the same order."""
    figures = {name: [reading.figures() for reading in answers] for name, answers in readings.items()}
    summary = []
    for name, rows in figures.items():
        entry: dict[str, Any] = {"name": name}
        for figure in rows[0]:
            entry[figure] = statistics.median(row[figure] for row in rows)
        pairs = list(zip(rows, figures[BASELINE], strict=True))
        entry["speed"] = {
            figure: comparison.ratio_of_pairs(
                (ours[figure], base[figure]) if figure == "tokens_per_s" else (base[figure], ours[figure])
                for ours, base in pairs
            )
            for figure in rows[0]
        }
        summary.append(entry)
    return summary


def open_peers(
    settings: comparison.Settings, args: argparse.Namespace, stack: ExitStack
) -> tuple[list[Peer], comparison.Settings]:
    """Everyone who answers, and the settings that they have. Raises PeerError, ModelError."""
    n_ctx = args.ctx_size
    peers: list[Peer] = []
    # An engine for each: what one leaves in its cache costs the steps of the other.
    modes: dict[str, Literal["auto", "off"]] = {"engine, parallel": "auto", "engine, serial": "off"}
    for name, parallel in modes.items():
        model = stack.enter_context(open_engine(settings, n_ctx, args.retained))
        settings = settings.run_as(model.engine)
        peers.append(EnginePeer(name, model, parallel))
    command = [str(settings.program("llama-server")), *settings.flags()]
    command += ["--ctx-size", str(n_ctx), "--parallel", "1"]
    for kind in (None, *args.speculation):
        name = f"{BASELINE}, {kind}" if kind else BASELINE
        comparison.progress(f"starting {name}")
        server = LlamaServer([*command, *(["--spec-type", kind] if kind else [])])
        peers.append(ServerPeer(name, stack.enter_context(server)))
    if binding := load_binding(settings, n_ctx):
        peers.append(binding)
    return peers, settings


def main() -> None:
    """Asks everyone and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    comparison.add_settings(parser)
    parser.add_argument("--questions", type=Path)
    parser.add_argument("--labels", type=Path, help="of --questions")
    parser.add_argument("--limit", type=comparison.count, default=8, help="most questions")
    parser.add_argument("--max-tokens", type=comparison.count, default=400)
    parser.add_argument("--ctx-size", type=comparison.count, default=4096)
    parser.add_argument("--retained", type=int, default=4, help="answers that an engine keeps in its cache")
    parser.add_argument(
        "--speculation", type=speculation, default=speculation("ngram-mod,ngram-simple,ngram-cache")
    )
    args = parser.parse_args()
    if args.labels and not args.questions:
        parser.error("--labels needs --questions")

    settings = comparison.read_settings(args)
    settings.program("llama-server")
    listed = read_labels(args.labels) if args.labels else None
    known = [question.text for question in questions.read(args.questions)] if args.questions else QUESTIONS
    asked = choose(known, listed, args.limit)
    with ExitStack() as stack:
        peers, settings = open_peers(settings, args, stack)
        conditions = settings.conditions()
        for peer in peers:
            peer.answer(WARM_UP, 32)
        readings: dict[str, list[Reading]] = {peer.name: [] for peer in peers}
        skipped = []
        for question in asked:
            row = {peer.name: peer.answer(question, args.max_tokens) for peer in peers}
            if silent := [name for name, reading in row.items() if reading.is_empty]:
                skipped.append(question)
                comparison.progress(f"skipped, no words from {', '.join(silent)}: {question[:50]}")
                continue
            for name, reading in row.items():
                readings[name].append(reading)
                shown = ", ".join(f"{figure} {value:.2f}" for figure, value in reading.figures().items())
                comparison.progress(f"{name}: {shown}: {question[:50]}")
    if len(skipped) == len(asked):
        raise comparison.PeerError("no question was answered by all; more --max-tokens?")
    answered = [question for question in asked if question not in skipped]
    result = {
        **conditions,
        "max_tokens": args.max_tokens,
        "ctx_size": args.ctx_size,
        "retained": args.retained,
        "skipped": skipped,
        "llama_cpp_python": any(isinstance(peer, BindingPeer) for peer in peers),
        "peers": summarise(readings),
        "answers": [
            {
                "question": question,
                **{name: rows[i].figures() | rows[i].detail for name, rows in readings.items()},
            }
            for i, question in enumerate(answered)
        ],
    }
    comparison.emit(result, table(result), as_json=args.json)


def table(result: dict[str, Any]) -> list[str]:
    """The result for a person; in brackets the speed against plain llama-server."""
    lines = [f"{'':29}  tokens/s           s an answer        s per 100 words"]
    for peer in result["peers"]:
        cells = [f"{peer[figure]:9.2f} ({peer['speed'][figure]:.2f})" for figure in peer["speed"]]
        lines.append(f"{peer['name']:30}" + "  ".join(f"{cell:17}" for cell in cells).rstrip())
    if not result["llama_cpp_python"]:
        lines.append("llama-cpp-python is not installed")
    return lines


if __name__ == "__main__":
    sys.exit(comparison.guarded(main))
