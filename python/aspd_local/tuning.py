"""Opens a model the way that is fastest on this machine: with its width curve, its weights repacked or not.

What was measured once is kept (profile). Knows neither chats nor how the engine uses the curve.
"""

from __future__ import annotations

import functools
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from aspd_local import _core, profile
from aspd_local.errors import ContextFullError, ModelError
from aspd_local.profile import Extent, Profile, Progress

_log = logging.getLogger("aspd_local")
_profile_log = logging.getLogger("aspd_local.profile")  # what the command line always shows

Repack = Literal["auto", "on", "off"]

# Steps of smaller models are over before a schedule could gain anything.
LEAST_PARAMETERS = 10_000_000
# Enough to see which of two ways is faster.
GLIMPSE = Extent(
    widths=(1, 4, 8),
    depths=profile.SHORT.depths,
    n_steps=profile.SHORT.n_steps,
    n_rounds=profile.SHORT.n_rounds,
)
_CLEARLY = 0.97  # of the cost: less is no reason to give up the repacked weights
# Types that llama.cpp has a layout of its own for, on one processor or another.
_REPACKABLE = {"Q1_0", "Q2_K", "Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL", "MXFP4"}


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A model in memory.

    Attributes:
        repacked: its weights are, as far as llama.cpp can for this processor.
        profile: what the engine schedules by; None: nothing was measured.
        other_way: seconds per token with the weights laid out the other way / this way; None: not tried.
    """

    model: _core.Model
    engine: _core.Engine
    repacked: bool
    profile: Profile | None = None
    other_way: float | None = None


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What is opened, and how.

    Attributes:
        model_options: use_extra_bufts is set here.
        repack: lay the weights out anew for this processor; "auto": if steps are not slower with it.
    """

    path: Path
    model_options: _core.ModelOptions
    engine_options: _core.EngineOptions
    repack: Repack = "auto"

    def open(self, *, measure: bool, progress: Progress | None = None) -> Opened:
        """Loads the model and makes an engine for it.

        Args:
            measure: schedule by the profile that is kept for this model and machine; measured now, in some
                seconds, if there is none. Not of models that are tiny or cannot join branches.
            progress: called with (points measured, points in all).

        Raises:
            ModelError: the file is malformed or unsupported. ValueError: a bad option.
            DecodeError: llama.cpp could not compute a step.
        """
        if not measure:
            return self._load(repacked=self.repack != "off")
        found = profile.load(self._key)
        if found is not None:
            return _scheduled(self._load(repacked=found.repacked), found)
        opened = self._load(repacked=self.repack != "off")
        if not opened.engine.can_join or opened.model.n_params < LEAST_PARAMETERS:
            return opened
        _log.info("measuring what decode steps cost on this machine, once for this model")
        try:
            found = self._profile(opened, profile.SHORT, progress)
        except ContextFullError:
            return opened  # too small a context to tell
        if self._has_other_way():
            del opened  # one at a time in memory
            opened = self._better(found, profile.SHORT, progress)
        else:
            opened = _scheduled(opened, found)
        assert opened.profile is not None, "it has been measured"
        if not opened.profile.steady:
            _profile_log.warning("%s: branches may not be used where they would pay; not kept", profile.BUSY)
            return opened
        try:
            profile.save(opened.profile)
        except OSError as error:
            _log.warning("the profile cannot be kept: %s", error)
        return opened

    def measure(self, extent: Extent, progress: Progress | None = None) -> Opened:
        """Loads the model and measures it, whatever is kept; keeps nothing.

        Raises: as open(), and ValueError, ContextFullError for an extent that the engine cannot measure,
            ModelError for a model that cannot join branches.
        """
        opened = self._load(repacked=self.repack != "off")
        if not opened.engine.can_join:
            path = str(self.path)
            raise ModelError(f"{self.path.name} cannot be forked: {opened.engine.cannot_join_reason}", path)
        found = self._profile(opened, extent, progress)
        if not self._has_other_way():
            return _scheduled(opened, found)
        del opened  # one at a time in memory
        return self._better(found, extent, progress)

    @property
    def settings(self) -> str:
        """What cells of the cache depend on besides the file and the build."""
        return self._key.settings

    def _has_other_way(self) -> bool:
        return self.repack == "auto" and may_repack(self.path)

    def _better(self, repacked: Profile, extent: Extent, progress: Progress | None) -> Opened:
        """The model with its weights as they are, if steps are clearly faster so; else repacked."""
        plain = self._load(repacked=False)
        other_way = cost(self._profile(plain, GLIMPSE, None)) / cost(repacked)
        if other_way < _CLEARLY:
            return _scheduled(plain, self._profile(plain, extent, progress), other_way=1 / other_way)
        del plain  # one at a time in memory
        return _scheduled(self._load(repacked=True), repacked, other_way=other_way)

    def _load(self, *, repacked: bool) -> Opened:
        self.model_options.use_extra_bufts = repacked
        model = _core.Model.load(os.fspath(self.path), self.model_options)
        return Opened(model=model, engine=_core.Engine(model, self.engine_options), repacked=repacked)

    @functools.cached_property
    def _key(self) -> profile.Key:
        n_gpu_layers = self.model_options.n_gpu_layers
        return profile.key_of(self.path, self.engine_options, n_gpu_layers=n_gpu_layers, repack=self.repack)

    def _profile(self, opened: Opened, extent: Extent, progress: Progress | None) -> Profile:
        return profile.measure(self._key, opened.engine, extent, progress, repacked=opened.repacked)


def may_repack(path: Path) -> bool:
    """Whether llama.cpp could lay out the file's weights anew; True where that cannot be told."""
    if _core.gpu_devices():
        return False
    try:
        weights = _core.summarize_weights(os.fspath(path))
    except ModelError:
        return True  # in several files
    return bool(_REPACKABLE & {weights.weights, weights.head})


def cost(found: Profile) -> float:
    """Seconds per token, mean over the widths of a glimpse, at the lowest depth."""
    curve, depth = found.curve(), found.depths()[0]
    return sum(curve.seconds(width, depth) / width for width in GLIMPSE.widths) / len(GLIMPSE.widths)


def _scheduled(opened: Opened, found: Profile, other_way: float | None = None) -> Opened:
    if opened.engine.can_join:
        opened.engine.set_width_curve(found.curve())
    return replace(opened, profile=found, other_way=other_way)
