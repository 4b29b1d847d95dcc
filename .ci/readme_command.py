"""Prints the command of README that ends with a given text: `readme_command.py README.md pytest`.

A command is a whole fenced code block of one line.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path


def command(readme: str, end: str) -> str:
    """The only one. Raises ValueError where README has none or several."""
    blocks = re.findall(r"^```\w*\n(.+)\n```$", readme, flags=re.MULTILINE)
    found = [block for block in blocks if block.endswith(end)]
    if len(found) != 1:
        raise ValueError(f"README has {len(found)} commands that end with {end!r}")
    return str(found[0])


if __name__ == "__main__":
    print(command(Path(sys.argv[1]).read_text(encoding="utf-8"), sys.argv[2]))
