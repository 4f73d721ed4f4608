"""The pages over HTTP: who sees which, what every answer carries, what they are made of."""

import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from running import ADMIN, World, basic
from visiting import Visitor, fetched, said, signed_in, tags

from custodian.web.guard import HEADERS, POLICY
from custodian.web.page import own_path
from custodian.web.pages import PAGES

WEB = Path(__file__).parents[2] / "custodian" / "web"
TEMPLATES = sorted((WEB / "templates").glob("*.html"))
SCRIPTS = sorted((WEB / "static").glob("*.js"))
PEOPLE = {"alice": "owner", "auditor": "auditor", ADMIN: "admin"}
HOSTILE = "<img src=x onerror=alert(1)>\"'{{7*7}}</script>"
FORBIDDEN = (
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "eval(",
    "new Function",
    "createContextualFragment",
    "DOMParser",
    "parseFromString",
    "setHTML",
    "srcdoc",
    "sessionStorage",
    "console.log",
)
LIMIT = 100_000  # bytes over the wire for a first visit


def ask(world: World, name: str = "bob", **changes: Any) -> str:
    """Ask for the key as a person; return the request's id."""
    usual = {"key": "ca", "signer": "ca-1", "uses": 40, "duration": "1h", "reason": "change 8812"}
    return str(world.person(name, "POST", "/requests", usual | changes).ok()["id"])


@pytest.fixture(autouse=True)
def _nothing_waits(world: World) -> None:
    for each in world.person("auditor", "GET", "/requests?state=waiting").ok():
        path = f"/requests/{each['id']}/withdraw"
        if each["asker_role"] == "signer":
            world.signer.call("POST", path, {}).ok()
        else:
            world.person(each["asker"], "POST", path, {}).ok()


@pytest.fixture
def request_id(world: World) -> str:
    return ask(world, constraints={"profiles": ["server"], "names": ["*.example.com"]})


# --- who sees what


@pytest.mark.parametrize("name", PEOPLE)
def test_every_page_shows_itself_to_whom_it_is_for_and_to_nobody_else(
    world: World, request_id: str, name: str
) -> None:
    world.lend("alice", "bob", request=request_id)
    visitor = signed_in(world, name)
    for page in PAGES:
        answer = visitor.get(page.path.replace("{id}", request_id))
        assert answer.status == (200 if PEOPLE[name] in page.roles else 403), page.path
        assert "text/html" in answer.headers["Content-Type"]


@pytest.mark.parametrize("name", PEOPLE)
def test_the_navigation_names_the_pages_of_the_role(world: World, name: str) -> None:
    shown = [at.get("href") for tag, at in tags(signed_in(world, name).page("/quorum")) if tag == "a"]
    for page in PAGES:
        if page.label:
            assert (page.path in shown) == (PEOPLE[name] in page.roles), page.path


def test_a_page_is_for_people_not_for_signers(world: World) -> None:
    answer = Visitor(world).get("/requests", Authorization=world.signer.authorization)
    assert answer.status == 403


def test_an_owner_reads_what_is_asked_by_whom_and_what_their_answer_does(
    world: World, request_id: str
) -> None:
    world.lend("bob", request=request_id, constraints={"profiles": ["server"]})
    world.person("carol", "POST", f"/requests/{request_id}/decline", {"reason": "not today"}).ok()
    alice = signed_in(world, "alice")
    assert "One request needs you, alice" in said(alice.page("/requests"))
    text = said(alice.page(f"/requests/{request_id}"))
    for part in (
        "Sign 40 server certificates",
        "change 8812",
        "*.example.com",
        "40 signatures within 1 hour",
    ):
        assert part in text
    assert "1 of 2 · bob has lent; your answer decides" in text
    assert "“not today”" in text
    assert f"--profile server --name '*.example.com' --request {request_id} -u alice" in text
    words = world.person("alice", "GET", f"/requests/{request_id}").ok()["words"]
    assert all(word in text for word in words)


def test_a_request_that_the_key_opens_for_already_needs_minus_one_owners_of_nobody(world: World) -> None:
    world.lend("bob", "carol")
    request = ask(world, "carol")
    for path in ("/requests", f"/requests/{request}"):
        page = said(signed_in(world, "alice").page(path))
        assert "the key opens for it as it is" in page
        assert "to go" not in page
    assert "Nothing can be signed" not in said(signed_in(world, "alice").page("/requests"))
    world.revoke_all()


def test_presets_never_offer_more_than_was_asked(world: World) -> None:
    page = signed_in(world, "alice").page(f"/requests/{ask(world, uses=3, duration='30m')}")
    offered = [at["value"] for tag, at in tags(page) if tag == "input" and at.get("type") == "radio"]
    assert offered == ["900", "1800", "other", "1", "3", "other"]


def test_nobody_but_an_owner_of_the_key_is_offered_to_lend(world: World, request_id: str) -> None:
    assert 'id="lend"' in signed_in(world, "alice").page(f"/requests/{request_id}")
    for name in (ADMIN, "auditor"):
        assert 'id="lend"' not in signed_in(world, name).page(f"/requests/{request_id}")


def test_a_request_that_has_ended_says_how_and_takes_no_answer(world: World, request_id: str) -> None:
    world.person("bob", "POST", f"/requests/{request_id}/withdraw", {}).ok()
    page = signed_in(world, "alice").page(f"/requests/{request_id}")
    assert "This request has ended" in said(page)
    assert 'id="lend"' not in page


def test_the_quorum_is_a_circle_with_an_arc_for_each_owner_it_takes(world: World) -> None:
    for lenders, held in (((), 0), (("alice",), 1), (("alice", "bob"), 2)):
        world.revoke_all()
        world.lend(*lenders) if lenders else None
        arcs = [
            at.get("class") or ""
            for tag, at in tags(signed_in(world, "auditor").page("/quorum"))
            if tag == "circle"
        ]
        assert [each for each in arcs if each.startswith("arc")].count("arc held") == held
    assert "ca can open" in said(signed_in(world, "auditor").page("/quorum"))


def test_a_quorum_that_ends_soon_names_who_could_keep_it(world: World) -> None:
    world.lend("alice", duration="1h")
    world.lend("bob", duration="10m")
    text = said(signed_in(world, "carol").page("/quorum"))
    assert "delegation ends. It can be kept by bob or carol." in text
    world.lend("carol", duration="1h")
    assert "is lost to" not in said(signed_in(world, "carol").page("/quorum"))


def test_owners_see_their_own_loans_and_can_take_back_only_those(world: World) -> None:
    mine, theirs = world.lend("alice", "bob")
    page = signed_in(world, "alice").page("/delegations")
    assert f'data-revoke="{mine}"' in page
    assert theirs not in page
    for name in (ADMIN, "auditor"):
        page = signed_in(world, name).page("/delegations")
        assert mine in page
        assert theirs in page
        assert "data-revoke" not in page


def test_an_owner_with_one_way_to_open_their_share_is_warned(world: World) -> None:
    assert "You have one way to open your share." in said(signed_in(world, "alice").page("/me"))
    assert "You have one way" not in said(signed_in(world, "auditor").page("/me"))


# --- signing in and out


def test_the_form_signs_in_and_goes_where_one_wanted(world: World) -> None:
    visitor = Visitor(world)
    first = visitor.get("/quorum")
    assert (first.status, first.headers["Location"]) == (303, "/sign-in?next=/quorum")
    assert 'name="next" value="/quorum"' in visitor.page(first.headers["Location"])
    answer = visitor.sign_in("alice", next="/quorum")
    assert (answer.status, answer.headers["Location"]) == (303, "/quorum")
    cookie = answer.headers["Set-Cookie"]
    assert re.match(r"__Host-custodian=s-[\w-]+; ", cookie)
    assert {"HttpOnly", "Secure", "SameSite=Strict", "Path=/"} <= {each.strip() for each in cookie.split(";")}
    assert "Domain" not in cookie
    assert visitor.get("/quorum").status == 200


def test_a_wrong_password_is_told_in_one_sentence_and_only_the_name_is_kept(world: World) -> None:
    answer = Visitor(world).send(
        "/sign-in", {"name": "alice", "password": "hunter2-typed", "next": "/quorum"}
    )
    page = answer.body.decode()
    assert answer.status == 401
    assert "Set-Cookie" not in answer.headers
    assert "The name or the password is not right." in said(page)
    assert 'value="alice"' in page
    assert 'name="next" value="/quorum"' in page
    assert "hunter2" not in page
    assert "WWW-Authenticate" not in answer.headers  # or the browser asks in a window of its own


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/a\r\nX: y",
        "",
        "/%0d",
    ],
)
def test_signing_in_leads_to_pages_of_ours_only(world: World, target: str) -> None:
    assert Visitor(world).sign_in("alice", next=target).headers["Location"] == "/"
    assert 'name="next" value="/"' in Visitor(world).page(f"/sign-in?next={quote(target)}")


@pytest.mark.parametrize("text", ["/" + "a" * 26 + "!", "/" + "a/" * 26 + "/", "/" + "%61" * 26])
def test_an_address_that_leads_nowhere_does_not_stop_the_daemon(text: str) -> None:
    """One such address held everybody up for hours: each letter more doubled the work of refusing it."""
    before = time.monotonic()
    assert own_path(text) == "/"
    assert time.monotonic() - before < 1


def test_a_link_from_a_mail_comes_without_the_cookie_and_is_asked_for_again_once(world: World) -> None:
    followed = Visitor(world).get("/requests", Sec_Fetch_Site="cross-site")
    assert followed.status == 200
    assert '<meta http-equiv="refresh" content="0">' in followed.body.decode()
    again = Visitor(world).get("/requests", Sec_Fetch_Site="same-origin")
    assert again.status == 303
    alice = signed_in(world, "alice")
    assert "refresh" not in alice.get("/requests", Sec_Fetch_Site="cross-site").body.decode()


def test_signing_out_ends_the_session_here_and_there(world: World) -> None:
    alice = signed_in(world, "alice")
    answer = alice.send("/sign-out", {})
    assert "You are signed out" in said(answer.body.decode())
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert alice.get("/requests").status == 303
    assert alice.send("/sign-out", {}).status == 200


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec_Fetch_Site": "same-site", "Origin": "https://localhost:1"},
        {"Sec_Fetch_Site": "none", "Origin": "null"},
        {"Sec_Fetch_Site": "", "Origin": "https://evil.example"},
        {"Sec_Fetch_Site": "", "Origin": "null"},
    ],
)
def test_a_form_of_another_site_is_refused(world: World, path: str, headers: dict[str, str]) -> None:
    alice = signed_in(world, "alice")
    answer = alice.send(path, {"name": "alice", "password": "x"}, **headers)
    assert answer.status == 403
    assert "Set-Cookie" not in answer.headers
    assert alice.get("/requests").status == 200


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"name": "alice"}', "application/json"),
        (b"name=alice", "text/plain"),
        (b"name=%ff", "application/x-www-form-urlencoded"),
        (b"&".join([b"a=b"] * 50), "application/x-www-form-urlencoded"),
    ],
)
def test_what_is_not_our_form_is_told_so(world: World, body: bytes, kind: str) -> None:
    answer = Visitor(world).ask("POST", "/sign-in", body, Content_Type=kind, Sec_Fetch_Site="same-origin")
    assert answer.status == 400
    assert "text/html" in answer.headers["Content-Type"]


def test_whoever_comes_by_the_address_is_told_where_everything_works(world: World) -> None:
    here = world.daemon.url.replace("127.0.0.1", "localhost")
    assert f'<a href="{here}/sign-in">' in Visitor(world).page("/sign-in")
    port = here.rpartition(":")[2]
    by_name = Visitor(world).get("/sign-in", Host=f"localhost:{port}").body.decode()
    assert "only." not in said(by_name)


def test_made_up_evidence_signs_nobody_in(world: World) -> None:
    for evidence in ("{}", "[]", "x", '{"kind":"passkey","credential":"passkey-1","signature":"AA=="}'):
        answer = Visitor(world).send("/sign-in", {"name": "alice", "statement": "s", "evidence": evidence})
        assert answer.status in (400, 401), evidence
        assert "Set-Cookie" not in answer.headers


# --- errors


def test_errors_are_pages_for_people_and_problems_for_programs(world: World) -> None:
    alice = signed_in(world, "alice")
    for path, status in (("/nothing", 404), ("/requests/r-000000000000", 404), ("/static/x/nothing.js", 404)):
        answer = alice.get(path)
        assert (answer.status, answer.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
        assert re.search(r"<h1>\w", answer.body.decode())
    for path in ("/nothing", "/api/v1/nothing"):
        answer = alice.get(path, Accept="*/*")
        assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert alice.ask("POST", "/requests").status == 405


# --- what every answer carries


def test_every_answer_carries_the_headers_of_the_guard(world: World, request_id: str) -> None:
    alice = signed_in(world, "alice")
    bearer = {"Authorization": basic("alice")}
    answers = [
        alice.get("/requests"),
        alice.get("/nothing"),
        Visitor(world).get("/requests"),
        Visitor(world).get("/requests", Sec_Fetch_Site="cross-site"),
        Visitor(world).get("/sign-in"),
        Visitor(world).send("/sign-in", {"name": "alice", "password": "wrong"}),
        alice.send("/sign-in", {}, Origin="https://evil.example", Sec_Fetch_Site="cross-site"),
        alice.get(address(alice, "style.css")),
        alice.get("/api/v1/keys"),
        alice.get("/api/v1/nothing"),
        Visitor(world).get("/api/v1/keys"),
        alice.ask("POST", "/api/v1/requests", b"{}", Content_Type="text/plain"),
        alice.ask("POST", "/api/v1/requests", b"{", Content_Type="application/json"),
        alice.ask("PATCH", "/api/v1/keys"),
        alice.get("/healthz"),
        alice.get("/api/v1/openapi.json"),
        alice.get("/api/v1/keys", Expect="something-else"),
        alice.get("/api/v1/history/checkpoint", **bearer),
    ]
    statuses = {answer.status for answer in answers}
    assert {200, 303, 400, 401, 403, 404, 405, 415} <= statuses
    for answer in answers:
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, answer
    for answer in [*answers[:7], *answers[8:]]:
        assert answer.headers["Cache-Control"] == "no-store", answer


def test_the_stream_carries_them_too(world: World) -> None:
    alice = signed_in(world, "alice")
    connection = world.daemon.connect()
    connection.request("GET", "/api/v1/live", headers={"Cookie": alice.cookie})
    response = connection.getresponse()
    assert response.status == 200
    assert {name: response.getheader(name) for name in HEADERS} == HEADERS
    connection.close()


def test_the_policy_allows_nothing_that_is_not_ours() -> None:
    assert "unsafe" not in POLICY
    assert "*" not in POLICY
    assert "http" not in POLICY
    rules = dict(each.split(" ", 1) for each in POLICY.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["frame-ancestors"] == "'none'"
    assert rules["trusted-types"] == "'none'"
    assert {rules[f"{kind}-src"] for kind in ("script", "style", "img", "font", "connect")} == {"'self'"}


# --- what pages are made of


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_nothing_inline_and_escapes_everything(path: Path) -> None:
    text = re.sub(r"\{#.*?#\}", "", path.read_text(), flags=re.DOTALL)
    assert not re.search(r"<style|\sstyle\s*=|javascript:|srcdoc", text, re.IGNORECASE)
    assert not re.search(r"<[^>]*\son\w+\s*=", re.sub(r"\{[{%].*?[%}]\}", "", text), re.IGNORECASE)
    assert not re.search(r"\|\s*safe|autoescape|Markup", text)
    assert not re.search(r"<(iframe|object|embed|base)\b", text)
    for script in re.findall(r"<script\b[^>]*>.*?</script>", text, re.DOTALL):
        assert re.fullmatch(r'<script type="module" src="\{\{ static\(\'\w+\.js\'\) \}\}"></script>', script)
    for address in re.findall(r'(?:src|href|action)="([^"]*)"', text):
        assert not re.match(r"(?:https?:)?//", address), address


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_form_puts_what_is_typed_into_an_address_even_before_its_script_runs(path: Path) -> None:
    for form in re.findall(r"<form\b.*?</form>", path.read_text(), re.DOTALL):
        if 'method="get"' not in form and 'role="search"' not in form:
            assert re.match(r'<form\b[^>]* method="post"', form), form[:80]
        else:
            assert "password" not in form


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_never_makes_markup_or_code_of_text(path: Path) -> None:
    text = path.read_text()
    for word in FORBIDDEN:
        assert word not in text, word
    assert not re.search(r"""setAttribute\(\s*["']on""", text)


def test_clocks_never_ask_the_browser_for_the_time_of_day() -> None:
    text = (WEB / "static" / "live.js").read_text()
    assert "Date.now" not in text
    assert "new Date()" not in text


def test_hostile_words_are_shown_as_words(world: World) -> None:
    constraints = {"profiles": [HOSTILE], "names": [HOSTILE]}
    body = {
        "key": "ca",
        "signer": "ca-1",
        "uses": 2,
        "duration": "1h",
        "reason": HOSTILE,
        "on_behalf": HOSTILE,
    }
    made = world.signer.call("POST", "/requests", body | {"constraints": constraints}).ok()["id"]
    world.person("bob", "POST", f"/requests/{made}/decline", {"reason": HOSTILE}).ok()
    world.lend("alice", request=HOSTILE)
    alice = signed_in(world, "alice")
    shown = 0
    for path in ("/requests", f"/requests/{made}", "/quorum", "/delegations", "/history"):
        page = alice.page(path)
        assert "<img" not in page, path
        assert "{{7*7}}" in page or HOSTILE not in said(page), path
        shown += HOSTILE in said(page)
    assert shown >= 4
    answer = Visitor(world).send("/sign-in", {"name": HOSTILE, "password": "x", "next": HOSTILE})
    assert "<img" not in answer.body.decode()


# --- what they weigh


def address(visitor: Visitor, name: str) -> str:
    found = re.search(r'"(/static/\w+/)', visitor.page("/sign-in"))
    assert found
    return found[1] + name


def wire_size(visitor: Visitor, path: str) -> int:
    """Return what a first visit to a page costs: bodies, and 600 bytes of headers for each answer."""
    files = [answer for _, answer in fetched(visitor, visitor.page(path))]
    return sum(len(answer.body) + 600 for answer in (visitor.get(path), *files))


def test_a_first_visit_to_any_page_costs_at_most_100_kb(world: World, request_id: str) -> None:
    world.lend("alice", "bob", request=request_id)
    alice = signed_in(world, "alice")
    sizes = {
        path: wire_size(alice, path)
        for path in ("/sign-in", "/enrol", *(page.path.replace("{id}", request_id) for page in PAGES))
    }
    assert max(sizes.values()) <= LIMIT, sizes


def test_fonts_are_small_and_come_with_their_licences() -> None:
    fonts = WEB / "static" / "fonts"
    for path in fonts.glob("*.woff2"):
        assert path.stat().st_size <= 30_000
        assert "SIL Open Font License" in (fonts / f"{path.stem}.LICENSE.txt").read_text()


def test_files_may_be_kept_for_good_under_the_address_of_these_very_files(world: World) -> None:
    visitor = Visitor(world)
    good = address(visitor, "style.css")
    kept = visitor.get(good)
    assert kept.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert kept.headers["Content-Encoding"] == "gzip"
    assert visitor.get(good, Accept_Encoding="identity").body.startswith(b"/*")
    other = visitor.get("/static/other/style.css")
    assert (other.status, other.headers["Cache-Control"]) == (200, "no-store")


@pytest.mark.parametrize(
    "name", ["../pages.py", "..%2fpages.py", "%2e%2e/pages.py", "fonts", "fonts/", ".", "x.py"]
)
def test_only_files_meant_for_it_are_served(world: World, name: str) -> None:
    assert Visitor(world).get(f"/static/x/{name}").status == 404


# --- whether everybody can read them


def colours() -> dict[str, tuple[str, str]]:
    text = (WEB / "static" / "style.css").read_text()
    return {name: (a, b) for name, a, b in re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\)", text)}


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_has_enough_contrast_on_what_it_stands_on(dark: bool) -> None:
    pairs = [(text, ground) for text in ("ink", "soft") for ground in ("paper", "card", "sunk")]
    pairs += [
        (state, ground)
        for state in ("live", "wait", "wax")
        for ground in ("card", "paper", f"{state}-bg", "sunk")
    ]
    pairs += [("paper", "ink"), ("on-wax", "wax")]
    for text, ground in pairs:
        found = contrast(colours()[text][dark], colours()[ground][dark])
        assert found >= 4.5, (text, ground, round(found, 2))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_frames_of_fields_can_be_seen(dark: bool) -> None:
    for ground in ("paper", "card", "sunk"):
        assert contrast(colours()["edge"][dark], colours()[ground][dark]) >= 3, ground


def test_every_colour_is_named_once_at_the_top() -> None:
    text = (WEB / "static" / "style.css").read_text()
    below = text.partition(":root {")[2].partition("\n}\n")[2].partition("@media print")[0]
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\(", below)
