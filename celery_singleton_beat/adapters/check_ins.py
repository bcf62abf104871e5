"""Check-ins of Sentry Crons that Sentry itself would leave open.

Runs in: beat; worker, both processes.

With ``monitor_beat_tasks`` Sentry's integration opens a check-in for every
message that beat publishes, and closes it when the message's task succeeds,
fails or retries. A message that could not be sent, and a run that gives way,
do none of these: Sentry would wait, and report a run that lasts too long. They
are closed here. Sentry is not imported: where it is not in use already, there
is nothing to close.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_logger = logging.getLogger(__name__)

_SLUG: Final = "sentry-monitor-slug"
_CHECK_IN: Final = "sentry-monitor-check-in-id"
_CONFIG: Final = "sentry-monitor-config"


def close(headers: Mapping[str, Any] | None, *, is_well: bool) -> None:
    """Close the check-in that a message bears, if it bears one. Never raises.

    ``is_well``: nothing ran and nothing had to (``ok``). Else nothing ran that
    somebody wants, and he should hear of it (``error``).
    """
    if not headers or not headers.get(_SLUG) or not headers.get(_CHECK_IN):
        return
    try:
        if _is_watching():
            sys.modules["sentry_sdk.crons"].capture_checkin(
                monitor_slug=headers[_SLUG],
                check_in_id=headers[_CHECK_IN],
                monitor_config=headers.get(_CONFIG),
                status="ok" if is_well else "error",
            )
    except Exception:
        _logger.debug("A check-in was not closed", exc_info=True)


def is_opened(headers: Mapping[str, Any]) -> bool:
    """Whether a message bears a check-in."""
    return bool(headers.get(_CHECK_IN))


def _is_watching() -> bool:
    sentry = sys.modules.get("sentry_sdk")
    if sentry is None or "sentry_sdk.crons" not in sys.modules:
        return False
    integration = sentry.get_client().get_integration("celery")
    return bool(getattr(integration, "monitor_beat_tasks", False))
