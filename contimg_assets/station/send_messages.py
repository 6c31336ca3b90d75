"""The process that sends messages to one address, by Apprise: read from standard input, told on the output.

It loads nothing of the station.  The address comes by standard input, since a command line and
an environment can be read by others.

Belongs here: sending.  Does not belong here: what is sent, or when (``deliveries.py``).
"""

import json
import logging
import sys
from typing import Any

from apprise import Apprise, AppriseAsset, NotifyFormat
from apprise.plugins.email import NotifyEmail

#: Time that one message may take, s.
MESSAGE_S = 12.0


def main() -> None:
    """Send each message, and print a line of JSON with what became of it."""
    asked = json.load(sys.stdin)
    # What Apprise logs may hold parts of the address.
    logging.getLogger("apprise").propagate = False
    asset = AppriseAsset(app_id="contimg", app_desc="contimg", app_url="", secure_logging=True)
    service = Apprise.instantiate(asked["url"], asset=asset, suppress_exceptions=True)
    for message in asked["messages"]:
        error = (
            "Apprise does not know this kind of address"
            if service is None
            else _send(service, asset, message)
        )
        print(json.dumps({"id": message["id"], "error": error}), flush=True)


def _send(service: Any, asset: AppriseAsset, message: dict[str, Any]) -> str:
    sender = Apprise(asset=asset)
    sender.add(service)
    # A report is for reading in a mail; elsewhere its text has the link.
    attachment = message["attachment"] if isinstance(service, NotifyEmail) else None
    result = sender.notify(
        title=message["title"],
        body=message["body"],
        body_format=NotifyFormat.TEXT,
        attach=attachment,
        timeout=MESSAGE_S,
    )
    if result:
        return ""
    told = [entry.message for entry in result.logs()]
    return "; ".join(told) or "it could not be sent"


if __name__ == "__main__":
    main()
