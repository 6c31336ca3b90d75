"""Arguments that several commands take: groups, times, declinations; and wrong ones told in one line.

Belongs here: what a value must look like.  Does not belong here: whether what it
names is there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import urlsplit

import click

from contimg_assets.radio.group_key import parse_key


class GroupName(click.ParamType):
    """A group, as its key, the stem of its products, or a file's name; becomes the key."""

    name = "group"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The key that is meant."""
        try:
            return parse_key(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Night(click.ParamType):
    """A day, UTC, as YYYY-MM-DD."""

    name = "date"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The same, if it is one."""
        try:
            return datetime.strptime(value, "%Y-%m-%d").strftime("%Y-%m-%d")
        except ValueError:
            self.fail(f"found {value!r}; expected a day, such as 2025-06-01", param, ctx)


class KeyBeginning(click.ParamType):
    """A group's key, or the first part of one: ``2025-06`` is a month."""

    name = "key"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The same, if keys can begin so."""
        try:
            parse_key(value + "2000-01-01T00:00:00"[len(value) :])
        except ValueError:
            self.fail(f"found {value!r}; expected a group or its beginning, such as 2025-06-01", param, ctx)
        return value


class WebAddress(click.ParamType):
    """An address that begins with a scheme and a host, or a folder's."""

    name = "url"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The same, if it is one."""
        try:
            parts = urlsplit(value)
        except ValueError as error:
            self.fail(f"found {value!r}: {error}", param, ctx)
        if value and not (parts.scheme and (parts.netloc or parts.path.startswith("/"))):
            self.fail(f"found {value!r}; expected an address, such as https://host/folder", param, ctx)
        return value


class UtcTime(click.ParamType):
    """A time, UTC, in ISO 8601."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The same without a time zone, which is UTC."""
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"found {value!r}; expected a time, such as 2025-06-01T12:00:00", param, ctx)
        return (found.astimezone(UTC) if found.tzinfo else found).replace(tzinfo=None).isoformat()


GROUP, NIGHT, UTC_TIME = GroupName(), Night(), UtcTime()
KEY_BEGINNING, WEB_ADDRESS = KeyBeginning(), WebAddress()
#: Apparent, deg.
DECLINATION = click.FloatRange(-90.0, 90.0)


class _WrongUse(click.ClickException):
    """A wrong command line, in one line."""

    exit_code = 2


@contextmanager
def one_line() -> Iterator[None]:
    """Tell a wrong command line in one line with where to read on, in place of click's three.

    Raises
    ------
    click.ClickException
        In place of a usage error.
    """
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "contimg"
        text = " ".join(error.format_message().split()).rstrip(".")
        raise _WrongUse(f"{text} (see `{command} --help`)") from error
