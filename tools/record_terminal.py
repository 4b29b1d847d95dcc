"""Records what a command draws in a terminal, as an animated SVG: the picture of README.

    python tools/record_terminal.py --out docs/images/branches.svg -- aspd demo

The command runs in a pseudo-terminal of its own, at its own speed. Needs pyte (the test extra), Linux or
macOS.
A frame is drawn where the screen has changed, at most every --every seconds; each line of it that the frame
before has too is drawn once.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import pyte
from pyte.screens import Char

COLOURS = {
    "black": "#1e1e2e",
    "red": "#e06c75",
    "green": "#98c379",
    "brown": "#e5c07b",
    "yellow": "#e5c07b",
    "blue": "#61afef",
    "magenta": "#c678dd",
    "cyan": "#56b6c2",
    "white": "#dcdfe4",
    "default": "#dcdfe4",
}
BACKGROUND = "#14161f"
CELL_WIDTH, CELL_HEIGHT, MARGIN = 8.0, 18, 12  # pixels
MOST_BYTES = 1_000_000

Row = tuple[tuple[str, str, bool], ...]  # runs of cells: text, colour, bold


@dataclass(frozen=True)
class Frame:
    seconds: float  # from the command's start
    rows: tuple[Row, ...]


def runs_of(cells: Sequence[Char]) -> Row:
    """A line of a screen as runs of cells that look alike, without the spaces at its end."""
    runs: list[tuple[str, str, bool]] = []
    for cell in cells:
        look = (COLOURS.get(cell.fg, COLOURS["default"]), cell.bold)
        if runs and runs[-1][1:] == look:
            runs[-1] = (runs[-1][0] + cell.data, *look)
        else:
            runs.append((cell.data, *look))
    while runs and not runs[-1][0].strip():
        runs.pop()
    if runs:
        runs[-1] = (runs[-1][0].rstrip(), *runs[-1][1:])
    return tuple(runs)


def record(command: Sequence[str], columns: int, lines: int, every_s: float) -> list[Frame]:
    """Runs a command to its end. Raises OSError."""
    screen = pyte.Screen(columns, lines)
    stream = pyte.ByteStream(screen)
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS=str(columns), LINES=str(lines))
        os.execvp(command[0], list(command))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    start = time.monotonic()
    frames: list[Frame] = []
    begun = False
    while True:
        ready, _, _ = select.select([terminal], [], [], every_s)
        now = time.monotonic()
        if ready:
            try:
                data = os.read(terminal, 1 << 16)
            except OSError:  # Linux: the other side is closed
                data = b""
            if not data:
                break
            stream.feed(data)
        rows = tuple(runs_of([screen.buffer[y][x] for x in range(columns)]) for y in range(lines))
        begun = begun or any(rows)
        if begun and (
            not frames or (now - frames[-1].seconds - start >= every_s and rows != frames[-1].rows)
        ):
            frames.append(Frame(now - start, rows))
    os.waitpid(child, 0)
    rows = tuple(runs_of([screen.buffer[y][x] for x in range(columns)]) for y in range(lines))
    frames.append(Frame(time.monotonic() - start, rows))
    return frames


def draw_row(row: Row) -> str:
    spans = []
    column = 0
    for text, colour, bold in row:
        if text.strip():
            weight = ' font-weight="bold"' if bold else ""
            spans.append(f'<tspan x="{column * CELL_WIDTH:g}" fill="{colour}"{weight}>{escape(text)}</tspan>')
        column += len(text)
    return "".join(spans)


def draw(frames: Sequence[Frame], columns: int, lines: int, rest_s: float) -> str:
    """The SVG. Each line is shown from the frame in which it appears to the one that changes it."""
    begin = frames[0].seconds
    total = frames[-1].seconds - begin + rest_s
    width, height = columns * CELL_WIDTH + 2 * MARGIN, lines * CELL_HEIGHT + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="13">',
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
        f'<g transform="translate({MARGIN} {MARGIN})" xml:space="preserve">',
    ]
    for y in range(lines):
        shown_from = 0
        for n in range(1, len(frames) + 1):
            if n < len(frames) and frames[n].rows[y] == frames[shown_from].rows[y]:
                continue
            row = frames[shown_from].rows[y]
            if row:
                first = (frames[shown_from].seconds - begin) / total
                last = (frames[n].seconds - begin) / total if n < len(frames) else 1.0
                show = f'values="hidden;visible;hidden" keyTimes="0;{first:.4f};{min(last, 1):.4f}"'
                if first == 0:
                    show = f'values="visible;hidden" keyTimes="0;{min(last, 1):.4f}"'
                always = first == 0 and last == 1
                animate = (
                    ""
                    if always
                    else f'<animate attributeName="visibility" calcMode="discrete" dur="{total:.2f}s" '
                    f'repeatCount="indefinite" {show}/>'
                )
                at_rest = "visible" if last == 1 else "hidden"
                parts.append(
                    f'<text y="{(y + 1) * CELL_HEIGHT - 5}" visibility="{at_rest}">'
                    f"{draw_row(row)}{animate}</text>"
                )
            shown_from = n
    parts.append("</g></svg>\n")
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--lines", type=int, default=30)
    parser.add_argument("--every", type=float, default=0.15, help="seconds between two frames at least")
    parser.add_argument("--rest", type=float, default=5.0, help="seconds that the last frame stays")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        parser.error("a command to run is missing, behind --")
    frames = record(command, args.columns, args.lines, args.every)
    picture = draw(frames, args.columns, args.lines, args.rest)
    if len(picture.encode()) > MOST_BYTES:
        parser.exit(1, f"error: {len(picture.encode())} bytes; take fewer frames (--every) or lines\n")
    args.out.write_text(picture, encoding="utf-8")
    print(f"{len(frames)} frames, {len(picture.encode())} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
