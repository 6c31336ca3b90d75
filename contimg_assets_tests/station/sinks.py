"""Where messages go in tests: a mail server and a web server of their own on the loopback interface."""

import email
import email.policy
import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class MailSink:
    """Mails that came."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address, as Apprise has it."""
        return f"mailto://127.0.0.1:{self.port}?from=contimg@example.org&to=duty@example.org"

    @property
    def titles(self) -> list[str]:
        """Subjects, in the order in which they came."""
        return [str(mail["subject"]) for mail in self.mails]

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802, ARG002
        """Take a mail (called by aiosmtpd)."""
        content = envelope.original_content or b""
        self.mails.append(email.message_from_bytes(content, policy=email.policy.default))
        return "250 OK"


@contextmanager
def mail_sink() -> Iterator[MailSink]:
    """A mail server that keeps what it is sent."""
    sink = MailSink()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        sink.port = probe.getsockname()[1]
    controller = Controller(sink, hostname="127.0.0.1", port=sink.port, ready_timeout=60)
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()


@dataclass
class WebSink:
    """Messages that came by HTTP, as JSON."""

    port: int = 0
    messages: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    delay_s: float = 0.0

    @property
    def url(self) -> str:
        """Its address, as Apprise has it."""
        return f"json://127.0.0.1:{self.port}/some-secret-token"

    @property
    def titles(self) -> list[str]:
        """Titles, in the order in which they came."""
        return [message["title"] for message in self.messages]


@contextmanager
def web_sink(**given: Any) -> Iterator[WebSink]:
    """A web server that keeps what it is sent, and answers as it is told."""
    sink = WebSink(**given)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(sink.delay_s)
            if sink.status == 200:
                sink.messages.append(json.loads(content))
            self.send_response(sink.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    sink.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
