"""Messages as text: what is kept of one while it runs, to publish it again if its worker dies.

Runs in: worker, main process (writes); beat (reads).

The text is the message as it came: nothing in it is decoded, and no name in it
is imported.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Final

_KEPT: Final = ("correlation_id", "reply_to", "priority", "delivery_mode")


def to_text(message: Any) -> str:
    """Write a kombu message.

    Raises:
        TypeError: its headers hold what JSON has no form for.
    """
    body, info = message.body, message.delivery_info or {}
    properties = message.properties or {}
    return json.dumps(
        {
            "body": body if isinstance(body, str) else base64.b64encode(bytes(body)).decode(),
            "is_text": isinstance(body, str),
            "content_type": message.content_type,
            "content_encoding": message.content_encoding,
            "headers": message.headers,
            "exchange": info.get("exchange") or "",
            "routing_key": info.get("routing_key") or "",
            "properties": {name: properties[name] for name in _KEPT if name in properties},
        }
    )


def publish(producer: Any, text: str) -> None:
    """Publish a message that ``to_text`` wrote, to where it came from.

    Raises:
        ValueError: it cannot be read.
        OperationalError: the broker cannot be reached.
    """
    told = json.loads(text)
    body = told["body"] if told["is_text"] else base64.b64decode(told["body"])
    producer.publish(
        body,
        exchange=told["exchange"],
        routing_key=told["routing_key"],
        headers=told["headers"],
        content_type=told["content_type"],
        content_encoding=told["content_encoding"],
        retry=False,
        **told["properties"],
    )
