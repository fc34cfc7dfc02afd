"""What a process of a cluster logs: the server's lines, with its role and name, and without secrets."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quidditch.cluster.configuration import Configuration

HIDDEN = "[hidden]"

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def about(**known: Any) -> dict[str, Any]:
    """What a line is about, for `extra`: fields of their own in JSON, such as `shard` and `epoch`.

    >>> about(epoch=4)
    {'data': {'epoch': 4}}
    """
    return {"data": known}


def start_logging(configuration: Configuration) -> None:
    """Write what this process logs to standard error, as its configuration says."""
    from quidditch.server.runtime.logs import JsonLines

    log = configuration.log
    as_text = log.format == "text" or (log.format == "auto" and sys.stderr.isatty())
    lines = logging.Formatter(TEXT) if as_text else JsonLines()
    handler = logging.StreamHandler(sys.stderr)
    secrets = [configuration.secret, configuration.nats.password]
    handler.setFormatter(WithoutSecrets(lines, secrets))
    handler.addFilter(Process(",".join(configuration.roles), configuration.node.name))
    level = LEVELS[log.level]
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.INFO))
    logging.getLogger("quidditch").setLevel(level)
    # A line for every connection says nothing that the request's own does not.
    for name in ("uvicorn", "asyncio", "aiohttp"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


TEXT = "%(asctime)s %(levelname)-7s %(name)s %(message)s"


class Process(logging.Filter):
    """Adds to every line which process it is of."""

    def __init__(self, role: str, node: str) -> None:
        super().__init__()
        self._fields = {"role": role, "node": node}

    def filter(self, record: logging.LogRecord) -> bool:
        record.data = {**self._fields, **getattr(record, "data", {})}
        return True


class WithoutSecrets(logging.Formatter):
    """Lines as another formatter makes them, with no secret in them, whoever put it there."""

    def __init__(self, lines: logging.Formatter, secrets: Sequence[str]) -> None:
        super().__init__()
        self._lines = lines
        # As they are, and as they stand in a line of JSON.
        spelt = {text for secret in secrets if secret for text in (secret, json.dumps(secret)[1:-1])}
        self._secrets = sorted(spelt, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        line = self._lines.format(record)
        for secret in self._secrets:
            line = line.replace(secret, HIDDEN)
        return line
