"""Templates: what an index is made after whose name fits a pattern."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quidditch.analysis.registry import ANALYZER_NAMES
from quidditch.errors import QuidditchError
from quidditch.index.catalog import check_name
from quidditch.interface import Database, KeepsTemplates
from quidditch.local.aliases import check_alias
from quidditch.local.settings import check_settings
from quidditch.patterns import matches
from quidditch.schema.mapping import Mapping as Schema
from quidditch.schema.mapping import nearest
from quidditch.server.failures import RestError
from quidditch.server.rendering.settings import flat, for_engine

INDEX, COMPONENT = "index/", "component/"

_KEYS = {
    INDEX: ("index_patterns", "template", "composed_of", "priority", "version", "_meta"),
    COMPONENT: ("template", "version", "_meta"),
}
_PARTS = ("settings", "mappings", "aliases")
MAX_NAME_BYTES = 200


@dataclass(frozen=True, slots=True)
class Plan:
    """What a new index begins with; `settings` are flat, without `index.`."""

    settings: dict[str, Any] = field(default_factory=dict)
    mappings: dict[str, Any] = field(default_factory=dict)
    aliases: dict[str, Any] = field(default_factory=dict)


def store_of(database: Database) -> KeepsTemplates:
    if not isinstance(database, KeepsTemplates):
        raise RestError("this server's database keeps no templates", 501, "not_implemented")
    return database


def templates_of(database: Database) -> dict[str, dict[str, Any]]:
    return database.templates() if isinstance(database, KeepsTemplates) else {}


# ------------------------------------------------------------------------------------------------ checking


def checked(kind: str, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The template as it is kept: patterns as a list, settings flat, aliases with both routings.

    raises: RestError   naming what is wrong with it; also a mapping or setting that no index could have
    """
    check_template_name(name)
    for key in body:
        if key not in _KEYS[kind]:
            raise RestError(
                f"[template] unknown field [{key}]{nearest(key, _KEYS[kind])}", 400, "parsing_exception"
            )
    kept = {key: value for key, value in body.items() if value is not None}
    if kind == INDEX:
        kept["index_patterns"] = _patterns(kept.get("index_patterns"))
        composed = kept.get("composed_of", [])
        if not isinstance(composed, list) or not all(isinstance(each, str) for each in composed):
            raise _wrong("composed_of: an array of names expected")
    elif "template" not in kept:
        raise _wrong("[template] is required")
    for key in ("priority", "version"):
        value = kept.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int) or (key == "priority" and value < 0):
            raise _wrong(
                f"{key}: a whole number{' of 0 or more' if key == 'priority' else ''} expected, not {value!r}"
            )
    if "template" in kept:
        kept["template"] = _checked_parts(kept["template"])
    return kept


def check_template_name(name: str) -> None:
    """raises: RestError"""
    if not name or name[0] == "_" or any(letter in ' ,#*"' or not letter.isprintable() for letter in name):
        raise _wrong(f"name [{name}]: must not begin with _ nor hold spaces, commas, quotes, # or *")
    if name != name.lower() or len(name.encode()) > MAX_NAME_BYTES:
        raise _wrong(f"name [{name[:80]}]: lower case and at most {MAX_NAME_BYTES} bytes expected")


def _wrong(reason: str) -> RestError:
    return RestError(f"template: {reason}")


def _patterns(value: Any) -> list[str]:
    patterns = [value] if isinstance(value, str) else value
    if (
        not isinstance(patterns, list)
        or not patterns
        or not all(isinstance(each, str) and each for each in patterns)
    ):
        raise _wrong("index_patterns: a pattern or an array of patterns expected")
    for pattern in patterns:
        check_name(pattern.replace("*", "x"))
    return patterns


def _checked_parts(template: Any) -> dict[str, Any]:
    if not isinstance(template, dict):
        raise _wrong("an object expected in [template]")
    for key in template:
        if key not in _PARTS:
            raise RestError(
                f"[template] unknown field [{key}]{nearest(key, _PARTS)}", 400, "parsing_exception"
            )
    kept: dict[str, Any] = {}
    if template.get("settings"):
        check_settings(for_engine(template["settings"]))
        kept["settings"] = flat(template["settings"])
    if template.get("mappings"):
        Schema.parse(template["mappings"], analyzers=ANALYZER_NAMES)
        kept["mappings"] = template["mappings"]
    if template.get("aliases"):
        aliases = template["aliases"]
        if not isinstance(aliases, dict) or not all(
            isinstance(each, dict | None) for each in aliases.values()
        ):
            raise _wrong("aliases: an object of objects expected")
        kept["aliases"] = {name: check_alias(name, options or {}, ()) for name, options in aliases.items()}
    return kept


def check_against(name: str, body: Mapping[str, Any], others: Mapping[str, dict[str, Any]]) -> None:
    """raises: RestError   a template of the same priority fits the same names, or a component is not there"""
    for part in body.get("composed_of", ()):
        if COMPONENT + part not in others:
            raise RestError(
                f"index template [{name}] invalid, cause [component templates [{part}] that are specified in "
                "composed_of do not exist]",
                400,
                "invalid_index_template_exception",
            )
    priority = body.get("priority", 0)
    for other in overlapping(name, body, others):
        if others[INDEX + other].get("priority", 0) == priority:
            patterns = others[INDEX + other]["index_patterns"]
            raise RestError(
                f"index template [{name}] has index patterns [{', '.join(body['index_patterns'])}] matching patterns "
                f"from existing templates [{other}] with patterns ({other} => [{', '.join(patterns)}]) that have the "
                f"same priority [{priority}], multiple index templates may not match during index creation, please "
                "use a different priority"
            )


def overlapping(name: str, body: Mapping[str, Any], others: Mapping[str, dict[str, Any]]) -> list[str]:
    """The other index templates that fit names which this one fits too."""
    return [
        key.removeprefix(INDEX)
        for key, other in sorted(others.items())
        if key.startswith(INDEX)
        and key != INDEX + name
        and any(meet(a, b) for a in body["index_patterns"] for b in other["index_patterns"])
    ]


def meet(one: str, other: str) -> bool:
    """Whether some name fits two patterns.

    >>> meet("logs-*", "*-2024"), meet("logs-*", "metrics-*")
    (True, False)
    """
    reached = [True] + [False] * len(other)
    for place, letter in enumerate(other):
        reached[place + 1] = reached[place] and letter == "*"
    for letter in one:
        before, reached = reached, [reached[0] and letter == "*"]
        for place, against in enumerate(other):
            if "*" in (letter, against):
                reached.append(before[place + 1] or reached[place])
            else:
                reached.append(before[place] and letter == against)
    return reached[-1]


# ------------------------------------------------------------------------------------------------ applying


def best_for(name: str, templates: Mapping[str, dict[str, Any]]) -> str | None:
    """The index template of the highest priority that fits a name."""
    fitting = [
        (template.get("priority", 0), key.removeprefix(INDEX))
        for key, template in templates.items()
        if key.startswith(INDEX) and any(matches(name, pattern) for pattern in template["index_patterns"])
    ]
    return max(fitting)[1] if fitting else None


def composed(template: Mapping[str, Any], templates: Mapping[str, dict[str, Any]]) -> Plan:
    """Its components one after another, then what it says itself; what comes later goes before."""
    parts = [
        templates.get(COMPONENT + part, {}).get("template", {}) for part in template.get("composed_of", ())
    ]
    plan = Plan()
    for part in (*parts, template.get("template", {})):
        plan = laid_over(plan, part)
    return plan


def laid_over(plan: Plan, body: Mapping[str, Any]) -> Plan:
    """The plan with the settings, mappings and aliases of a body, which go before its own."""
    return Plan(
        {**plan.settings, **flat(body.get("settings") or {})},
        _merged(plan.mappings, body.get("mappings") or {}),
        {**plan.aliases, **(body.get("aliases") or {})},
    )


def _merged(under: Any, over: Any) -> Any:
    """Mappings field by field: a field of both is as the second says."""
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    merged = {**under, **over}
    inner = under.get("properties"), over.get("properties")
    if isinstance(inner[0], dict) and isinstance(inner[1], dict):
        fields = {**inner[0], **inner[1]}
        for name in inner[0].keys() & inner[1].keys():
            a, b = inner[0][name], inner[1][name]
            if isinstance(a, dict) and isinstance(b, dict) and "properties" in a and "properties" in b:
                fields[name] = _merged(a, b)
        merged["properties"] = fields
    return merged


def plan_for(database: Database, name: str, body: Mapping[str, Any]) -> Plan:
    """What a new index of this name begins with: its template's parts under those of the request."""
    templates = templates_of(database)
    chosen = best_for(name, templates) if templates else None
    under = Plan() if chosen is None else composed(templates[INDEX + chosen], templates)
    return laid_over(under, body)


def checked_whole(name: str, body: Mapping[str, Any], templates: Mapping[str, dict[str, Any]]) -> None:
    """raises: RestError   what a template makes of its components is no index"""
    plan = composed(body, templates)
    try:
        check_settings(for_engine(plan.settings))
        Schema.parse(plan.mappings or None, analyzers=ANALYZER_NAMES)
    except QuidditchError as error:
        raise RestError(
            f"composable template [{name}] template after composition is invalid: {error}"
        ) from None
