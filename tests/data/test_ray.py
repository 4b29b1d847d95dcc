"""The stages under Ray Data, on this machine, against the ordinary build. Needs `pip install '.[ray]'`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_build import row, serial

from aspd_local.data import Config, Example, read_line
from aspd_local.data.build import build
from aspd_local.data.checkpoint import Target
from aspd_local.data.record import to_line
from aspd_local.data.stages import finish, prepare

ray: Any = pytest.importorskip("ray", reason="Ray is an extra of its own, 500 MB")


@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")
def test_ray_writes_the_lines_of_the_ordinary_build(write: Callable[..., Path], tmp_path: Path) -> None:
    def example_line(row: dict[str, Any]) -> list[dict[str, str]]:
        """What docs/data.md maps over the lines of all shards."""
        config = Config()
        found = read_line(row["text"])
        if not isinstance(found, Example):
            return []
        return [{"line": to_line(finish(prepare(found, config), config)).decode()}]

    rows = [row(i) if i % 3 else serial(i) for i in range(40)]
    shards = [write(*rows[:25], b"bad", name="a.jsonl"), write(*rows[25:], name="b.jsonl")]
    expected = []
    for shard in shards:
        out = tmp_path / f"{shard.name}.out"
        build(shard, Target(path=out), Config())
        expected += out.read_text(encoding="utf-8").splitlines(keepends=True)

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        lines = ray.data.read_text([str(shard) for shard in shards]).flat_map(example_line).take_all()
    finally:
        ray.shutdown()
    assert sorted(line["line"] for line in lines) == sorted(expected)
