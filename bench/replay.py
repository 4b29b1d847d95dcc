"""What would branches have gained for answers whose structure is known?

Takes the lists out of ordinary answers, and decodes each answer twice with forced tokens: serially, and with
the items as the branches of one block under ASPD's protocol and join rule. Same weights, same words: the
quality of the model plays no part. Tokens are forced, but sampled all the same; prompt and templates are left
out. Answers without a list are decoded with and without the protocol, which should cost nothing.

    python bench/replay.py --model MODEL --answers FILE.jsonl [--limit 20] [--plain 5] [--schedule] [--json]

--schedule: steps are scheduled by a short width curve that is measured first. A plan that the engine refuses
because it would not pay counts with what the plan has cost.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comparison

from aspd_local import _core, profile

ITEM = re.compile(r"^ {0,3}(?:\d{1,2}[.)]|[-*+]) +(?=\S)")
LEAST_ITEMS, LEAST_WORDS = 3, 10
MOST_TITLE_WORDS = 10


@dataclass(frozen=True)
class Part:
    """One item of a list: what a plan would call it, and the rest of it."""

    title: str
    body: str


@dataclass(frozen=True)
class Structure:
    """An answer around its first list: before + the items' markup + parts + after."""

    before: str
    parts: tuple[Part, ...]
    after: str


def split(answer: str) -> Structure | None:
    """The first list of an answer with three or more items of ten words or more each; None without one."""
    lines = answer.splitlines(keepends=True)
    starts = [i for i, line in enumerate(lines) if ITEM.match(line)]
    if len(starts) < LEAST_ITEMS:
        return None
    items: list[str] = []
    end = starts[0]
    for start in starts:
        if start != end:
            break
        end = _end_of_item(lines, start)
        items.append("".join(lines[start:end]))
    if len(items) < LEAST_ITEMS or any(len(item.split()) < LEAST_WORDS for item in items):
        return None
    parts = tuple(_part(ITEM.sub("", item, count=1)) for item in items)
    if len({part.title.lower() for part in parts}) < len(parts):
        return None
    return Structure("".join(lines[: starts[0]]), parts, "".join(lines[end:]))


def _end_of_item(lines: Sequence[str], start: int) -> int:
    """An item goes on in lines that are indented, and in its paragraph; blank lines behind it are its own."""
    end = start + 1
    while end < len(lines) and not ITEM.match(lines[end]):
        after_blank = not lines[end - 1].strip()
        if lines[end].strip() and after_blank and not lines[end].startswith("   "):
            break
        end += 1
    return end


def _part(item: str) -> Part:
    head, colon, rest = item.partition(":")
    title = head.strip().strip("*").strip()
    if colon and title and "\n" not in title and len(title.split()) <= MOST_TITLE_WORDS:
        return Part(title, rest)
    words = item.split()[:5]
    return Part(" ".join(words).strip("*"), item)


def protocol(model: _core.Model) -> _core.Protocol:
    """ASPD's protocol on six CONTROL tokens of any vocabulary. Raises ValueError where there are none."""
    free = [t for t in range(model.n_vocab) if model.is_control(t) and not model.is_eog(t) and t != model.bos]
    if len(free) < 6:
        raise ValueError("the vocabulary has no six CONTROL tokens to spare")
    names = ("title", "/title", "para", "/para", "branch", "/branch")
    title, title_end, para, para_end, branch, branch_end = (
        _core.Marker(name, token) for name, token in zip(names, free, strict=False)
    )
    kind = _core.SeedKind
    result = _core.Protocol()
    result.name = "replay"
    result.item_open, result.item_close, result.plan_close = title, title_end, para
    result.branch_seed = [
        _core.SeedPart(kind.MARKER, marker=branch),
        _core.SeedPart(kind.TITLE),
        _core.SeedPart(kind.TEXT, ":"),
    ]
    result.branch_close = branch_end
    result.join_seed = [_core.SeedPart(kind.MARKER, marker=para_end)]
    result.join_rule = _core.JoinRule.SUM if _core.has_position_gaps() else _core.JoinRule.LONGEST
    rules = _core.PlanRules()
    rules.max_items, rules.max_words, rules.max_bytes, rules.forbid_list_marks = 32, 16, 400, False
    result.plan = rules
    return result


class Replayer:
    """An engine that writes given answers."""

    def __init__(self, engine: _core.Engine, model: _core.Model) -> None:
        self._engine, self._model = engine, model
        self._protocol = protocol(model)
        self._end = next(token for token in range(model.n_vocab) if model.is_eog(token))

    def serial(self, answer: str, *, with_protocol: bool = False) -> _core.Result:
        """The answer as it is."""
        return self._run([[*self._ids(answer), self._end]], self._protocol if with_protocol else None)

    def parallel(self, structure: Structure) -> _core.Result:
        """The answer with its items as branches."""
        p = self._protocol
        trunk = self._ids(structure.before)
        for part in structure.parts:
            trunk += [p.item_open.token_id, *self._ids(part.title), p.item_close.token_id]
        trunk += [p.plan_close.token_id, *self._ids(structure.after), self._end]
        bodies = [[*self._ids(part.body), p.branch_close.token_id] for part in structure.parts]
        return self._run([trunk, *bodies], p)

    def _ids(self, text: str) -> list[int]:
        return self._model.tokenize(text, False)

    def _run(self, script: list[list[int]], chosen: _core.Protocol | None) -> _core.Result:
        request = _core.Request()
        request.prompt = _core.Layout([max(self._model.bos, 0)], [0], [0], [0])
        request.protocol = chosen
        request.script = script
        request.max_branches = 32
        request.retain = False
        sampling = _core.SamplingOptions()
        sampling.temperature = 0.0
        request.sampling = sampling
        self._engine.submit(request)
        last: _core.Event | None = None
        while self._engine.has_work:
            for event in self._engine.step():
                last = event
        if last is None or last.kind != _core.EventKind.DONE:
            raise ValueError("the engine ended without a result")
        return last.result


def read(path: Path) -> Iterator[str]:
    """The answers of a JSONL file. Raises ValueError for a line without one."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        row = json.loads(line)
        if not isinstance(row, dict) or not isinstance(row.get("answer"), str):
            raise ValueError(f"{path}:{number}: no answer")
        yield row["answer"]


def compare(replayer: Replayer, structure: Structure | None, answer: str) -> dict[str, Any]:
    """Seconds of one answer both ways. The serial one is measured before and after the other."""
    first = replayer.serial(answer)
    other = replayer.serial(answer, with_protocol=True) if structure is None else replayer.parallel(structure)
    second = replayer.serial(answer)
    serial_s = (first.timings.total_s + second.timings.total_s) / 2
    refused = structure is not None and not other.blocks
    if refused and "would not pay" not in other.fallback:
        raise ValueError(f"a plan was not forked: {other.fallback}")
    parallel_s = serial_s + other.timings.plan_s if refused else other.timings.total_s
    return {
        "branches": 0 if refused or structure is None else len(structure.parts),
        "tokens": first.timings.trunk_tokens,
        "steps": other.timings.steps,
        "padding": other.timings.padding,
        "serial_s": serial_s,
        "parallel_s": parallel_s,
        "speedup": serial_s / parallel_s,
        "fallback": other.fallback or None,
    }


def summary(speedups: Sequence[float]) -> dict[str, float]:
    """Median, 10th and 90th percentile, mean. At least two figures."""
    tenths = statistics.quantiles(speedups, n=10, method="inclusive")
    return {
        "median": statistics.median(speedups),
        "p10": tenths[0],
        "p90": tenths[-1],
        "mean": statistics.fmean(speedups),
    }


def main() -> None:
    """Replays and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    comparison.add_settings(parser)
    parser.add_argument("--answers", type=Path, required=True, help="JSONL with a field answer")
    parser.add_argument("--limit", type=comparison.count, default=20, help="answers with a list")
    parser.add_argument("--plain", type=comparison.count, default=5, help="answers without one")
    parser.add_argument("--schedule", action="store_true", help="by a width curve that is measured first")
    args = parser.parse_args()
    settings = comparison.read_settings(args)
    model = comparison.load_model(settings)
    engine = _core.Engine(model, comparison.engine_options(settings, n_ctx=2048))
    settings = settings.run_as(engine)
    if args.schedule:
        key = profile.key_of(settings.model, engine, n_gpu_layers=-1)
        engine.set_width_curve(profile.measure(key, engine, profile.SHORT).curve())
    replayer = Replayer(engine, model)
    rows: list[dict[str, Any]] = []
    plain: list[dict[str, Any]] = []
    for answer in read(args.answers):
        structure = split(answer)
        into, most = (plain, args.plain) if structure is None else (rows, args.limit)
        if len(into) < most and answer.strip():
            into.append(compare(replayer, structure, answer))
            comparison.progress(json.dumps(into[-1]))
        if len(rows) >= args.limit and len(plain) >= args.plain:
            break
    if len(rows) < 2 or len(plain) < 2:
        raise ValueError("fewer than two answers with a list, or without one")
    result: dict[str, Any] = {
        **settings.conditions(),
        "scheduled": args.schedule,
        "speedup": summary([row["speedup"] for row in rows]),
        "plain": summary([row["speedup"] for row in plain]),
        "rows": rows,
        "plain_rows": plain,
    }
    lines = []
    for name in ("speedup", "plain"):
        found = result[name]
        lines.append(f"{name}: median {found['median']:.2f}, p10 {found['p10']:.2f}, p90 {found['p90']:.2f}")
    comparison.emit(result, lines, as_json=args.json)


if __name__ == "__main__":
    sys.exit(comparison.guarded(main))
