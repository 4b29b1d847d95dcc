"""Fixtures: no settings of the developer's terminal, and commands that meet a fake model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
from fake_model import FakeModel
from typer.testing import CliRunner

from aspd_local.cli import progress
from aspd_local.cli.flags import ModelFlags


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("aspd_local", "aspd_local.profile")]
    before = [(logger.propagate, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, (propagate, level, handlers) in zip(loggers, before, strict=True):
        logger.propagate, logger.level, logger.handlers = propagate, level, handlers


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeModel], list[ModelFlags]]:
    """Lets every command open this model; returns the flags that it was opened with."""

    def use(model: FakeModel) -> list[ModelFlags]:
        opened: list[ModelFlags] = []

        def open_model(flags: ModelFlags) -> FakeModel:
            opened.append(flags)
            return model

        monkeypatch.setattr(progress, "open_model", open_model)
        return opened

    return use
