"""Who may come in: users, keys, what a wrong one costs, and the file that keeps them."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import quidditch
from quidditch.errors import RequestError, StorageError
from quidditch.server.app import create_app
from quidditch.server.security import secrets
from quidditch.server.security.accounts import FILE, LiveAccounts, User, changing, read_accounts
from quidditch.server.security.gate import Access, Gate
from quidditch.server.security.logins import Logins
from quidditch.server.security.throttle import (
    FIRST_DELAY_S,
    FORGOTTEN_AFTER_S,
    FREE_ATTEMPTS,
    LONGEST_DELAY_S,
    Throttle,
)

from .asking import Server
from .securing import HASH, PASSWORD, SECRET, Secured, add_key, add_role, add_user, api_key, basic


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Secured]:
    """A server with the user ada, who may do everything, and an index `books`."""
    add_user(tmp_path, "ada", "admin")
    with quidditch.connect(":memory:") as database:
        database.create_index("books").add({"title": "Dune"}, "1")
        yield Secured(database, tmp_path)


# ------------------------------------------------------------------------------------------------- coming in


def test_without_accounts_everybody_on_this_machine_may_do_everything(tmp_path: Path) -> None:
    with quidditch.connect(":memory:") as database:
        assert Secured(database, tmp_path)("PUT", "/books/_doc/1", {"title": "Dune"}).status_code == 201


@pytest.mark.parametrize(
    "path", ["/", "/books/_search", "/books/_doc/1", "/_cat/indices", "/none", "/no/such/route"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE"])
def test_nobody_comes_in_without_saying_who_he_is(secured: Secured, method: str, path: str) -> None:
    refused = secured(method, path)
    assert refused.status_code == 401
    assert "Basic realm=" in refused.headers["www-authenticate"]
    assert "ApiKey" in refused.headers["www-authenticate"]
    if method == "HEAD":
        assert refused.content == b""
    else:
        assert refused.json()["status"] == 401
        assert refused.json()["error"]["root_cause"][0]["type"] == "security_exception"
    assert "books" in secured.database


def test_users_and_keys_come_in(secured: Secured) -> None:
    assert secured("GET", "/books/_doc/1", headers=basic("ada")).json()["_source"] == {"title": "Dune"}
    assert secured("GET", "/books/_doc/1", headers=basic("ada")).status_code == 200
    add_key(secured.directory, "k1", "reader")
    assert secured("GET", "/books/_doc/1", headers=api_key("k1")).status_code == 200
    assert secured("PUT", "/books/_doc/2", {"title": "x"}, headers=api_key("k1")).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        basic("ada", "wrong"),
        basic("ada", ""),
        basic("ada", PASSWORD + " "),
        basic("ada", HASH),
        basic("ADA"),
        basic("nobody"),
        basic("", ""),
        basic("ada", "x" * 10_000),
        api_key("k1", "wrong"),
        api_key("k1", ""),
        api_key("nobody"),
        api_key("ada", PASSWORD),
        basic("k1", SECRET),
        {"authorization": "Basic"},
        {"authorization": "Basic !!!"},
        {"authorization": "Basic YWRh"},
        {"authorization": "Basic /////w=="},
        {"authorization": f"Bearer {SECRET}"},
        {"authorization": ""},
        {"x-forwarded-user": "ada"},
    ],
)
def test_what_is_wrong_does_not_come_in(secured: Secured, headers: dict[str, str]) -> None:
    add_key(secured.directory, "k1", "admin")
    assert secured("GET", "/books/_doc/1", headers=headers).status_code == 401
    assert secured("GET", "/books/_doc/1", headers=basic("ada")).status_code == 200


def test_a_key_ends(secured: Secured) -> None:
    now_ms = int(time.time() * 1000)
    add_key(secured.directory, "old", "reader", expires_ms=now_ms - 1)
    add_key(secured.directory, "young", "reader", expires_ms=now_ms + 3_600_000)
    assert secured("GET", "/", headers=api_key("old")).status_code == 401
    assert secured("GET", "/", headers=api_key("young")).status_code == 200


def test_a_name_in_unicode_and_a_password_with_a_colon(secured: Secured) -> None:
    with changing(secured.directory) as accounts:
        accounts.users["eve"] = User(secrets.hash_password("a:b:çø日本"), ["reader"])
    assert secured("GET", "/", headers=basic("eve", "a:b:çø日本")).status_code == 200
    assert secured("GET", "/", headers=basic("eve", "a:b:çø日")).status_code == 401


def test_changes_hold_at_once(secured: Secured) -> None:
    assert secured("GET", "/books/_doc/1", headers=basic("ada")).status_code == 200
    with changing(secured.directory) as accounts:
        accounts.users["ada"] = User(secrets.hash_password("another password"), ["reader"])
    assert secured("GET", "/books/_doc/1", headers=basic("ada")).status_code == 401
    assert secured("GET", "/books/_doc/1", headers=basic("ada", "another password")).status_code == 200
    assert secured("DELETE", "/books", headers=basic("ada", "another password")).status_code == 403
    with changing(secured.directory) as accounts:
        del accounts.users["ada"]
    # The last account is gone, and nobody gets in by that.
    assert secured("GET", "/", headers=basic("ada", "another password")).status_code == 401
    assert secured("GET", "/").status_code == 401


def test_a_first_account_closes_a_server_that_runs(tmp_path: Path) -> None:
    with quidditch.connect(":memory:") as database:
        server = Secured(database, tmp_path)
        assert server("GET", "/").status_code == 200
        add_user(tmp_path, "ada", "admin")
        assert server("GET", "/").status_code == 401


def test_accounts_that_are_damaged_or_gone_let_nobody_in(secured: Secured) -> None:
    file = secured.directory / FILE
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    assert secured("GET", "/").status_code == 401
    assert secured("GET", "/", headers=basic("ada")).status_code == 200
    file.unlink()
    assert secured("GET", "/").status_code == 401
    file.write_bytes(whole[:-20])
    with pytest.raises(StorageError, match=r"security\.json"):
        LiveAccounts(secured.directory)


def test_a_server_that_others_reach_is_closed_without_accounts(tmp_path: Path) -> None:
    with quidditch.connect(":memory:") as database:
        server = Server(database, access=Access(LiveAccounts(tmp_path), closed=True))
        assert server("GET", "/").status_code == 401
        add_user(tmp_path, "ada", "reader")
        assert server("GET", "/", headers=basic("ada")).status_code == 200


# ------------------------------------------------------------------------------------------- wrong attempts


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def asked(application: Gate, headers: dict[str, str]) -> int:
    async def sending() -> int:
        transport = httpx.ASGITransport(app=application)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return (await client.get("/", headers=headers)).status_code

    return asyncio.run(sending())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(tmp_path: Path, clock: Clock) -> Iterator[Gate]:
    add_user(tmp_path, "ada", "reader")
    add_user(tmp_path, "bob", "reader")
    add_key(tmp_path, "k1", "reader")
    with quidditch.connect(":memory:") as database:
        yield Gate(create_app(database), Access(LiveAccounts(tmp_path)), Logins(Throttle(clock), clock.sleep))


def guess(gate: Gate, times: int = 1) -> None:
    for number in range(times):
        assert asked(gate, basic("ada", f"guess {number}")) == 401


def test_guessing_takes_longer_and_longer(gate: Gate, clock: Clock) -> None:
    guess(gate, FREE_ATTEMPTS)
    assert clock.now_s == 0.0
    waits = []
    for _ in range(8):
        before_s = clock.now_s
        guess(gate)
        waits.append(clock.now_s - before_s)
    assert waits == sorted(waits)
    assert waits[0] > 0
    assert waits[-1] == LONGEST_DELAY_S


def test_others_do_not_wait_for_who_guesses(gate: Gate, clock: Clock) -> None:
    guess(gate, FREE_ATTEMPTS + 3)
    before_s = clock.now_s
    assert asked(gate, basic("bob")) == 200
    assert asked(gate, api_key("k1")) == 200
    assert clock.now_s == before_s


def test_a_right_guess_is_not_told_by_its_time(gate: Gate, clock: Clock) -> None:
    """A password that is known from before, and could be answered at once, waits as a wrong one would."""
    assert asked(gate, basic("ada")) == 200
    guess(gate, FREE_ATTEMPTS + 4)
    before_s = clock.now_s
    assert asked(gate, basic("ada")) == 200
    assert clock.now_s - before_s >= 1.0
    # With nobody guessing any more, it is answered at once.
    before_s = clock.now_s
    for _ in range(10):
        assert asked(gate, basic("ada")) == 200
    assert clock.now_s == before_s


def test_a_success_gives_no_new_guesses(gate: Gate, clock: Clock) -> None:
    """Somebody who guesses at the address of a user who logs in all the time gains nothing by that."""
    for _ in range(FREE_ATTEMPTS + 5):
        guess(gate)
        assert asked(gate, basic("ada")) == 200
    before_s = clock.now_s
    guess(gate)
    guess(gate)
    assert clock.now_s - before_s >= FIRST_DELAY_S * 2**5


def test_mistakes_are_forgotten(gate: Gate, clock: Clock) -> None:
    guess(gate, FREE_ATTEMPTS + 3)
    clock.now_s += FORGOTTEN_AFTER_S + LONGEST_DELAY_S + 1
    before_s = clock.now_s
    guess(gate, FREE_ATTEMPTS)
    assert asked(gate, basic("ada")) == 200
    assert clock.now_s - before_s <= FIRST_DELAY_S


def test_wrong_keys_wait_and_right_ones_never(gate: Gate, clock: Clock) -> None:
    for _ in range(FREE_ATTEMPTS + 3):
        assert asked(gate, api_key("k1", "wrong")) == 401
    waited_s = clock.now_s
    assert waited_s > 0
    assert asked(gate, api_key("k1")) == 200
    assert clock.now_s == waited_s


def test_many_attempts_at_once_are_no_better_than_one_after_another() -> None:
    throttle = Throttle(clock := Clock())
    waits = [throttle.begin(("10.0.0.1", "ada")) for _ in range(1_000)]
    looked_at = [wait for wait in waits if wait <= LONGEST_DELAY_S]
    assert len(looked_at) < 20
    assert looked_at == sorted(looked_at)
    clock.now_s += 3_600
    assert throttle.begin(("10.0.0.1", "ada")) == 0.0


def test_the_throttle_remembers_a_bounded_number() -> None:
    throttle = Throttle(Clock())
    for number in range(30_000):
        throttle.begin((str(number), "ada"))
    assert len(throttle._records) <= 10_000


def test_too_many_attempts_are_told_when_to_come_again(tmp_path: Path) -> None:
    """A hundred different passwords at the same time."""
    add_user(tmp_path, "ada", "reader")

    async def sending(application: Gate) -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=application)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await asyncio.gather(
                *(client.get("/", headers=basic("ada", f"guess {number}")) for number in range(100))
            )

    async def at_once(seconds: float) -> None: ...

    with quidditch.connect(":memory:") as database:
        answers = asyncio.run(
            sending(Gate(create_app(database), Access(LiveAccounts(tmp_path)), Logins(sleep=at_once)))
        )
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} == {401, 429}
    assert len(refused) > 80
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)


def test_one_password_at_the_same_time_is_one_attempt(tmp_path: Path) -> None:
    """A client's first requests come together, and none of them waits."""
    add_user(tmp_path, "ada", "reader")

    async def sending(application: Gate) -> set[int]:
        transport = httpx.ASGITransport(app=application)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answers = await asyncio.gather(*(client.get("/", headers=basic("ada")) for _ in range(40)))
        return {answer.status_code for answer in answers}

    async def never(seconds: float) -> None:
        raise AssertionError("nobody has to wait")

    with quidditch.connect(":memory:") as database:
        assert asyncio.run(
            sending(Gate(create_app(database), Access(LiveAccounts(tmp_path)), Logins(sleep=never)))
        ) == {200}


def test_names_are_not_told_apart_by_what_is_done_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who is not there costs what one who is there costs: one argon2 hash is verified."""
    verified = []

    class Hasher:
        def hash(self, password: str) -> str:
            return HASH

        def verify(self, hashed: str, password: str) -> bool:
            verified.append(hashed)
            return True

    monkeypatch.setattr(secrets, "_hasher", Hasher())
    assert secrets.password_fits(HASH, "x")
    assert not secrets.password_fits(None, "x")
    assert len(verified) == 2


# -------------------------------------------------------------------------------------------------- the file


def test_the_file_is_the_owners_and_holds_no_secret(tmp_path: Path) -> None:
    add_user(tmp_path, "ada", "admin")
    add_key(tmp_path, "k1", "reader")
    file = tmp_path / FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    assert PASSWORD not in text
    assert SECRET not in text
    assert "argon2id" in text
    assert [each.name for each in tmp_path.iterdir()] == [FILE]


def test_a_change_that_is_wrong_changes_nothing(tmp_path: Path) -> None:
    add_user(tmp_path, "ada", "admin")
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(RequestError, match=r"role \[readers\] is not there; there are admin"):
        add_user(tmp_path, "bob", "readers")
    with pytest.raises(RequestError, match="pattern"):
        add_role(tmp_path, "logs", {"logs *": "read"})
    with pytest.raises(RequestError, match="built in"):
        add_role(tmp_path, "admin", {"*": "read"})
    with pytest.raises(RequestError, match="level read, write, admin expected"):
        add_role(tmp_path, "logs", {"logs-*": "everything"})
    with pytest.raises(RequestError, match="letters, digits"):
        add_user(tmp_path, "a/b", "admin")
    assert (tmp_path / FILE).read_bytes() == before


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_not_believed(tmp_path: Path, mode: int) -> None:
    add_user(tmp_path, "ada", "admin")
    (tmp_path / FILE).chmod(mode)
    with pytest.raises(StorageError, match="chmod 600"):
        read_accounts(tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'{"version": 2}',
        b'{"users": {"a": {}}}',
        b'{"open": true}',
        b'{"roles": {"x": {"cluster": "y"}}}',
    ],
)
def test_a_file_that_is_not_right_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / FILE).write_bytes(data)
    (tmp_path / FILE).chmod(0o600)
    with pytest.raises(StorageError, match=FILE):
        read_accounts(tmp_path)


def test_accounts_stay_beside_the_data(tmp_path: Path) -> None:
    add_user(tmp_path / "", "ada", "admin")
    with quidditch.connect(tmp_path) as database:
        database.create_index("books").add({"title": "Dune"}, "1")
    with quidditch.connect(tmp_path) as database:
        assert database.indices() == ["books"]
        assert database.check().ok
    assert list(json.loads((tmp_path / FILE).read_text())["users"]) == ["ada"]
