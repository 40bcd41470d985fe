"""Who may look at a page, and from where: everybody else is refused before anything is read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import pytest
from starlette.types import ASGIApp

from nodes.page.access import HEADERS, Gate
from nodes.page.app import FILES, build
from nodes.page.reader import Reader
from nodes.page.serve import Binding, is_loopback
from schemas.errors import BadConfig
from tests.support.asgi import asked

PORT: Final = 8123
HOST: Final = f"127.0.0.1:{PORT}"
TOKEN: Final = "the-right-token-of-32-characters"
GATE: Final = Gate(frozenset({HOST, f"localhost:{PORT}"}), PORT, TOKEN)
COOKIE: Final = f"{GATE.cookie}={GATE.cookie_value}"


class _Untouched:
    """Fails whoever reads."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was used for a request that is refused")


@pytest.fixture
def app() -> ASGIApp:
    return build(cast(Reader, _Untouched()), GATE, asyncio.Event())


@pytest.mark.parametrize(
    ("method", "target", "headers", "status", "code"),
    [
        ("GET", "/", {"Host": HOST}, 403, "wrong-token"),
        ("GET", "/?token=", {"Host": HOST}, 403, "wrong-token"),
        ("GET", f"/?token={TOKEN[:-1]}", {"Host": HOST}, 403, "wrong-token"),
        ("GET", "/?token=wrong", {"Host": HOST, "Cookie": COOKIE}, 403, "wrong-token"),
        ("GET", "/?token=%FF%00", {"Host": HOST}, 403, "wrong-token"),
        ("GET", "/", {"Host": HOST, "Cookie": f"{GATE.cookie}={TOKEN}"}, 403, "wrong-token"),
        ("GET", "/", {"Host": HOST, "Cookie": f"sublet-page-1={GATE.cookie_value}"}, 403, "wrong-token"),
        ("GET", "/events?of=/", {"Host": HOST}, 403, "wrong-token"),
        ("GET", "/static/page.css", {"Host": HOST}, 403, "wrong-token"),
        ("GET", f"/?token={TOKEN}", {"Host": f"rebound.example:{PORT}"}, 421, "wrong-host"),
        ("GET", f"/?token={TOKEN}", {"Host": "127.0.0.1"}, 421, "wrong-host"),
        ("GET", f"/?token={TOKEN}", {"Host": "127.0.0.1:80"}, 421, "wrong-host"),
        ("GET", f"/?token={TOKEN}", {"Host": f"{HOST}.rebound.example"}, 421, "wrong-host"),
        ("GET", f"/?token={TOKEN}", {}, 421, "wrong-host"),
        ("GET", "/", {"Host": "<script>", "Cookie": COOKIE}, 421, "wrong-host"),
        *(
            (method, f"/?token={TOKEN}", {"Host": HOST, "Cookie": COOKIE}, 405, "wrong-method")
            for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get")
        ),
    ],
)
async def test_other_requests_are_refused(
    app: ASGIApp, method: str, target: str, headers: Mapping[str, str], status: int, code: str
) -> None:
    answer = await asked(app, target, method=method, headers=headers)
    assert answer.status == status
    assert answer.code == code
    assert answer.headers["content-type"].startswith("text/plain")
    assert "set-cookie" not in answer.headers
    assert TOKEN not in answer.text


@pytest.mark.parametrize("target", ["/", "/jobs/job-1?x=1"])
async def test_the_token_becomes_a_cookie_and_leaves_the_address(app: ASGIApp, target: str) -> None:
    joint = "&" if "?" in target else "?"
    answer = await asked(app, f"{target}{joint}token={TOKEN}", headers={"Host": HOST})
    assert (answer.status, answer.headers["location"]) == (303, target)
    assert answer.headers["set-cookie"] == f"{COOKIE}; Path=/; HttpOnly; SameSite=Strict"
    assert TOKEN not in answer.headers["set-cookie"]


async def test_who_has_the_cookie_gets_the_files_whatever_case_the_host_is_in(app: ASGIApp) -> None:
    for name, kind in FILES.items():
        answer = await asked(app, f"/static/{name}", headers={"Host": f"LOCALHOST:{PORT}", "Cookie": COOKIE})
        assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, kind)


@pytest.mark.parametrize("name", ["access.py", "..%2Faccess.py", "idiomorph.LICENSE", "%2Fetc%2Fpasswd"])
async def test_no_other_file_is_given(app: ASGIApp, name: str) -> None:
    answer = await asked(app, f"/static/{name}", headers={"Host": HOST, "Cookie": COOKIE})
    assert answer.status == 404
    assert "import" not in answer.text


@pytest.mark.parametrize("target", ["/static/page.js", "/static/none", "/?token=wrong"])
async def test_every_answer_says_what_a_browser_must_not_do(app: ASGIApp, target: str) -> None:
    answer = await asked(app, target, headers={"Host": HOST, "Cookie": COOKIE})
    assert {name: answer.headers[name.lower()] for name in HEADERS} == dict(HEADERS)
    assert "unsafe" not in answer.headers["content-security-policy"]


# ------------------------------------------------------------ where it is served


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_needs_no_more(host: str) -> None:
    assert is_loopback(host)
    Binding(host).check()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "node.example", "localhost.example"])
@pytest.mark.parametrize("missing", ["token-file", "tls-cert", "tls-key"])
def test_others_need_a_token_of_their_own_and_tls(host: str, missing: str, tmp_path: Path) -> None:
    whole = {"token_file": tmp_path, "certificate": tmp_path, "key": tmp_path}
    Binding(host, **whole).check()  # type: ignore[arg-type]
    names = {"token-file": "token_file", "tls-cert": "certificate", "tls-key": "key"}
    with pytest.raises(BadConfig, match=f"--{missing}") as caught:
        Binding(host, **whole | {names[missing]: None}).check()  # type: ignore[arg-type]
    assert caught.value.field == missing


@pytest.mark.parametrize("raw", [b"short", b"", "ü".encode() * 40])
def test_a_token_that_is_no_secret_is_refused(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(raw)
    with pytest.raises(BadConfig, match="token"):
        Binding(token_file=tmp_path / "token").token()


def test_every_start_has_another_token() -> None:
    tokens = {Binding().token() for _ in range(8)}
    assert len(tokens) == 8
    assert min(map(len, tokens)) >= 32
