"""Pages say what there is, whoever looks: in every state, escaped, without script in them, by their role."""

import csv
import html
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from contimg_assets.settings import WebOptions, get_settings
from contimg_assets.station.alarms import Condition, take_conditions
from contimg_assets.station.antenna_marks import AntennaMarks
from contimg_assets.station.columns import now
from contimg_assets.station.database import transaction
from contimg_assets.station.operator_actions import OperatorActions
from contimg_assets.station.reviews import reviews_of
from contimg_assets.web.app import guarded_app, own_app
from contimg_assets.web.pages.group_rows import cell
from contimg_assets.web.principals import Access, Mode
from contimg_assets.web.roles import Role
from contimg_assets.web.tokens import Tokens
from contimg_assets_tests.web.nights import ANTENNAS, Nights, make_nights
from contimg_assets_tests.web.panel import FROM_FORMS, PAGES, routes_of_pages

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
TABS = ("", "image", "flags", "calibration", "files", "history", "jobs")


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    """Two nights of twelve groups."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTIMG_HOME", str(tmp_path_factory.mktemp("pages") / "home"))
        get_settings.cache_clear()
        get_settings().home.mkdir()
        yield make_nights(get_settings())
    get_settings.cache_clear()


def client_of(nights: Nights, mode: Mode = Mode.LOOPBACK) -> TestClient:
    station = nights.installation
    access = Access(mode, WebOptions(writes_per_minute=10_000), Tokens(station.settings.home))
    nothing = PlainTextResponse("", 404)
    app = guarded_app(own_app(station), nothing, access, OperatorActions(station.engine), [])
    return TestClient(app, base_url="http://localhost", headers={"Accept": "text/html"})


@pytest.fixture(scope="module")
def client(nights: Nights) -> TestClient:
    return client_of(nights)


class Page(HTMLParser):
    """What of a page the tests look at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.forms: list[dict[str, str | None]] = []
        self.headings: list[str] = []
        self.wrong: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.open.append(tag)
        if tag == "a":
            self.links.append(given.get("href") or "")
        if tag == "form":
            self.forms.append(given)
        if "style" in given or tag == "style" or any(name.startswith("on") for name in given):
            self.wrong.append(f"{tag} {given}")
        if tag == "script" and not (given.get("src") or "").startswith("/static/"):
            self.wrong.append(f"{tag} {given}")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data.strip())

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass


def addresses(nights: Nights) -> list[str]:
    key = nights.keys[1]
    return [
        "/",
        "/?night=2025-06-01",
        "/?night=2024-01-01",
        "/groups",
        "/groups?verdict=ERROR&sort=-rms_ratio&trend=flag_fraction",
        "/groups?state=failed",
        "/sources",
        "/sources?variable=true",
        "/candidates",
        *(f"/groups/{key}" + (f"?tab={tab}" if tab else "") for tab in TABS),
        f"/groups/{nights.keys[11]}",
        f"/groups/{nights.keys[5]}",
        "/calibration",
        f"/calibration/{nights.set_ids[0]}",
        "/antennas",
        "/antennas/103",
        "/limits",
        "/limits/image_qa/rms_ratio",
        "/system",
        "/keys",
    ]


def test_every_page_answers_without_script_or_style_in_it_and_its_links_lead_somewhere(
    nights: Nights, client: TestClient
) -> None:
    followed: set[str] = set()
    for address in addresses(nights):
        answer = client.get(address)
        assert answer.status_code == 200, (address, answer.text[-2000:])
        assert "script-src" not in answer.headers["content-security-policy"]
        page = Page(answer.text)
        assert page.wrong == [], address
        assert page.headings, address
        ours = {
            link for link in page.links if link.startswith("/") and not link.startswith(("/dagster", "/jobs"))
        }
        # One of each kind: the others differ in their key only.
        kinds = {re.sub(r"\d", "0", link): link for link in ours}
        for kind, link in kinds.items():
            if kind not in followed:
                followed.add(kind)
                assert client.get(link).status_code in (200, 304), (address, link)


def test_every_page_that_there_is_is_looked_at_in_the_browser(nights: Nights) -> None:
    """One that is new is in the list that axe and the pictures go by."""
    there = routes_of_pages(own_app(nights.installation))
    assert {"/", "/groups/{key}", "/nights/{day}"} < there
    assert there == ({shown.route for shown in PAGES} - {"/products/{path:path}"}) | FROM_FORMS


def test_what_files_and_people_say_is_text_and_nothing_else(nights: Nights, client: TestClient) -> None:
    for address in ("/", f"/groups/{nights.keys[5]}", f"/groups/{nights.keys[2]}", "/groups?review=any"):
        text = client.get(address).text
        assert "<img src=x" not in text
        assert "<b>stripes" not in text
    assert "&lt;img src=x" in client.get(f"/groups/{nights.keys[5]}").text


def test_tonight_says_what_came_of_the_night_in_a_sentence_and_by_cause(client: TestClient) -> None:
    text = client.get("/").text
    assert "12 groups observed, 9 imaged (7 good, 1 uncertain, 1 bad), 2 failed, 1 still to be made." in text
    assert "Calibration holds for" in text
    assert "image: ImagingError" in text
    assert re.search(r"<td>2</td><td><span[^>]*>⚠ failed", text)
    # An antenna died in the middle of the night, and the group in which it did is named.
    assert re.search(r"antenna 103</a> dead\s+since <a[^>]*>2025-06-02 14:3", text)
    assert 'rel="prev">← 2025-06-01' in text


def test_groups_are_counted_over_all_and_narrowed_by_what_they_are(client: TestClient) -> None:
    text = client.get("/groups?limit=5").text
    assert "24 of 24" in text
    assert text.count('<th scope="row">') == 5
    assert "failed <b>4</b>" in text
    assert "next 5 rows" in text
    following = re.findall(r'href="(/groups\?[^"]*cursor[^"]*)"', text)[0].replace("&amp;", "&")
    later = client.get(following).text
    assert text.count("2025-06-02") > 0
    first, second = (set(re.findall(r'<a href="/groups/([^"]+)">', page)) for page in (text, later))
    assert not first & second
    assert "2 of 24" in client.get("/groups?verdict=ERROR").text
    assert "1 of 24" in client.get("/groups?review=differs").text
    assert "0 of 24" in client.get("/groups?q=nothing-like-it").text
    for wrong in ("/groups?sort=nothing", "/groups?since=yesterday", "/groups?nothing=1", "/groups?cursor=x"):
        answer = client.get(wrong)
        assert answer.status_code == 422, wrong
        assert "expected" in answer.text


def test_a_persons_review_stands_beside_the_checks_and_the_next_group_is_shown(
    nights: Nights, client: TestClient
) -> None:
    engine, (key, following) = nights.installation.engine, nights.imaged[:2]
    sent = urlencode({"verdict": "WARN", "note": "ripples", "go_on": "1"})
    answer = client.post(f"/groups/{key}/review", content=sent, headers=FORM, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/groups/{following}")
    (review,) = reviews_of(engine, key)
    assert (review.verdict, review.machine_verdict, review.note, review.user) == (
        "WARN",
        "PASS",
        "ripples",
        "local",
    )
    text = client.get(f"/groups/{key}").text
    assert "differs from the checks (good)" in text
    assert "✓ good</strong>" in text
    assert client.post(f"/groups/{key}/review", content="verdict=maybe", headers=FORM).status_code == 422


def test_a_set_is_retired_with_a_reason_and_what_it_touched_is_named(
    nights: Nights, client: TestClient
) -> None:
    set_id = nights.set_ids[0]
    before = client.get(f"/calibration/{set_id}").text
    assert "<strong>9</strong> groups" in before
    answer = client.post(f"/calibration/{set_id}/retire", content="reason=antenna+moved", headers=FORM)
    assert answer.status_code == 200
    assert "antenna moved" in answer.text
    assert nights.installation.registry.get(set_id).status == "retired"
    again = client.post(f"/calibration/{set_id}/retire", content="reason=x", headers=FORM)
    assert again.status_code == 409
    assert "retired already" in again.text


def test_an_antenna_is_marked_as_bad_with_times_and_reason_and_the_mark_is_ended(
    nights: Nights, client: TestClient
) -> None:
    address, marks = f"/antennas/{ANTENNAS[0]}", AntennaMarks(nights.installation.settings.home)
    sent = urlencode({"reason": "oscillates <b>", "since": "2025-06-01T12:00", "until": "2099-01-01"})
    answer = client.post(f"{address}/marks", content=sent, headers=FORM)
    assert answer.status_code == 200
    assert "oscillates &lt;b&gt;" in answer.text
    assert marks.during("2025-06-01T12:00:00") == {ANTENNAS[0]: "oscillates <b>"}
    (mark,) = marks.known()
    assert mark.user == "local"
    assert client.post(f"{address}/marks/{mark.id}/end", content="x=", headers=FORM).status_code == 200
    assert marks.during("2098-01-01T00:00:00") == {}
    for wrong in ("reason=&since=", "reason=x&since=yesterday", "reason=x&since=2025-01-02&until=2025-01-01"):
        assert client.post(f"{address}/marks", content=wrong, headers=FORM).status_code == 422, wrong
    (action, *_), _ = OperatorActions(nights.installation.engine).recent(1)
    assert action.target == f"{address}/marks"


def test_rows_of_the_groups_are_had_as_csv_all_that_a_query_finds(nights: Nights, client: TestClient) -> None:
    answer = client.get("/groups.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(answer.text.splitlines()))
    assert [row["key"] for row in rows] == sorted(nights.keys, reverse=True)
    few = list(csv.DictReader(client.get("/groups.csv?verdict=ERROR&sort=group").text.splitlines()))
    assert few
    assert {row["verdict"] for row in few} == {"ERROR"}
    assert [row["key"] for row in few] == sorted(row["key"] for row in few)
    assert client.get("/groups.csv?sort=colour").status_code == 422


def test_a_cell_of_a_csv_is_no_formula() -> None:
    assert [cell(value) for value in ("=1+1", "+x", "-x", "@x", "x=1", -1.5, None)] == [
        "'=1+1",
        "'+x",
        "'-x",
        "'@x",
        "x=1",
        "-1.5",
        "",
    ]


def test_viewers_see_no_buttons_and_cannot_write(nights: Nights) -> None:
    token, _ = Tokens(nights.installation.settings.home).add("vi", Role.VIEWER, None)
    client = client_of(nights, Mode.TOKENS)
    client.headers["Authorization"] = f"Bearer {token}"
    for address in addresses(nights):
        page = Page(client.get(address).text)
        assert {form.get("method", "get") for form in page.forms} == {"get"}, address
    system = client.get("/system").text
    assert "Who did what" not in system
    assert "Tokens" not in system
    for path in (
        f"/groups/{nights.keys[0]}/review",
        f"/calibration/{nights.set_ids[1]}/retire",
        f"/antennas/{ANTENNAS[0]}/marks",
        "/system/sensors",
        "/system/pools",
        "/batch/plan",
    ):
        assert client.post(path, content="verdict=PASS", headers=FORM).status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({**FORM, "Sec-Fetch-Site": "cross-site"}, 403),
        ({**FORM, "Origin": "http://evil.example"}, 403),
        ({**FORM, "Origin": "null"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content-Type": "application/json"}, 415),
    ],
)
def test_forms_of_other_pages_are_refused(
    nights: Nights, client: TestClient, headers: dict[str, str], status: int
) -> None:
    key = nights.keys[4]
    answer = client.post(f"/groups/{key}/review", content="verdict=ERROR", headers=headers)
    assert answer.status_code == status
    assert reviews_of(nights.installation.engine, key) == []


def test_an_alarm_is_on_the_pages_until_somebody_sees_to_it(nights: Nights, client: TestClient) -> None:
    station = nights.installation
    with transaction(station.engine) as session:
        hostile = Condition("disk", "/data", "/data", "<img src=x onerror=alert(1)> is full", "page")
        ((alarm,), _) = take_conditions(session, [hostile], [], now())
    heading = "the disk fills up: /data"
    for path in ("/", "/system"):
        text = client.get(path).text
        assert heading in text
        assert "<img src=x" not in text
    path = f"/alarms/{alarm.id}/acknowledge"
    answer = client.post(
        path, content=urlencode({"note": "<b>soon</b>"}), headers=FORM, follow_redirects=False
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/system#alarms")
    assert heading not in client.get("/").text
    text = client.get("/system").text
    assert "local, " in text
    assert "&lt;b&gt;soon&lt;/b&gt;" in text
    assert client.post(path, content="", headers=FORM).status_code == 409
    assert client.post("/alarms/99/acknowledge", content="", headers=FORM).status_code == 404


def test_forms_open_no_way_into_the_api(client: TestClient, nights: Nights) -> None:
    path = f"/api/groups/{nights.keys[4]}/reviews"
    assert client.post(path, content="verdict=ERROR", headers=FORM).status_code == 415


def test_a_problem_is_a_page_for_people_and_problem_details_for_programs(client: TestClient) -> None:
    for path, status in (
        ("/groups/2020-01-01T00:00:00", 404),
        ("/antennas/none", 404),
        ("/jobs", 503),
        ("/x", 404),
        ("/batch/none", 404),
    ):
        page = client.get(path)
        assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
        program = client.get(path, headers={"Accept": "*/*"})
        assert program.headers["content-type"] == "application/problem+json"


def test_flags_are_shown_by_antenna_the_worst_first_and_in_time_and_frequency(
    nights: Nights, client: TestClient
) -> None:
    text = client.get(f"/groups/{nights.keys[0]}?tab=flags").text
    names = re.findall(r'<a href="/antennas/([^"]+)">', text)
    assert names[:2] == ["24", "5"]
    assert set(names) == set(ANTENNAS)
    assert 'class="s9"' in text
    assert "antenna 5: 62 % flagged" in text


def test_another_limit_tells_which_groups_would_be_judged_otherwise(
    client: TestClient, nights: Nights
) -> None:
    text = client.get("/limits/image_qa/rms_ratio?soft=1.5&hard=3").text
    assert "2 would be judged otherwise" in text
    assert nights.keys[3] in text
    assert client.get("/limits/image_qa/rms_ratio?soft=3&hard=2").status_code == 422
    assert client.get("/limits/image_qa/nothing").status_code == 404
    assert client.get("/limits/image_qa/rms_ratio?soft=nan").status_code == 422


def test_files_of_the_pages_are_kept_by_browsers_until_they_change(client: TestClient) -> None:
    (address,) = re.findall(r'<link rel="stylesheet" href="([^"]+)">', client.get("/keys").text)
    answer = client.get(address)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert client.get(re.sub(r"/static/\w+/", "/static/0/", address)).status_code == 404


def test_programs_read_what_the_pages_show(nights: Nights, client: TestClient) -> None:
    """For how long calibration holds, and what another limit would do."""
    told = client.get("/api/calibration/outlook").json()
    assert told["holds"] == nights.set_ids[-1]
    assert f"holds for {told['hours_left']:.3g} h" in client.get("/calibration").text
    assert [each["mjd"] for each in told["transits"]] == sorted(each["mjd"] for each in told["transits"])
    earlier = client.get(f"/api/calibration/outlook?day={nights.keys[0][:10]}").json()
    assert earlier["mjd"] < told["mjd"]
    assert client.get("/api/calibration/outlook?day=2020-01-01").json()["holds"] is None
    path = "/limits/image_qa/rms_ratio?soft=1.01&hard=1.02"
    other = client.get(f"/api{path}").json()
    assert other["then"]["ERROR"] == other["n_groups"] > other["now"]["ERROR"] == 2
    assert f">{len(other['flipped'])} would be judged otherwise<" in client.get(path).text
    assert client.get("/api/limits/image_qa/nothing").status_code == 404
    assert client.get("/api/limits/image_qa/rms_ratio?soft=3&hard=2").status_code == 422
    assert client.get("/api/limits/image_qa/rms_ratio?soft=nan").status_code == 422


def test_a_group_tells_why_it_is_bad(nights: Nights, client: TestClient) -> None:
    bad, good = nights.keys[3], nights.keys[2]
    causes = client.get(f"/api/groups/{bad}").json()["likely_causes"]
    assert causes
    assert f"Likely: {'; '.join(causes)}." in html.unescape(client.get(f"/groups/{bad}").text)
    assert "Likely:" not in client.get(f"/groups/{good}").text


def test_a_group_tells_its_sidereal_time(nights: Nights, client: TestClient) -> None:
    """3C454.3 (22h 54m) crosses the meridian in its scan."""
    text = client.get(f"/groups/{nights.keys[1]}").text
    (hours, minutes) = re.findall(r"sidereal time</dt><dd>(\d\d)h (\d\d)m", text)[0]
    assert abs(60 * int(hours) + int(minutes) - (22 * 60 + 54)) < 15
