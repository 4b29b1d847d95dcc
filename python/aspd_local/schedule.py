"""The width curve that an engine schedules by: whether a plan can pay by it, and when it is measured anew.

A curve that was measured while something else kept the machine busy is refuted by the steps that follow. It
is then kept no longer, and measured again before the next answer. Knows neither chats nor answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from aspd_local import _core
from aspd_local.steps import Steps

if TYPE_CHECKING:
    from aspd_local.profile import Profile

_log = logging.getLogger("aspd_local")
_profile_log = logging.getLogger("aspd_local.profile")  # what the command line always shows

_MOST_MEASURED = 3  # times that steps are measured anew, where the machine is never quiet
_STEPS_TO_TELL = 16  # of one lane, before their median says how fast they are


class Schedule:
    """See the module's text. For any number of threads.

    Args:
        steps: of the engine.
        profile: with the curve that the engine has; None: it has none, and nothing is ever measured.
        bind: the protocol that is used where none is named.
    """

    def __init__(self, steps: Steps, profile: Profile | None, bind: Callable[[], _core.Protocol]) -> None:
        self._steps = steps
        self._profile = profile
        self._bind = bind
        self._pays: bool | None = None  # told by the profile, once it is asked
        self._doubts = False  # whether the profile was found to be wrong
        self._n_measured = 0  # times that it was measured anew

    def may_pay(self) -> bool:
        """Whether some plan of the protocol is predicted to pay here. Raises ValueError when closed."""
        if self._profile is None:
            return True
        if (pays := self._pays) is None:
            n_lanes = self._steps.engine.options.n_lanes
            pays = self._profile.best_gain(self._bind(), n_lanes) >= _core.LEAST_GAIN
            self._pays = pays
        return pays

    def compare(self, timings: _core.Timings) -> None:
        """Gives up a curve that the steps of an answer refute."""
        measured = self._profile
        if measured is None or self._doubts or timings.trunk_tokens < _STEPS_TO_TELL:
            return
        self._doubts = not measured.steady or measured.is_refuted_by(timings.one_lane_s)
        if not self._doubts:
            return
        from aspd_local import profile

        again = "before the next answer" if self._n_measured < _MOST_MEASURED else "by the next process"
        _profile_log.warning("%s; it is measured anew %s", profile.BUSY, again)
        try:
            profile.forget(measured)
        except OSError as error:
            _log.warning("the profile cannot be removed: %s", error)

    def refresh(self) -> None:
        """Measures the curve, in some seconds, if it was found to be wrong and nothing is under way.

        Retained answers may be given up.
        """
        if self._may_measure:
            with self._steps.inside() as engine:
                self._measure(engine)

    async def arefresh(self) -> None:
        """As refresh(), without blocking the event loop."""
        if self._may_measure:
            await self._steps.acall(self._measure)

    @property
    def _may_measure(self) -> bool:
        """Whether the curve was found to be wrong, and was not measured too often."""
        return self._doubts and self._n_measured < _MOST_MEASURED and not self._steps.is_closed

    def _measure(self, engine: _core.Engine) -> None:
        doubted = self._profile
        if not self._may_measure or doubted is None or engine.has_work:
            return
        from aspd_local import profile

        self._n_measured += 1
        self._doubts = False
        self._profile = profile.measure(doubted.key, engine, profile.SHORT, repacked=doubted.repacked)
        engine.set_width_curve(self._profile.curve())
        self._pays = None
        if self._profile.steady:
            try:
                profile.save(self._profile)
            except OSError as error:
                _log.warning("the profile cannot be kept: %s", error)
