"""`quidditch users`, `keys` and `roles`: who may use a server of a directory."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import quidditch
from quidditch.errors import RequestError

from . import render
from .failures import EPILOG, NothingFound
from .opening import AsJson

if TYPE_CHECKING:
    from quidditch.server.security.accounts import Accounts

_DAYS = {"h": 1 / 24, "d": 1.0, "w": 7.0, "y": 365.0}

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The directory that is served.")]
User = Annotated[str, typer.Argument(metavar="NAME", help="The name to log in with.")]
RoleName = Annotated[str, typer.Argument(metavar="NAME", help="The name of the role.")]
Roles = Annotated[
    list[str],
    typer.Option(
        "--role",
        metavar="ROLE",
        help="What it may do: admin, writer, reader, monitor, or a role of your own.",
    ),
]
Patterns = list[str] | None

users = typer.Typer(
    name="users",
    no_args_is_help=True,
    epilog=EPILOG,
    help="People and programs that log in to a server with a name and a password. With --json each prints JSON.",
)
keys = typer.Typer(
    name="keys",
    no_args_is_help=True,
    epilog=EPILOG,
    help="API keys, with which programs log in to a server. With --json each prints JSON.",
)
roles = typer.Typer(
    name="roles",
    no_args_is_help=True,
    epilog=EPILOG,
    help="What users and keys may do, by index and on the whole server. With --json each prints JSON.",
)


@contextmanager
def _changing(directory: Path) -> Iterator[Accounts]:
    """The accounts of a directory, kept as they are at the end of the block. A server heeds them at once."""
    with _needing_the_server():
        from quidditch.server.security.accounts import changing
    _check_directory(directory)
    with changing(directory) as accounts:
        yield accounts


def _reading(directory: Path) -> Accounts:
    with _needing_the_server():
        from quidditch.server.security.accounts import Accounts, read_accounts
    _check_directory(directory)
    return read_accounts(directory) or Accounts()


@contextmanager
def _needing_the_server() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise quidditch.MissingLibrary(
            f"accounts: {error.name} is not installed; pip install 'quidditch[server]' installs it"
        ) from error


def _check_directory(directory: Path) -> None:
    if not directory.is_dir():
        raise NothingFound(f"there is no directory {directory}; mkdir makes one")


# ----------------------------------------------------------------------------------------------------- users


@users.command("add", epilog=EPILOG, no_args_is_help=True)
def add_user(
    directory: Directory,
    name: User,
    role: Roles,
    replace: Annotated[
        bool, typer.Option("--replace", help="Give a user who is there a new password and new roles.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add a user. The password is asked for, or is the first line of standard input."""
    with _needing_the_server():
        from quidditch.server.security.accounts import User as Kept
        from quidditch.server.security.accounts import check_name
        from quidditch.server.security.secrets import check_password, hash_password
    check_name("user", name)
    _check_free(name, _reading(directory), replace)
    hashed = hash_password(check_password(_password()))
    with _changing(directory) as accounts:
        _check_free(name, accounts, replace)
        accounts.users[name] = Kept(hashed, role)
    _tell(as_json, {"user": name, "roles": role}, f"user {name}: {', '.join(role)}")


def _check_free(name: str, accounts: Accounts, replace: bool) -> None:
    if name in accounts.users and not replace:
        raise RequestError(f"user [{name}] is there already; --replace gives a new password and new roles")


def _password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")


@users.command("list", epilog=EPILOG, no_args_is_help=True)
def list_users(directory: Directory, as_json: AsJson = False) -> None:
    """List the users and their roles."""
    found = _reading(directory).users
    if as_json:
        render.print_json([{"user": name, "roles": user.roles} for name, user in sorted(found.items())])
        return
    rows = [[name, ", ".join(user.roles)] for name, user in sorted(found.items())]
    _table(("user", "roles"), rows, f"{directory} has no users")


@users.command("remove", epilog=EPILOG, no_args_is_help=True)
def remove_user(directory: Directory, name: User, as_json: AsJson = False) -> None:
    """Remove a user, whose requests are refused from then on."""
    with _changing(directory) as accounts:
        if accounts.users.pop(name, None) is None:
            raise NothingFound(f"user [{name}] is not there{_known(accounts.users)}")
    _tell(as_json, {"removed": name}, f"user {name} is removed{_nobody_left(accounts)}")


# ------------------------------------------------------------------------------------------------------ keys


@keys.command("create", epilog=EPILOG, no_args_is_help=True)
def create_key(
    directory: Directory,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for; shown in lists and logs.")],
    role: Roles,
    expires: Annotated[
        str,
        typer.Option("--expires", metavar="TIME", help="It ends after 12h, 30d, 8w or 1y; never without."),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Make an API key. It is shown once: what is kept of it is no key."""
    with _needing_the_server():
        from quidditch.server.security.accounts import Key, check_name
        from quidditch.server.security.secrets import encode_pair, hash_key, make_key
    check_name("key", name)
    now_ms = int(time.time() * 1000)
    expires_ms = now_ms + int(_days(expires) * 86_400_000) if expires else 0
    id, secret = make_key()
    with _changing(directory) as accounts:
        accounts.keys[id] = Key(name, hash_key(secret), role, now_ms, expires_ms)
    encoded = encode_pair(id, secret)
    if as_json:
        render.print_json({"id": id, "name": name, "api_key": secret, "encoded": encoded})
        return
    render.print_note(f"key {id} ({name}), shown this once; as a header:")
    render.print_line(f"Authorization: ApiKey {encoded}")


def _days(text: str) -> float:
    found = re.fullmatch(r"(\d{1,5})([hdwy])", text)
    if found is None or int(found[1]) == 0:
        raise RequestError(f"--expires: a time such as 12h, 30d, 8w or 1y expected, not [{text}]")
    return int(found[1]) * _DAYS[found[2]]


@keys.command("list", epilog=EPILOG, no_args_is_help=True)
def list_keys(directory: Directory, as_json: AsJson = False) -> None:
    """List the API keys: their ids, what they are for, their roles and how long they last."""
    found = _reading(directory).keys
    if as_json:
        render.print_json(
            [
                {
                    "id": id,
                    "name": key.name,
                    "roles": key.roles,
                    "created_ms": key.created_ms,
                    "expires_ms": key.expires_ms or None,
                }
                for id, key in found.items()
            ]
        )
        return
    rows = [
        [
            id,
            key.name,
            ", ".join(key.roles),
            _day(key.created_ms),
            _day(key.expires_ms) if key.expires_ms else "never",
        ]
        for id, key in found.items()
    ]
    _table(("id", "name", "roles", "created", "expires"), rows, f"{directory} has no keys")


def _day(milliseconds: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(milliseconds / 1000))


@keys.command("revoke", epilog=EPILOG, no_args_is_help=True)
def revoke_key(
    directory: Directory,
    id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `keys list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """End an API key, whose requests are refused from then on."""
    with _changing(directory) as accounts:
        if accounts.keys.pop(id, None) is None:
            raise NothingFound(f"key [{id}] is not there; quidditch keys list shows the ids")
    _tell(as_json, {"revoked": id}, f"key {id} is revoked{_nobody_left(accounts)}")


# ----------------------------------------------------------------------------------------------------- roles


@roles.command("add", epilog=EPILOG, no_args_is_help=True)
def add_role(
    directory: Directory,
    name: RoleName,
    read: Annotated[
        Patterns, typer.Option("--read", metavar="PATTERN", help="Indices to search, such as logs-*.")
    ] = None,
    write: Annotated[
        Patterns, typer.Option("--write", metavar="PATTERN", help="Indices to write to and to search.")
    ] = None,
    admin: Annotated[
        Patterns, typer.Option("--admin", metavar="PATTERN", help="Indices to do everything with.")
    ] = None,
    cluster: Annotated[
        str, typer.Option("--cluster", metavar="LEVEL", help="On the whole server: read its state, or admin.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Add a role, or give one that is there other rights: those who have it have these at once."""
    with _needing_the_server():
        from quidditch.server.security.accounts import Grants, check_name
    check_name("role", name)
    given = [(read, "read"), (write, "write"), (admin, "admin")]
    indices = {pattern: word for patterns, word in given for pattern in patterns or ()}
    if not indices and not cluster:
        raise RequestError(f"role [{name}]: --read, --write, --admin or --cluster expected")
    with _changing(directory) as accounts:
        accounts.roles[name] = Grants(cluster, indices)
    _tell(as_json, {"role": name, "cluster": cluster, "indices": indices}, f"role {name} is kept")


@roles.command("list", epilog=EPILOG, no_args_is_help=True)
def list_roles(directory: Directory, as_json: AsJson = False) -> None:
    """List the roles, those that every server has first."""
    with _needing_the_server():
        from quidditch.server.security.grants import BUILT_IN
    accounts = _reading(directory)
    found = {name: accounts.role(name) for name in (*BUILT_IN, *sorted(accounts.roles))}
    if as_json:
        render.print_json(
            [
                {
                    "role": name,
                    "cluster": role.cluster.word if role.cluster else "",
                    "indices": {pattern: level.word for pattern, level in role.indices},
                }
                for name, role in found.items()
            ]
        )
        return
    rows = [
        [
            name,
            role.cluster.word if role.cluster else "-",
            ", ".join(f"{level.word} {pattern}" for pattern, level in role.indices) or "-",
        ]
        for name, role in found.items()
    ]
    _table(("role", "cluster", "indices"), rows, "")


@roles.command("remove", epilog=EPILOG, no_args_is_help=True)
def remove_role(directory: Directory, name: RoleName, as_json: AsJson = False) -> None:
    """Remove a role that no user and no key has."""
    with _changing(directory) as accounts:
        if name not in accounts.roles:
            raise NothingFound(f"role [{name}] is not there{_known(accounts.roles)}")
        having = [user for user, kept in accounts.users.items() if name in kept.roles]
        having += [id for id, key in accounts.keys.items() if name in key.roles]
        if having:
            raise RequestError(f"role [{name}] is had by {', '.join(having)}")
        del accounts.roles[name]
    _tell(as_json, {"removed": name}, f"role {name} is removed")


# ------------------------------------------------------------------------------------------------ in common


def _known(names: dict[str, Any]) -> str:
    return f"; there are {', '.join(sorted(names))}" if names else ""


def _nobody_left(accounts: Accounts) -> str:
    if accounts.users or accounts.keys:
        return ""
    return "; no account is left, so a server lets nobody in (remove security.json and start it again to open it)"


def _tell(as_json: bool, value: dict[str, Any], line: str) -> None:
    if as_json:
        render.print_json(value)
    else:
        render.print_line(line)


def _table(heads: tuple[str, ...], rows: list[list[str]], empty: str) -> None:
    if rows:
        render.print_table([(head, "name" if head in ("id", heads[0]) else "text") for head in heads], rows)
    else:
        render.print_line(empty)
