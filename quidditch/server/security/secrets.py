"""Passwords and API keys: what is kept of them, and whether one given is the one meant."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from quidditch.errors import RequestError

MIN_PASSWORD = 8
MAX_PASSWORD = 1024
"""Characters. A longer one would let anybody keep the hash at work."""

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""source: OWASP Password Storage Cheat Sheet, argon2id with the memory of one small worker"""

_nobody = ""


def check_password(password: str) -> str:
    """raises: RequestError   one that is too short, too long, or cannot be sent"""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise RequestError(
            f"password: {MIN_PASSWORD} to {MAX_PASSWORD} characters expected, not {len(password)}"
        )
    if any(not character.isprintable() for character in password):
        raise RequestError("password: characters that can be typed expected")
    return password


def hash_password(password: str) -> str:
    """An argon2id hash with its salt and cost in it.

    cost:  some 20 ms and 19 MiB, which is the point of it
    """
    return _hasher.hash(password)


def password_fits(hashed: str | None, password: str) -> bool:
    """Whether the hash is of the password. Without a hash, False, after as long as it would have taken."""
    global _nobody
    if len(password) > MAX_PASSWORD:
        return False
    if hashed is None:
        _nobody = _nobody or hash_password(secrets.token_urlsafe())
    try:
        return _hasher.verify(hashed or _nobody, password) and hashed is not None
    except (VerifyMismatchError, VerificationError, InvalidHashError):
        return False


def make_key() -> tuple[str, str]:
    """The id and the secret of a new API key: 64 and 256 random bits."""
    return secrets.token_hex(8), secrets.token_urlsafe(32)


def hash_key(secret: str) -> str:
    """SHA-256: nobody guesses 256 random bits, so a slow hash would protect nothing more."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def key_fits(hashed: str | None, secret: str) -> bool:
    """Whether the hash is of the secret, in constant time; False without a hash."""
    given = hash_key(secret)
    return hmac.compare_digest(given, hashed or "0" * len(given)) and hashed is not None


def encode_pair(name: str, secret: str) -> str:
    """Both as they stand after `Basic` and `ApiKey`: base64 of the two with a colon."""
    return base64.b64encode(f"{name}:{secret}".encode()).decode()


def decode_pair(text: str) -> tuple[str, str] | None:
    """The reverse of `encode_pair`; None for what is not such a pair."""
    try:
        name, colon, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return (name, secret) if colon else None
