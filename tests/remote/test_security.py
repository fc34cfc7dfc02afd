"""The client and who it says it is: TLS, accounts, and what a server without it, or another one, answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server.securing import PASSWORD, SECRET, Certificate, add_key, add_user, serving

import quidditch
from quidditch import AccessDenied, AuthenticationFailed, RequestError, Unreachable
from quidditch.interface import Database
from quidditch.server.security.accounts import changing
from quidditch.server.security.secrets import encode_pair

KEY = encode_pair("one", SECRET)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the users ada, who may do everything, and rob, who only reads; and the index `books`."""
    directory = tmp_path_factory.mktemp("served") / "data"
    with quidditch.connect(directory) as database:
        database.create_index("books").add({"title": "Dune"}, id="1")
    add_user(directory, "ada", "admin")
    add_user(directory, "rob", "reader")
    return directory


@pytest.fixture(scope="module")
def url(data: Path, certificate: Certificate) -> Iterator[str]:
    with serving(data, *certificate.options, scheme="https", verify=certificate.trust) as client:
        yield str(client.base_url)


@pytest.fixture
def trust(certificate: Certificate) -> dict[str, str]:
    return {"ca_certs": str(certificate.authority)}


def whoever(url: str, trust: dict[str, str], **options: Any) -> Database:
    return quidditch.connect(url, **{**trust, **options})


def test_a_server_whose_certificate_is_trusted_is_used(url: str, trust: dict[str, str]) -> None:
    with whoever(url, trust, basic_auth=("ada", PASSWORD)) as database:
        assert database["books"].search("dune").total == 1


def test_a_certificate_that_nobody_trusts_is_told_at_once(url: str, naps: list[float]) -> None:
    with (
        quidditch.connect(url, basic_auth=("ada", PASSWORD)) as database,
        pytest.raises(Unreachable, match=r"certificate is not trusted.*ca_certs.*Nothing was sent"),
    ):
        database.indices()
    assert naps == []


def test_no_certificate_is_looked_at_where_that_is_asked_for(url: str) -> None:
    with quidditch.connect(url, basic_auth=("ada", PASSWORD), verify_certs=False) as database:
        assert database.indices() == ["books"]


def test_a_name_that_the_certificate_has_not_is_told(url: str, trust: dict[str, str]) -> None:
    elsewhere = url.replace("127.0.0.1", "localhost")
    with (
        whoever(elsewhere, trust, basic_auth=("ada", PASSWORD)) as database,
        pytest.raises(Unreachable, match=r"not trusted.*localhost"),
    ):
        database.indices()


def test_the_wrong_scheme_is_told(url: str, data: Path, naps: list[float]) -> None:
    with (
        quidditch.connect(url.replace("https", "http"), retries=1) as database,
        pytest.raises(Unreachable),
    ):
        database.indices()
    with serving(data) as plain:
        secure = str(plain.base_url).replace("http", "https")
        naps.clear()
        with quidditch.connect(secure) as database, pytest.raises(Unreachable, match="http:// address"):
            database.indices()
        assert naps == []


def test_who_is_not_known_is_told(url: str, trust: dict[str, str]) -> None:
    with whoever(url, trust) as nobody, pytest.raises(AuthenticationFailed, match="credentials") as refused:
        nobody.indices()
    assert isinstance(refused.value, RequestError)
    assert isinstance(refused.value, PermissionError)
    wrong = whoever(url, trust, basic_auth=("ada", "wrong horse battery"))
    with wrong, pytest.raises(AuthenticationFailed, match="wrong"):
        wrong["books"]


def test_a_key_that_is_revoked_is_refused_from_then_on(url: str, data: Path, trust: dict[str, str]) -> None:
    add_key(data, "one", "writer")
    with whoever(url, trust, api_key=KEY) as database:
        books = database["books"]
        assert books.add({"title": "Emma"}, id="2").result == "created"
        with changing(data) as accounts:
            del accounts.keys["one"]
        for call in (books.count, lambda: books.add({"title": "Persuasion"}), lambda: list(books.scan())):
            with pytest.raises(AuthenticationFailed, match="revoked"):
                call()


def test_what_a_caller_may_not_do_is_refused(url: str, trust: dict[str, str]) -> None:
    with whoever(url, trust, basic_auth=("rob", PASSWORD)) as reader:
        books = reader["books"]
        assert books.count() >= 1
        for call in (
            lambda: books.add({"title": "Emma"}),
            lambda: books.delete("1"),
            lambda: books.add_many([{"title": "Emma"}] * 3),
            lambda: reader.delete_index("books"),
            lambda: reader.create_index("films"),
        ):
            with pytest.raises(AccessDenied, match=r"no permissions for.*rob") as refused:
                call()
            assert isinstance(refused.value, PermissionError)
        assert books.get("1")["title"] == "Dune"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ca_certs": "/nowhere/none.pem"}, "ca_certs.*none.pem"),
        ({"ca_certs": __file__}, "ca_certs.*certificates expected"),
        ({"verify_certs": "no"}, "verify_certs"),
        ({"basic_auth": "ada:pw"}, "basic_auth"),
        ({"basic_auth": ("ada", None)}, "basic_auth"),
        ({"api_key": b"key"}, "api_key"),
    ],
)
def test_what_cannot_be_trusted_or_sent_is_told_by_connect(options: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        quidditch.connect("https://search.example", **options)
