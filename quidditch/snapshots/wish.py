"""What of a snapshot is restored, and as what."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from quidditch.errors import IndexNotFound, RequestError
from quidditch.index.catalog import check_name
from quidditch.schema.mapping import nearest
from quidditch.types import Json


@dataclass(frozen=True, slots=True)
class Wish:
    """What is restored, and as what.

    indices:              those of the snapshot; None for all
    pattern, replacement: new names, as `re.sub` makes them; `$1` is the first group
    settings:             instead of those in the snapshot: `number_of_shards`, `number_of_replicas`, ...
    aliases:              whether those in the snapshot come along
    templates:            whether those in the snapshot take the place of the cluster's
    """

    indices: Sequence[str] | None = None
    pattern: str = ""
    replacement: str = ""
    settings: dict[str, Json] = field(default_factory=dict)
    aliases: bool = True
    templates: bool = False

    def names(self, there: Sequence[str], snapshot: str) -> dict[str, str]:
        """The index that each of those in the snapshot becomes.

        raises: IndexNotFound, RequestError   a name is not there, is no name, or two become one
        """
        wanted = list(there) if self.indices is None else list(dict.fromkeys(self.indices))
        for name in wanted:
            if name not in there:
                raise IndexNotFound(f"no index [{name}] in snapshot [{snapshot}]{nearest(name, there)}")
        named = {name: check_name(self._renamed(name)) for name in wanted}
        if len(set(named.values())) < len(named):
            raise RequestError(f"restore: two indices would become one: {named}")
        return named

    def _renamed(self, name: str) -> str:
        if not self.pattern:
            return name
        try:
            return re.sub(self.pattern, re.sub(r"\$(\d)", r"\\g<\1>", self.replacement), name)
        except (re.error, IndexError) as error:
            raise RequestError(
                f"restore: rename_pattern [{self.pattern}], rename_replacement [{self.replacement}]: {error}"
            ) from error
