"""What would branches have gained for answers whose structure is known?

Takes lists, sections and other sibling parts out of ordinary answers as the data pipeline does, and decodes
each answer twice with forced tokens: serially, and with the parts as branches under ASPD's protocol and join
rule. Same weights, same words: the quality of the model plays no part. Tokens are forced, but sampled all the
same; prompt and templates are left out. Answers without such parts are decoded with and without the protocol,
which should cost nothing.

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
from typing import Any, TypeVar

import comparison

from aspd_local import _core, profile
from aspd_local.data.config import Config
from aspd_local.data.extract import extract
from aspd_local.data.select import Weight, select

T = TypeVar("T")

MARK = re.compile(r"^ {0,3}(?:\d{1,2}[.)]|[-*+]|#{1,6}) +(?=\S)")
CONFIG = Config(max_branches=32)


@dataclass(frozen=True)
class Part:
    """A part of an answer: what a plan would call it, the rest of it, and all of it with its markup."""

    title: str
    body: str
    item: str


Block = tuple[Part, ...]


@dataclass(frozen=True)
class Structure:
    """An answer in its order: text of the trunk, and sibling parts that are the branches of a block."""

    segments: tuple[str | Block, ...]

    def without(self, refused: set[int]) -> Structure:
        """The same with some of its lists, by their numbers, as text of the trunk."""
        segments: list[str | Block] = []
        number = 0
        for segment in self.segments:
            if isinstance(segment, str):
                segments.append(segment)
                continue
            listed = "".join(part.item for part in segment)
            segments.append(listed if number in refused else segment)
            number += 1
        return Structure(tuple(segments))

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The lists."""
        return tuple(segment for segment in self.segments if not isinstance(segment, str))


def split(answer: str) -> Structure | None:
    """The runs of sibling parts that the data pipeline finds, with as many words as can be; None without one.

    Parts have ten words or more, three or more of them make a block. What makes parts depend on each other is
    not looked at: tokens are forced.
    """
    runs, _ = extract(answer, CONFIG)
    weights = []
    for run in runs:
        lengths = tuple(len(text.split()) for text in run.texts(answer))
        weights.append(Weight(begin=run.begin, end=run.end, lengths=lengths))
    segments: list[str | Block] = []
    at = 0
    for i in select(weights):
        run = runs[i]
        parts = zip(run.titles, run.texts(answer), strict=True)
        segments += [answer[at : run.begin], tuple(_part(title, text) for title, text in parts)]
        at = run.end
    return Structure((*segments, answer[at:])) if segments else None


def _part(title: str, text: str) -> Part:
    """What a branch with this title has left to say: a title that begins the text is the branch's seed."""
    body = MARK.sub("", text, count=1)
    head, colon, rest = body.partition(":")
    if colon and head.strip(" *#_`") == title:
        return Part(title, rest.removeprefix("**"), text)
    heading, newline, below = body.partition("\n")
    if newline and heading.strip(" *#_`:") == title:
        return Part(title, newline + below, text)
    return Part(title, body, text)


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

    def __init__(self, engine: _core.Engine, model: _core.Model, prompt: Sequence[int] | None = None) -> None:
        """prompt: token ids; None: BOS alone."""
        self._engine, self._model = engine, model
        self._prompt = [max(model.bos, 0)] if prompt is None else list(prompt)
        self._protocol = protocol(model)
        self._end = next(token for token in range(model.n_vocab) if model.is_eog(token))

    def serial(self, answer: str, *, with_protocol: bool = False) -> _core.Result:
        """The answer as it is."""
        return self._run([[*self._ids(answer), self._end]], self._protocol if with_protocol else None)

    def parallel(self, structure: Structure) -> _core.Result:
        """The answer with the items of its lists as branches."""
        p = self._protocol
        trunk, bodies = [], []
        for segment in structure.segments:
            if isinstance(segment, str):
                trunk += self._ids(segment)
                continue
            for part in segment:
                trunk += [p.item_open.token_id, *self._ids(part.title), p.item_close.token_id]
                bodies.append([*self._ids(part.body), p.branch_close.token_id])
            trunk.append(p.plan_close.token_id)
        return self._run([[*trunk, self._end], *bodies], p)

    def plan_tokens(self, block: Block) -> int:
        """Tokens of a plan, markers included."""
        return sum(2 + len(self._ids(part.title)) for part in block) + 1

    def _ids(self, text: str) -> list[int]:
        return self._model.tokenize(text, False)

    def _run(self, script: list[list[int]], chosen: _core.Protocol | None) -> _core.Result:
        request = _core.Request()
        n = len(self._prompt)
        request.prompt = _core.Layout(self._prompt, list(range(n)), [0] * n, [0] * n)
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
    refused: set[int] = set()
    if structure is None:
        other = replayer.serial(answer, with_protocol=True)
    else:
        other = replayer.parallel(structure)
        refused = refused_blocks(structure, other)
    plans_s = 0.0
    if structure is not None and refused:  # replay their lists as text; the plans have been paid for
        plan_tokens = sum(replayer.plan_tokens(structure.blocks[number]) for number in refused)
        plans_s = plan_tokens * other.timings.one_lane_s
        other = replayer.parallel(structure.without(refused))
    second = replayer.serial(answer)
    serial_s = (first.timings.total_s + second.timings.total_s) / 2
    parallel_s = other.timings.total_s + plans_s
    return {
        "branches": [len(block.branches) for block in other.blocks],
        "refused": len(refused),
        "tokens": first.timings.trunk_tokens,
        "steps": other.timings.steps,
        "padding": other.timings.padding,
        "serial_s": serial_s,
        "parallel_s": parallel_s,
        "speedup": serial_s / parallel_s,
    }


def refused_blocks(structure: Structure, result: _core.Result) -> set[int]:
    """Numbers of the lists whose plan was taken back. Raises ValueError: not because it would not pay."""
    forked = [[branch.title for branch in block.branches] for block in result.blocks]
    refused = set()
    for number, block in enumerate(structure.blocks):
        if forked and forked[0] == [part.title for part in block]:
            forked.pop(0)
        else:
            refused.add(number)
    if refused and "would not pay" not in result.fallback:
        raise ValueError(f"a plan was not forked: {result.fallback}")
    return refused


def summary(speedups: Sequence[float]) -> dict[str, float]:
    """Median, 10th and 90th percentile, mean. At least two figures."""
    tenths = statistics.quantiles(speedups, n=10, method="inclusive")
    return {
        "median": statistics.median(speedups),
        "p10": tenths[0],
        "p90": tenths[-1],
        "mean": statistics.fmean(speedups),
    }


def spread(items: Sequence[T], most: int) -> list[T]:
    """Up to `most` of the items, at equal distances."""
    n = min(most, len(items))
    return [items[i * len(items) // n] for i in range(n)]


def main() -> None:
    """Replays and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    comparison.add_settings(parser)
    parser.add_argument("--answers", type=Path, required=True, help="JSONL with a field answer")
    parser.add_argument(
        "--limit", type=comparison.count, default=20, help="answers with a list, spread over all"
    )
    parser.add_argument("--plain", type=comparison.count, default=5, help="answers without one, too")
    parser.add_argument("--schedule", action="store_true", help="by a width curve that is measured first")
    args = parser.parse_args()
    settings = comparison.read_settings(args)
    model = comparison.load_model(settings)
    engine = _core.Engine(model, comparison.engine_options(settings, n_ctx=2048))
    settings = settings.run_as(engine)
    if args.schedule:
        key = profile.key_of(settings.model, engine.options, n_gpu_layers=-1, repack="on")
        engine.set_width_curve(profile.measure(key, engine, profile.SHORT).curve())
    replayer = Replayer(engine, model)
    rows: list[dict[str, Any]] = []
    plain: list[dict[str, Any]] = []
    with_list: list[tuple[Structure | None, str]] = []
    without: list[tuple[Structure | None, str]] = []
    for answer in read(args.answers):
        structure = split(answer)
        if answer.strip():
            (without if structure is None else with_list).append((structure, answer))
    for from_, into, most in ((with_list, rows, args.limit), (without, plain, args.plain)):
        for structure, answer in spread(from_, most):
            into.append(compare(replayer, structure, answer))
            comparison.progress(json.dumps(into[-1]))
    if len(rows) < 2 or len(plain) < 2:
        raise ValueError("fewer than two answers with a list, or without one")
    result: dict[str, Any] = {
        **settings.conditions(),
        "scheduled": args.schedule,
        "with_list": len(with_list),
        "without": len(without),
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
