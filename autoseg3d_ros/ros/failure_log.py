"""Failures that may come thirty times a second, told so that people can read them."""

from __future__ import annotations

import logging
import time
from collections import Counter

logger = logging.getLogger(__name__)

_REPEAT_S = 5.0


class FailureLog:
    """Tells each kind of failure in full once, and then now and then how many more there were."""

    def __init__(self) -> None:
        self._told_s: dict[type[Exception], float] = {}
        self._num_untold: Counter[type[Exception]] = Counter()

    def report(self, where: str, error: Exception) -> None:
        """Log an error that is being handled, or count it."""
        kind, now_s = type(error), time.monotonic()
        is_new = kind not in self._told_s
        if not is_new and now_s - self._told_s[kind] < _REPEAT_S:
            self._num_untold[kind] += 1
            return
        self._told_s[kind] = now_s
        more = f" (and {self._num_untold.pop(kind)} more before it)" if kind in self._num_untold else ""
        logger.error("%s: %s: %s%s", where, kind.__name__, error, more, exc_info=is_new)
