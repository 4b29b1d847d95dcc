"""The build backend: scikit-build-core's, with foreign code brought in before a source distribution is made.

A wheel needs no such step: CMake brings them in when it configures.
"""

from __future__ import annotations

from typing import Any

from scikit_build_core import build as _skbuild
from scikit_build_core.build import (
    build_editable,
    build_wheel,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

import fetch
import fetch_page

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]


def build_sdist(sdist_directory: str, config_settings: dict[str, Any] | None = None) -> str:
    """Builds the source distribution, foreign code included; returns its file name."""
    if fetch.main([]) != 0 or fetch_page.main([]) != 0:
        raise SystemExit(1)
    return _skbuild.build_sdist(sdist_directory, config_settings)
