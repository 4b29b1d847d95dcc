"""What a model said: token ids and structure by the text of the answer, so that a chat's next turn can put it
back as it is in the cache. Bounded; the least recently used answer is forgotten first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

from aspd_local.layout import Segment

SERIAL = "serial"  # in the place of a protocol's name, of an answer under none
_MOST_ANSWERS = 256


class History:
    """Answers by their text. For any number of threads."""

    def __init__(self, most: int = _MOST_ANSWERS) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._answers: OrderedDict[tuple[str, str], tuple[Segment, ...]] = OrderedDict()

    def remember(self, protocol: str, text: str, segments: Sequence[Segment]) -> None:
        """Keeps an answer that was written under a protocol ("serial" for none)."""
        with self._lock:
            self._answers[protocol, text] = tuple(segments)
            self._answers.move_to_end((protocol, text))
            while len(self._answers) > self._most:
                self._answers.popitem(last=False)

    def recall(self, protocol: str, text: str) -> tuple[Segment, ...] | None:
        """The segments of an answer that was written under this protocol; None if it is not known."""
        with self._lock:
            if (segments := self._answers.get((protocol, text))) is not None:
                self._answers.move_to_end((protocol, text))
            return segments

    def items(self) -> list[tuple[str, str, tuple[Segment, ...]]]:
        """(protocol, text, segments), the least recently used first."""
        with self._lock:
            return [(protocol, text, segments) for (protocol, text), segments in self._answers.items()]

    def clear(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._answers.clear()
