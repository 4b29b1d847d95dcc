"""When a request that failed is worth another try, and after how long."""

from __future__ import annotations

import time
from dataclasses import dataclass

PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_LONGEST_WAIT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How often a request is tried again.

    Attributes:
        limit: tries in a row without a single new byte before giving up.
        wait_s: seconds before the second try; doubled for each one after it.
    """

    limit: int = 5
    wait_s: float = 1.0

    def pause(self, failures: int, asked_s: float = 0.0) -> None:
        """Waits before the next try.

        Args:
            failures: tries in a row that failed.
            asked_s: seconds that the server asked for.
        """
        time.sleep(min(max(asked_s, self.wait_s * 2 ** (failures - 1)), _LONGEST_WAIT_S))
