"""The log of a job: as it is written, line by line, and whole.

Belongs here: server-sent events that go on exactly where they were cut, and plain text.  Does not belong
here: where Dagster keeps the output of a run (``orchestrator.py``).

An event's identity is how many bytes of each stream have been sent when it has been: a client that
reconnects with it, as browsers do by themselves, gets what follows and nothing twice.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request
from fastapi.sse import EventSourceResponse, format_sse_event
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from contimg_assets.web.api.jobs import RunId
from contimg_assets.web.api.parts import API, Parts, principal_of
from contimg_assets.web.orchestrator import Orchestrator, status_word
from contimg_assets.web.problems import ProblemError
from contimg_assets.web.rates import Streams

#: How often it is looked for new lines, and whether the run has ended, s.
LOOK_S, STATUS_S = 0.2, 1.0
#: A stream that has nothing to say says so this often, s.
KEEP_ALIVE_S = 15.0
#: What a stream begins with of a long log, and what is read at once, bytes.
TAIL, PART = 256 * 1024, 64 * 1024
_IDENTITY = re.compile(r"(\d{1,15}):(\d{1,15})")
Stream = Literal["stdout", "stderr"]
#: Characters in UTF-8 have four bytes at most.
_LONGEST_CHARACTER = 4


@dataclass(frozen=True)
class Place:
    """Bytes of a log that have been sent."""

    stdout: int = 0
    stderr: int = 0

    def __str__(self) -> str:
        return f"{self.stdout}:{self.stderr}"


def whole_lines(part: bytes, *, ended: bool, full: bool) -> bytes:
    """What of a part can be sent: up to the end of its last line.

    Parameters
    ----------
    part : bytes
    ended : bool
        Nothing will be added.
    full : bool
        More may be there: the part was cut by its length.
    """
    end = part.rfind(b"\n") + 1
    if end or not (ended or full):
        return part[:end] if not (ended and not full) else part
    # A line without end: not in the middle of a character, if it is cut at all.
    if ended and not full:
        return part
    for back in range(1, min(_LONGEST_CHARACTER, len(part)) + 1):
        if part[-back] & 0xC0 != 0x80:
            return part if part[-back] < 0x80 else part[:-back]
    return part


class Tail:
    """The log of one run, from a place on.

    Parameters
    ----------
    dagster : Orchestrator
    run_id : str
    place : Place or None
        None: the last of what is there.
    """

    def __init__(self, dagster: Orchestrator, run_id: str, place: Place | None) -> None:
        self.dagster = dagster
        self.run_id = run_id
        self.place = place
        self.key: Sequence[str] | None = None
        self.status = ""
        self.ended = False
        self._looked = 0.0

    def look(self) -> list[tuple[Stream, bytes, Place]]:
        """What is there now: stream, bytes, and the place after them; at most a part of each stream."""
        if time.monotonic() >= self._looked + STATUS_S or self.key is None:
            run = self.dagster.run(self.run_id).dagster_run
            self.status, self._looked = status_word(run.status), time.monotonic()
            # Only then: what was written before the end is read after this.
            self.ended = run.is_finished
            self.key = self.key or self.dagster.log_key(self.run_id)
        if self.key is None:
            self.place = self.place or Place()
            return []
        place = self.place or self._last_of(self.key)
        part = self.dagster.log_part(self.key, place.stdout, place.stderr, PART)
        found: list[tuple[Stream, bytes, Place]] = []
        out = whole_lines(part.stdout, ended=self.ended, full=len(part.stdout) == PART)
        if out:
            place = Place(place.stdout + len(out), place.stderr)
            found.append(("stdout", out, place))
        err = whole_lines(part.stderr, ended=self.ended, full=len(part.stderr) == PART)
        if err:
            place = Place(place.stdout, place.stderr + len(err))
            found.append(("stderr", err, place))
        self.place = place
        return found

    def _last_of(self, key: Sequence[str]) -> Place:
        return Place(*(self._begin(key, which) for which in ("stdout", "stderr")))

    def _begin(self, key: Sequence[str], which: Stream) -> int:
        """The first line among the last bytes of a stream."""
        size = self.dagster.log_size(key, which)
        begin = max(0, size - TAIL)
        if begin == 0:
            return 0
        place = {"stdout": 0, "stderr": 0, which: begin - 1}
        part = getattr(self.dagster.log_part(key, **place, limit=PART), which)
        return begin + max(0, part.find(b"\n"))


class LogResponse(EventSourceResponse):
    """A stream that is counted while it is open."""

    def __init__(self, content: AsyncIterator[bytes], streams: Streams, user: str) -> None:
        # A proxy that holds lines back would make the log late.
        super().__init__(content, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self.streams = streams
        self.user = user

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and give back its place whatever happens."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.streams.release(self.user)


async def events(tail: Tail) -> AsyncIterator[bytes]:
    """What a client of the stream is sent, until the run has ended and all of its log is sent."""
    told, said = "", time.monotonic()
    while True:
        found = await run_in_threadpool(tail.look)
        spoke = bool(found)
        for stream, text, place in found:
            data = json.dumps({"stream": stream, "text": text.decode(errors="replace")})
            yield format_sse_event(event="log", id=str(place), data_str=data)
        if tail.status != told:
            told, spoke = tail.status, True
            yield format_sse_event(event="status", id=str(tail.place), data_str=json.dumps({"status": told}))
        if spoke:
            said = time.monotonic()
            continue
        if tail.ended:
            yield format_sse_event(event="end", id=str(tail.place), data_str=json.dumps({"status": told}))
            return
        if time.monotonic() >= said + KEEP_ALIVE_S:
            said = time.monotonic()
            yield b": nothing new\n\n"
        await asyncio.sleep(LOOK_S)


def logs_router(parts: Parts) -> APIRouter:
    """Routes of logs."""
    router = APIRouter(prefix=f"{API}/jobs", tags=["jobs"])
    _add_stream(router, parts)
    _add_text(router, parts)
    return router


def _add_stream(router: APIRouter, parts: Parts) -> None:
    """While it is written."""

    @router.get(
        "/id/{run_id}/logs",
        response_class=Response,
        responses={
            200: {
                "description": "Events `log` {stream, text}, `status` {status}, and `end` {status}, "
                "after which nothing follows.",
                "content": {
                    "text/event-stream": {
                        "schema": {"type": "string"},
                        "examples": {
                            "line": {
                                "value": 'event: log\ndata: {"stream": "stderr", "text": "a"}\nid: 0:42\n\n'
                            }
                        },
                    },
                    "text/plain": {"schema": {"type": "string"}},
                },
            }
        },
    )
    def follow(
        run_id: RunId,
        request: Request,
        last_event_id: Annotated[
            str | None, Header(description="Of the last event that was received: what follows it is sent.")
        ] = None,
        start: Annotated[
            Literal["tail", "beginning"],
            Query(
                description="Where to begin without Last-Event-ID: at the last 256 kB, or at the beginning."
            ),
        ] = "tail",
        after: Annotated[
            str | None,
            Query(description="The same as Last-Event-ID, for clients that can send no header of their own."),
        ] = None,
        download: Annotated[bool, Query(description="All of it as plain text, and no stream.")] = False,
    ) -> Response:
        """The log of a job as server-sent events while it is written, or as text."""
        parts.dagster.run(run_id)
        if download:
            return _text(parts, run_id, "stderr", 0)
        place = None if start == "tail" else Place()
        # A browser that reconnects sends both: the header is newer.
        received = after if last_event_id is None else last_event_id
        if received is not None:
            matched = _IDENTITY.fullmatch(received)
            if matched is None:
                raise ProblemError(
                    422,
                    f"Last-Event-ID: found {received[:40]!r}; expected one of this stream, such as 0:42",
                )
            place = Place(*map(int, matched.groups()))
        principal = principal_of(request)
        user = principal.name if principal else ""
        parts.streams.take(user)
        return LogResponse(events(Tail(parts.dagster, run_id, place)), parts.streams, user)


def _add_text(router: APIRouter, parts: Parts) -> None:
    """As it stands."""

    @router.get(
        "/id/{run_id}/log.txt",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "The log."}
        },
    )
    def whole(
        run_id: RunId,
        stream: Annotated[
            Stream, Query(description="Which of the two: stages say what they do on stderr.")
        ] = "stderr",
        offset: Annotated[int, Query(ge=0, le=2**53, description="Bytes to leave out.")] = 0,
    ) -> Response:
        """The log of a job as it stands, as plain text."""
        parts.dagster.run(run_id)
        return _text(parts, run_id, stream, offset)


def last_of_log(parts: Parts, run_id: str) -> str:
    """The last lines of both streams of a job as they stand, for who cannot follow them."""
    tail = Tail(parts.dagster, run_id, None)
    return "".join(text.decode(errors="replace") for _, text, _ in tail.look())


def _text(parts: Parts, run_id: str, stream: Stream, offset: int) -> Response:
    key = parts.dagster.log_key(run_id)
    headers = {"Cache-Control": "no-store"}
    if key is None:
        return Response("", media_type="text/plain; charset=utf-8", headers=headers)

    def content() -> Iterator[bytes]:
        place = {"stdout": 0, "stderr": 0, stream: offset}
        while part := getattr(parts.dagster.log_part(key, **place, limit=PART), stream):
            yield part
            place[stream] += len(part)

    return StreamingResponse(content(), media_type="text/plain; charset=utf-8", headers=headers)
