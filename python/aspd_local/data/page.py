"""The page of `aspd data report`: HTML with its style and its drawings inside; nothing is fetched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from aspd_local.data.example import TrunkText
from aspd_local.data.metrics import Metrics, bound, parallelism
from aspd_local.data.record import Record

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882;--accent:#3b7dd8}
body{font:15px/1.5 system-ui,sans-serif;max-width:1180px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0 0 .2rem}h2{font-size:1.15rem;margin:2.2rem 0 .6rem;border-bottom:1px solid
var(--line)} .note{opacity:.75;margin:.2rem 0 1rem}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(165px,1fr));gap:.7rem}
.card{background:var(--soft);border-radius:8px;padding:.7rem .9rem}
.card b{display:block;font-size:1.3rem;white-space:nowrap}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(330px,1fr));gap:1.2rem}
figure{margin:0}figcaption{font-weight:600;margin-bottom:.3rem}
svg{width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:currentColor}
svg .long{font-size:9px}
table{border-collapse:collapse}td,th{text-align:left;padding:.2rem .9rem .2rem 0;border-bottom:1px solid
var(--line)} td.n{text-align:right;font-variant-numeric:tabular-nums}
details{border:1px solid var(--line);border-radius:8px;margin:.6rem 0;padding:.4rem .9rem}
summary{cursor:pointer;font-weight:600}summary span{font-weight:400;opacity:.75}
.text{white-space:pre-wrap;overflow-wrap:anywhere;margin:.5rem 0}
.branches{display:flex;gap:.6rem;overflow-x:auto;padding-bottom:.4rem}
.branch{flex:1 0 210px;background:var(--soft);border-top:3px solid
var(--accent);border-radius:6px;padding:.4rem .7rem} .branch h4{margin:0 0 .3rem;font-size:.95rem}.branch
.text{margin:0;font-size:.9rem}
"""


def page(
    name: str, metrics: Metrics, facts: Mapping[str, object], examples: Sequence[tuple[int, Record]]
) -> str:
    """The whole page.

    Args:
        name: of the data set.
        facts: the pipeline's version and configuration.
        examples: (number of the line, record) of those that are shown.
    """
    unit = ", ".join(sorted(metrics.units))
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(name)}</title>",
        "<meta name=viewport content='width=device-width,initial-scale=1'>",
        f"<style>{_STYLE}</style><h1>{escape(name)}</h1>",
        f"<p class=note>{metrics.n_examples:,} examples, lengths in {escape(unit)}. What the figures mean "
        "stands in docs/metrics.md.</p>",
        _cards(metrics),
        "<h2>Histograms</h2>",
        _charts(metrics, unit),
        "<h2>What was not kept</h2>",
        _rejections(metrics),
        f"<h2>{len(examples)} examples</h2>",
        *(_example(number, record, is_open=i == 0) for i, (number, record) in enumerate(examples)),
        "<h2>How it was made</h2>",
        _table(("setting", "value"), [(key, _plain(value)) for key, value in facts.items()]),
        "</html>\n",
    ]
    return "\n".join(parts)


def _cards(metrics: Metrics) -> str:
    cards = (
        ("examples", f"{metrics.n_examples:,}"),
        ("with a block", f"{metrics.n_parallel:,}"),
        ("proportion of parallel data", f"{metrics.ppd:.1%}"),
        ("blocks", f"{metrics.n_blocks:,}"),
        ("branches per block", f"{metrics.abn:.2f}"),
        ("degree of parallelism", f"{metrics.dp:.1%}"),
        ("the same over all examples", f"{metrics.dp_all:.1%}"),
        ("efficiency", f"{metrics.efficiency:.1%}"),
        ("straggler loss", f"{metrics.straggler_loss:.1%}"),
        ("bound, parallel examples", f"{metrics.bound_parallel:.2f}x"),
        ("bound, all examples", f"{metrics.bound_all:.2f}x"),
        (
            "train / valid / test",
            " / ".join(str(metrics.splits[split]) for split in ("train", "valid", "test")),
        ),
    )
    return (
        "<div class=cards>"
        + "".join(f"<div class=card><b>{value}</b>{label}</div>" for label, value in cards)
        + "</div>"
    )


def _charts(metrics: Metrics, unit: str) -> str:
    charts = (
        bars(
            "Branches per block",
            [(str(n), metrics.branches_per_block[n]) for n in _span(metrics.branches_per_block)],
        ),
        bars(
            "Degree of parallelism, %",
            [(f"{10 * n}", metrics.parallelism_bins[n]) for n in range(10)] if metrics.n_parallel else [],
        ),
        bars(
            "Bound on the speed-up",
            [(f"{n / 2:g}", metrics.bound_bins[n]) for n in _span(metrics.bound_bins)],
        ),
        bars(
            f"Length of a branch, {unit}",
            [(str(25 * n), metrics.branch_bins[n]) for n in _span(metrics.branch_bins)],
        ),
        bars("Kinds of blocks", metrics.kinds.most_common()),
    )
    return "<div class=charts>" + "".join(charts) + "</div>"


def bars(caption: str, values: Sequence[tuple[str, int]]) -> str:
    """A bar chart as SVG. values: (label, count)."""
    if not values:
        return f"<figure><figcaption>{escape(caption)}</figcaption>none</figure>"
    width, height, base = 360, 150, 128
    step = width / len(values)
    most = max(count for _, count in values) or 1
    every = -(-len(values) // 12)
    style = " class=long" if any(len(label) > 6 for label, _ in values) else ""
    shapes = []
    for i, (label, count) in enumerate(values):
        tall = (base - 16) * count / most
        x = i * step
        shapes.append(
            f"<rect x={x + step * 0.08:.1f} y={base - tall:.1f} width={step * 0.84:.1f} height={tall:.1f} "
            f"rx=2 fill=var(--accent)><title>{escape(label)}: {count}</title></rect>"
        )
        if count and len(values) <= 14:
            shapes.append(
                f"<text x={x + step / 2:.1f} y={base - tall - 4:.1f} text-anchor=middle>{count}</text>"
            )
        if i % every == 0:
            shapes.append(
                f"<text x={x + step / 2:.1f} y={base + 14} text-anchor=middle{style}>{escape(label)}</text>"
            )
    shapes.append(f"<line x1=0 x2={width} y1={base} y2={base} stroke=currentColor stroke-opacity=.4 />")
    drawing = f"<svg viewBox='0 0 {width} {height}' role=img>{''.join(shapes)}</svg>"
    return f"<figure><figcaption>{escape(caption)}</figcaption>{drawing}</figure>"


def _rejections(metrics: Metrics) -> str:
    outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in metrics.outcomes.most_common())
    rows = [(stage, reason, f"{count:,}") for (stage, reason), count in metrics.rejected.most_common()]
    return f"<p>Runs of sibling parts: {escape(outcomes) or 'none'}.</p>" + _table(
        ("stage", "reason", "runs"), rows
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"]
    for row in rows:
        cells = [
            f"<td{' class=n' if cell.replace(',', '').isdigit() else ''}>{escape(cell)}</td>" for cell in row
        ]
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return "<table>" + "".join(lines) + "</table>"


def _example(number: int, record: Record, *, is_open: bool) -> str:
    question = escape(" ".join(record.question.split())[:160])
    facts = f"DP {parallelism(record.counts):.0%}, bound {bound(record.counts):.2f}x, {record.split}"
    pieces = [
        f"<details{' open' if is_open else ''}><summary>{number}. {question} <span>({facts})</span></summary>"
    ]
    for segment in record.structure:
        if isinstance(segment, TrunkText):
            pieces.append(f"<div class=text>{escape(segment.text.strip())}</div>")
            continue
        branches = [
            f"<div class=branch><h4>{escape(branch.title)}</h4>"
            f"<div class=text>{escape(branch.text.strip())}</div></div>"
            for branch in segment.branches
        ]
        pieces.append(f"<div class=branches>{''.join(branches)}</div>")
    return "".join(pieces) + "</details>"


def _span(counts: Counter[int]) -> range:
    return range(min(counts), max(counts) + 1) if counts else range(0)


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(each)}" for key, each in value.items())
    return "none" if value is None else str(value)
