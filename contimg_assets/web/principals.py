"""Who made a request, and where that may be taken from.

Belongs here: the three modes of access and which of them a server is in.  Does not belong here: what a
role may do (``guard.py``).

``loopback``: the server listens on the loopback interface only; whoever reaches it is an admin.
``tokens``: every request carries a token.  ``proxy``: a proxy that was named in the settings, or that
speaks through a Unix socket, says who the user is; tokens are taken as well.
"""

import base64
import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.datastructures import Headers
from starlette.types import Scope

from contimg_assets.radio.errors import AccessError
from contimg_assets.settings import WebOptions
from contimg_assets.web.problems import ProblemError
from contimg_assets.web.roles import NAME, Principal, Role
from contimg_assets.web.tokens import Tokens

#: What proxies add to a request: who sends one through the loopback is not on this machine.
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
#: Whoever reaches the loopback interface.
LOCAL = Principal("local", Role.ADMIN, "loopback")
#: A browser asks for the token as a password, with any name; scripts take the first.
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="contimg", Basic realm="contimg: the token as password"'}


class Mode(StrEnum):
    """How users are told apart."""

    LOOPBACK = "loopback"
    TOKENS = "tokens"
    PROXY = "proxy"


def parse_address(text: str) -> IPv4Address | IPv6Address:
    """An address, of IPv4 also where a socket of IPv6 tells it in its own form."""
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def mode_of(address: str | None, options: WebOptions, tokens: Tokens) -> Mode:
    """The mode of a server, from where it listens.

    Parameters
    ----------
    address : str or None
        Address that it is bound to; None: a Unix socket.
    options : WebOptions
    tokens : Tokens

    Raises
    ------
    AccessError
        If others than this machine could reach it and nothing would tell who they are.
    """
    if address is None or options.trusted_proxies:
        return Mode.PROXY
    if parse_address(address).is_loopback:
        return Mode.LOOPBACK
    if tokens.valid():
        return Mode.TOKENS
    raise AccessError(
        f"refused to listen on {address}: other machines could reach it, and nothing would tell who asks. "
        "Expected a token (contimg token add NAME --role ROLE) or a proxy (CONTIMG_WEB__TRUSTED_PROXIES); "
        "or listen on 127.0.0.1"
    )


@dataclass(frozen=True)
class Access:
    """Tells who made a request."""

    mode: Mode
    options: WebOptions
    tokens: Tokens

    def principal(self, scope: Scope, headers: Headers) -> Principal:
        """Who made a request.

        Raises
        ------
        ProblemError
            401 or 403 if that cannot be told.
        """
        given = headers.getlist("authorization")
        proxied = self.mode is Mode.PROXY and self._from_proxy(scope)
        if proxied and self.options.user_header in headers:
            return self._named_by_proxy(headers)
        if given:
            return self._of_token(given)
        if self.mode is Mode.LOOPBACK:
            self._refuse_unknown_proxy(headers)
            return LOCAL
        expected = f"the proxy's header {self.options.user_header}, or a token" if proxied else "a token"
        raise ProblemError(401, f"nothing tells who asks: expected {expected}", CHALLENGE)

    def _from_proxy(self, scope: Scope) -> bool:
        client = scope.get("client")
        # A Unix socket's peer has no address; who may connect is said by the socket's mode and folder.
        if not client or not client[0]:
            return True
        address = parse_address(client[0])
        return any(address in network for network in self.options.trusted_proxies)

    def _named_by_proxy(self, headers: Headers) -> Principal:
        names, roles = (headers.getlist(h) for h in (self.options.user_header, self.options.role_header))
        # A second value would be the client's own.
        if len(names) != 1 or len(roles) > 1:
            raise ProblemError(
                403, f"{self.options.user_header} or {self.options.role_header} was sent twice"
            )
        if not re.fullmatch(NAME, names[0]):
            raise ProblemError(403, f"{self.options.user_header} holds no name: expected {NAME}")
        role = roles[0] if roles else Role.VIEWER
        if role not in list(Role):
            raise ProblemError(403, f"{self.options.role_header} holds no role: expected {', '.join(Role)}")
        return Principal(names[0], Role(role), "proxy")

    def _of_token(self, given: list[str]) -> Principal:
        kind, _, value = given[0].partition(" ")
        secret = value.strip()
        if kind.lower() == "basic":
            try:
                secret = base64.b64decode(secret, validate=True).decode().partition(":")[2]
            except ValueError:
                secret = ""
        elif kind.lower() != "bearer":
            secret = ""
        token = self.tokens.of(secret) if len(given) == 1 and secret else None
        if token is None:
            raise ProblemError(401, "the token is not known, has expired, or was revoked", CHALLENGE)
        return Principal(token.name, token.role, "token")

    @staticmethod
    def _refuse_unknown_proxy(headers: Headers) -> None:
        found = [name for name in FORWARDED if name in headers]
        if found:
            raise ProblemError(
                403,
                f"the request came through a proxy ({found[0]}) that is not named in the settings: "
                "expected CONTIMG_WEB__TRUSTED_PROXIES, since whoever asks directly is taken for an admin",
            )
