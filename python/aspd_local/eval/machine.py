"""What a figure was measured on."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from aspd_local import __version__, _core


def machine() -> dict[str, Any]:
    """Processor, cores, system, versions: for the first line of results."""
    return {
        "processor": _processor(),
        "physical_cores": _core.physical_cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "aspd_local": __version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )
