"""report.html: one page with its style and its pictures inside; nothing is fetched."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from aspd_local.eval.config import SERIAL
from aspd_local.eval.faults import KINDS, faults
from aspd_local.eval.results import Outcome, Results
from aspd_local.eval.summary import PHASES, speedups

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882;--accent:#3b7dd8}
body{font:15px/1.5 system-ui,sans-serif;max-width:1180px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0 0 .2rem}
h2{font-size:1.15rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line)}
.note{opacity:.75;margin:.2rem 0 1rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse}
td,th{text-align:left;padding:.25rem 1rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top}
td small{opacity:.7;white-space:nowrap}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:1.4rem}
figure{margin:0}figcaption{font-weight:600;margin-bottom:.3rem}
img{max-width:100%;height:auto;background:#fff;border-radius:6px}
details{border:1px solid var(--line);border-radius:8px;margin:.6rem 0;padding:.4rem .9rem}
summary{cursor:pointer;font-weight:600}summary span{font-weight:400;opacity:.75}
.answers{display:grid;grid-template-columns:repeat(auto-fit,minmax(360px,1fr));gap:1rem}
.answer{background:var(--soft);border-radius:6px;padding:.5rem .8rem}
.answer h4{margin:0 0 .3rem;font-size:.95rem}.answer h4 span{font-weight:400;opacity:.75}
.text{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.9rem}
.branch{border-left:3px solid var(--accent);padding-left:.4rem;display:inline}
.fault{color:#c0392b}
"""
_ROWS: tuple[tuple[str, Sequence[str]], ...] = (
    ("times as fast as serial, mean", ("speedup", "mean")),
    ("median", ("speedup", "median")),
    ("10th percentile", ("speedup", "p10")),
    ("90th percentile", ("speedup", "p90")),
    ("the same on forked answers, mean", ("speedup_forked", "mean")),
    ("seconds an answer, mean", ("seconds_per_answer", "mean")),
    ("seconds a word of the text", ("seconds_per_word",)),
    ("seconds to the first text, median", ("first_token_s", "median")),
    ("tokens of the text a step", ("tokens_per_step",)),
    ("critical path / tokens of the text", ("critical_path",)),
    ("answers with a block (PPD)", ("parallel", "ppd")),
    ("branches a block", ("parallel", "branches")),
    ("degree of parallelism", ("parallel", "degree")),
    ("tokens of the text / sampled tokens", ("parallel", "efficiency")),
    ("share of what is known that is right", ("quality", "right")),
    ("difference to serial", ("quality", "right_against_serial")),
    ("nats a token under the judge", ("quality", "nll")),
    ("mean difference to serial", ("quality", "nll_against_serial")),
    ("visible faults", ("quality", "faults_total")),
    ("answers with a visible fault", ("quality", "faulty_answers")),
    ("difference to serial, an answer", ("quality", "faults_against_serial")),
    ("words shared with the serial answer", ("quality", "agreement")),
    ("equal texts", ("quality", "equal_texts")),
    ("preferred to serial", ("quality", "preferred_to_serial")),
)


def page(results: Results, summary: Mapping[str, Any], pictures: Mapping[str, Path]) -> str:
    """The whole page."""
    said = results.said
    machine, model = said["machine"], said["model"]
    title = f"{said['suite']}, {model['name']}"
    shown = {key: value for key, value in said["config"].items() if key != "contestants"}
    config = ", ".join(f"{key} {value}" for key, value in shown.items())
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>",
        "<meta name=viewport content='width=device-width,initial-scale=1'>",
        f"<style>{_STYLE}</style><h1>{escape(title)}</h1>",
        f"<p class=note>{summary['n_questions']} questions. {escape(machine['processor'])}, "
        f"{machine['physical_cores']} cores, {escape(machine['system'])}; "
        f"aspd-local {machine['aspd_local']}; "
        f"model sha256 {model['sha256'][:16]}. {escape(config)}.</p>",
        "<h2>Figures</h2>",
        _figures(summary),
        "<h2>Where the time goes</h2>",
        _phases(summary),
        "<h2>Pictures</h2><div class=charts>",
        *(_picture(caption, path) for caption, path in pictures.items()),
        "</div><h2>Answers</h2>",
        *_answers(results),
        "</html>",
    ]
    return "\n".join(parts)


def _figures(summary: Mapping[str, Any]) -> str:
    names = list(summary["contestants"])
    head = "".join(f"<th>{escape(name)}" for name in names)
    rows = []
    for label, path in _ROWS:
        cells = [_at(summary["contestants"][name], path) for name in names]
        if any(cell is not None for cell in cells):
            rows.append(f"<tr><td>{label}" + "".join(f"<td>{_cell(cell)}" for cell in cells))
    for kind in KINDS:
        counts = [summary["contestants"][name]["quality"]["faults"][kind] for name in names]
        rows.append(f"<tr><td>answers with {kind}" + "".join(f"<td>{count}" for count in counts))
    for name in names:
        for reason, count in summary["contestants"][name]["fallbacks"].items():
            rows.append(
                f"<tr><td>{escape(name)}, serial because<td colspan={len(names)}>{escape(reason)}: {count}"
            )
    return f"<div class=scroll><table><tr><th>{head}{''.join(rows)}</table></div>"


def _at(contestant: Mapping[str, Any], path: Sequence[str]) -> Any:
    found: Any = contestant
    for key in path:
        found = found[key]
    return found


def _cell(value: Any) -> str:
    if value is None:
        return "–"  # noqa: RUF001
    if not isinstance(value, dict):
        return str(value)
    interval = f"{value['value']:.3g} <small>[{value['low']:.3g}, {value['high']:.3g}]</small>"
    return interval + (f"<br><small>{value['verdict']}</small>" if "verdict" in value else "")


def _phases(summary: Mapping[str, Any]) -> str:
    rows = []
    for name, contestant in summary["contestants"].items():
        shares = "".join(f"<td>{100 * contestant['phases'][phase]:.0f} %" for phase in PHASES)
        rows.append(f"<tr><td>{escape(name)}{shares}")
    head = "".join(f"<th>{phase}" for phase in PHASES)
    return f"<div class=scroll><table><tr><th>{head}{''.join(rows)}</table></div>"


def _picture(caption: str, path: Path) -> str:
    source = f"data:image/png;base64,{b64encode(path.read_bytes()).decode()}"
    image = f"<img alt='{escape(caption, quote=True)}' src='{source}'>"
    return f"<figure><figcaption>{escape(caption)}</figcaption>{image}</figure>"


def _answers(results: Results) -> list[str]:
    """Every question with the last answer of each contestant, side by side."""
    by_name = {name: results.of(name) for name in results.contestants}
    speed = {name: speedups(own, by_name[SERIAL]) for name, own in by_name.items()}
    found = []
    for key, serial in by_name[SERIAL].items():
        told = " ".join(
            f"{name} {speed[name][key]:.2f}x" for name in by_name if name != SERIAL and key in speed[name]
        )
        boxes = "".join(_answer(name, own[key]) for name, own in by_name.items() if key in own)
        found.append(
            f"<details><summary>{escape(key)} <span>{escape(serial.category)} {escape(told)}</span></summary>"
            f"<div class=answers>{boxes}</div></details>"
        )
    return found


def _answer(name: str, outcome: Outcome) -> str:
    attempt = outcome.attempts[-1]
    has = faults(attempt)
    faulty = f" <span class=fault>{escape(', '.join(has))}</span>" if has else ""
    right = "" if outcome.right is None else f", right {outcome.right:.2f}"
    facts = f"{attempt.seconds:.1f} s, {attempt.n_words} words, {len(attempt.parts)} branches{right}"
    return (
        f"<div class=answer><h4>{escape(name)} <span>{facts}</span>{faulty}</h4>"
        f"<div class=text>{escape(attempt.text)}</div></div>"
    )
