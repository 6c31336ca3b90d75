"""A server says who asks, or does not start; what a client says of itself is believed from proxies only."""

from pathlib import Path

import pytest

from contimg_assets.radio.errors import AccessError
from contimg_assets.settings import WebOptions
from contimg_assets.web.principals import Mode, mode_of
from contimg_assets.web.roles import Role
from contimg_assets.web.tokens import Tokens
from contimg_assets_tests.web.conftest import Made
from contimg_assets_tests.web.site import running

USER, ROLE = "X-Contimg-User", "X-Contimg-Role"
PROXY = {"trusted_proxies": ["10.0.0.0/8"]}


@pytest.mark.parametrize(
    ("address", "options", "token", "mode"),
    [
        ("127.0.0.1", {}, False, Mode.LOOPBACK),
        ("127.9.9.9", {}, True, Mode.LOOPBACK),
        ("::1", {}, False, Mode.LOOPBACK),
        ("127.0.0.1", PROXY, False, Mode.PROXY),
        ("0.0.0.0", {}, True, Mode.TOKENS),
        ("::", {}, True, Mode.TOKENS),
        ("192.168.1.5", PROXY, False, Mode.PROXY),
        (None, {}, False, Mode.PROXY),
    ],
)
def test_the_mode_follows_from_where_the_server_listens(
    tmp_path: Path, address: str | None, options: dict[str, object], token: bool, mode: Mode
) -> None:
    tokens = Tokens(tmp_path)
    if token:
        tokens.add("one", Role.VIEWER, None)
    assert mode_of(address, WebOptions.model_validate(options), tokens) is mode


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.5", "fe80::1%eth0", "::ffff:10.0.0.1"])
@pytest.mark.parametrize("expired", [False, True])
def test_nothing_is_opened_to_others_without_telling_who_asks(
    tmp_path: Path, address: str, expired: bool
) -> None:
    tokens = Tokens(tmp_path)
    if expired:
        tokens.add("old", Role.ADMIN, -1)
    with pytest.raises(
        AccessError, match=rf"refused to listen on {address}: other machines .*\(contimg token add"
    ):
        mode_of(address, WebOptions(), tokens)


def test_a_trusted_proxy_names_user_and_role(app_of: Made) -> None:
    with running(app_of(Mode.PROXY, trusted_proxies=["127.0.0.1"])) as site:
        assert b"ada (operator)" in site.get("/", {USER: "ada", ROLE: "operator"}).body
        assert b"ada (viewer)" in site.get("/", {USER: "ada"}).body
        for headers in ({USER: "a b"}, {USER: ""}, {USER: "x" * 65}, {USER: "ada", ROLE: "root"}):
            assert site.get("/", headers).status == 403
        # One that forgot to say who asks has not said that it is an admin.
        assert site.get("/").status == 401
        assert site.get("/", {ROLE: "admin"}).status == 401


def test_a_user_that_was_named_twice_is_nobody(app_of: Made) -> None:
    with running(app_of(Mode.PROXY, trusted_proxies=["127.0.0.1"])) as site:
        # A proxy that adds its header to the client's own, in place of overwriting it.
        assert site.get("/", {USER: "ada", USER.lower(): "eve"}).status == 403
        assert site.get("/", {USER: "ada", ROLE: "viewer", ROLE.lower(): "admin"}).status == 403


@pytest.mark.parametrize("mode", [Mode.PROXY, Mode.TOKENS])
def test_what_others_say_of_themselves_is_not_believed(app_of: Made, mode: Mode) -> None:
    with running(app_of(mode, **PROXY)) as site:
        for headers in ({}, {"X-Forwarded-For": "10.0.0.1"}, {"X-Real-IP": "10.0.0.1"}):
            assert site.get("/", {USER: "ada", ROLE: "admin", **headers}).status == 401


def test_on_the_loopback_interface_headers_of_a_proxy_give_nothing(app_of: Made) -> None:
    with running(app_of(Mode.LOOPBACK)) as site:
        assert b"local (admin)" in site.get("/", {USER: "ada", ROLE: "viewer"}).body
        # Who comes through a proxy is not on this machine, whatever the address says.
        for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Forwarded-Host"):
            answer = site.get("/", {name: "203.0.113.9"})
            assert answer.status == 403
            assert "CONTIMG_WEB__TRUSTED_PROXIES" in answer.json()["detail"]


def test_a_token_narrows_what_the_loopback_interface_may_do(app_of: Made, home: Path) -> None:
    secret, _ = Tokens(home).add("wall", Role.VIEWER, None)
    with running(app_of(Mode.LOOPBACK)) as site:
        assert b"wall (viewer)" in site.get("/", {"Authorization": f"bearer {secret}"}).body
        assert site.get("/", {"Authorization": "Bearer wrong"}).status == 401


def test_a_token_goes_through_a_proxy_that_names_nobody(app_of: Made, home: Path) -> None:
    secret, _ = Tokens(home).add("script", Role.OPERATOR, None)
    with running(app_of(Mode.PROXY, trusted_proxies=["127.0.0.1"])) as site:
        assert b"script (operator)" in site.get("/", {"Authorization": f"Bearer {secret}"}).body
        # The proxy has looked at its own users' credentials, which may come along.
        both = {"Authorization": f"Bearer {secret}", USER: "ada"}
        assert b"ada (viewer)" in site.get("/", both).body
