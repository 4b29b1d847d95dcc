"""From ordinary answers of a serial model to training data with parallel structure; no judge model is needed.

Each stage is a pure function from an example to an example, or to a rejection with its reason: `read`,
`extract`, `lexical`, `likelihood`, `select`, `record`. `build` runs them over a file; only `scoring` knows a
model.
"""

from __future__ import annotations

from aspd_local.data.config import Config, Thresholds
from aspd_local.data.example import (
    BadLine,
    BlockText,
    BranchText,
    Example,
    Run,
    Segment,
    TrunkText,
    plain_text,
)
from aspd_local.data.extract import extract
from aspd_local.data.read import read_line

__all__ = [
    "BadLine",
    "BlockText",
    "BranchText",
    "Config",
    "Example",
    "Run",
    "Segment",
    "Thresholds",
    "TrunkText",
    "extract",
    "plain_text",
    "read_line",
]
