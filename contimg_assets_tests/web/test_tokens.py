"""Tokens are shown once, kept as hashes that only their owner reads, and end when they should."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from contimg_assets.cli import main
from contimg_assets.radio.errors import AccessError
from contimg_assets.settings import get_settings
from contimg_assets.station.database import engine_for
from contimg_assets.station.operator_actions import OperatorActions
from contimg_assets.web.principals import Mode
from contimg_assets.web.roles import Role
from contimg_assets.web.tokens import Tokens
from contimg_assets_tests.web.conftest import Made
from contimg_assets_tests.web.site import running


def contimg(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    return result


def test_the_file_holds_no_token_and_is_its_owners(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    secret, token = tokens.add("script", Role.OPERATOR, 30)
    assert secret.startswith("contimg_")
    assert len(secret) > 43  # 256 bits, six in a character
    assert secret.removeprefix("contimg_") not in tokens.path.read_text()
    assert stat.S_IMODE(tokens.path.stat().st_mode) == 0o600
    assert tokens.of(secret) == token
    assert tokens.of(secret + "x") is None
    assert tokens.of(token.sha256) is None


def test_an_expired_token_is_none(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    secret, _ = tokens.add("old", Role.ADMIN, -1)
    assert tokens.of(secret) is None
    assert [token.name for token in tokens.known()] == ["old"]
    assert tokens.valid() == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_reach_is_refused(tmp_path: Path, mode: int) -> None:
    tokens = Tokens(tmp_path)
    secret, _ = tokens.add("one", Role.VIEWER, None)
    tokens.path.chmod(mode)
    with pytest.raises(AccessError, match=f"mode {mode:o}, expected 600"):
        tokens.of(secret)


@pytest.mark.parametrize("content", ["", "{}", "[{}]", '[{"name": "a b"}]', "[1"])
def test_a_file_that_holds_no_tokens_is_refused(tmp_path: Path, content: str) -> None:
    tokens = Tokens(tmp_path)
    tokens.path.write_text(content)
    tokens.path.chmod(0o600)
    with pytest.raises(AccessError, match="is not a file of tokens"):
        tokens.known()


def test_tokens_that_are_made_at_once_are_all_kept(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: Tokens(tmp_path).add(f"t{n}", Role.VIEWER, None), range(24)))
    assert {token.name for token in Tokens(tmp_path).known()} == {f"t{n}" for n in range(24)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokens.json", "tokens.lock"]


def test_the_commands_make_list_and_revoke(app_of: Made) -> None:
    made = contimg("token", "add", "ada", "--role", "operator", "--days", "1.5")
    secret = made.stdout.strip()
    assert "not shown again" in made.stderr
    listed = json.loads(contimg("token", "list", "--json").stdout)["tokens"]
    assert [(row["name"], row["role"], row["expired"]) for row in listed] == [("ada", "operator", False)]
    assert secret not in json.dumps(listed)
    assert "ada" in contimg("token", "list").stdout
    with running(app_of(Mode.TOKENS)) as site:
        headers = {"Authorization": f"Bearer {secret}"}
        assert site.get("/", headers).status == 200
        contimg("token", "revoke", "ada")
        assert site.get("/", headers).status == 401
    records, _ = OperatorActions(engine_for(get_settings().sqlalchemy_url)).recent()
    assert [record.target for record in records] == ["token revoke ada", "token add ada --role operator"]
    assert {record.by for record in records} == {"command line"}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("add", "a b", "--role", "viewer"), 2, "expected letters"),
        (("add", "ada", "--role", "root"), 2, "'root' is not one of"),
        (("add", "ada"), 2, "--role"),
        (("add", "ada", "--role", "viewer", "--days", "0"), 2, "--days"),
        (("add", "here", "--role", "viewer"), 3, "has a token called 'here'"),
        (("revoke", "nobody"), 3, "no token called 'nobody'; there are here"),
    ],
)
def test_wrong_commands_are_told(home: Path, arguments: tuple[str, ...], code: int, told: str) -> None:
    Tokens(home).add("here", Role.VIEWER, None)
    assert told in contimg("token", *arguments, code=code).stderr


def test_a_file_that_breaks_while_the_server_runs_opens_nothing(home: Path, app_of: Made) -> None:
    tokens = Tokens(home)
    secret, _ = tokens.add("one", Role.VIEWER, None)
    with running(app_of(Mode.TOKENS)) as site:
        tokens.path.chmod(0o644)
        answer = site.get("/", {"Authorization": f"Bearer {secret}"})
        assert answer.status == 503
        assert str(home) not in answer.json()["detail"]
