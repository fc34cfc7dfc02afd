"""What goes wrong on a command line, and the exit code that says so."""

from __future__ import annotations

from dataclasses import dataclass

from quidditch.errors import QuidditchError, RequestError, StorageError

OK = 0
REFUSED = 1
USAGE = 2
IN_PART = 3
STORAGE = 4
FAULT = 70
INTERRUPTED = 130
OUTPUT_CLOSED = 141

MEANINGS = {
    OK: "done",
    REFUSED: "refused: not found, or a request, query or file that is not right",
    USAGE: "the command line itself is wrong",
    IN_PART: "done in part: some documents were rejected and kept in the rejects file",
    STORAGE: "the directory cannot be used: locked, full, damaged, no permission; or the server cannot be reached",
    FAULT: "a fault in Quidditch",
    INTERRUPTED: "interrupted",
    OUTPUT_CLOSED: "the reader of the output went away",
}
"""Every exit code and what it means; the help of each command and docs/cli.md show this table."""

EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in MEANINGS.items())


class CommandError(QuidditchError):
    """A command cannot do what it was asked; the text is one sentence for the person who typed it."""

    status = 400
    type = "illegal_argument_exception"


class NothingFound(CommandError):
    """What the command names is not there."""

    status = 404
    type = "resource_not_found_exception"


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception as the command line shows it: one sentence, its type, and the exit code."""

    message: str
    type: str
    status: int
    exit_code: int

    def to_dict(self) -> dict[str, object]:
        """The failure as OpenSearch renders an error."""
        return {"error": {"type": self.type, "reason": self.message}, "status": self.status}


def describe(error: Exception) -> Failure:
    """What to show for an exception; one that is not ours is a fault unless it is the operating system's."""
    if isinstance(error, QuidditchError):
        return Failure(str(error), error.type, error.status, _exit_code(error))
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return Failure(f"{where}{error.strerror or error}", StorageError.type, 500, STORAGE)
    reason = f"{type(error).__name__}: {error}".rstrip(": ")
    hint = "this is a fault in Quidditch; QUIDDITCH_TRACEBACK=1 shows where it happened"
    return Failure(f"{reason} ({hint})", "exception", 500, FAULT)


def _exit_code(error: QuidditchError) -> int:
    if isinstance(error, (CommandError, RequestError)):
        return REFUSED
    return STORAGE if isinstance(error, StorageError) else FAULT
