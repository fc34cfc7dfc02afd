"""Templates of indices and their components: put, get, exists, delete, simulate."""

from __future__ import annotations

from typing import Any

from quidditch.patterns import matches
from quidditch.server.call import ACKNOWLEDGED, Call, Reply
from quidditch.server.failures import RestError
from quidditch.server.rendering.settings import nested
from quidditch.server.routes.indices import WAITS
from quidditch.server.routing import Routes
from quidditch.server.templates import (
    COMPONENT,
    INDEX,
    Plan,
    best_for,
    check_against,
    checked,
    checked_whole,
    composed,
    overlapping,
    store_of,
    templates_of,
)

routes = Routes(reads="cluster read", changes="cluster admin")


@routes("PUT POST", "/_index_template/{name}", takes=f"create cause {WAITS}")
def put_index_template(call: Call) -> Reply:
    name = call.parts["name"]
    body = checked(INDEX, name, call.required())

    def alter(before: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any] | None]:
        if call.parameters.flag("create") and INDEX + name in before:
            raise RestError(f"index template [{name}] already exists")
        check_against(name, body, before)
        checked_whole(name, body, before)
        return {INDEX + name: body}

    store_of(call.database).change_templates(alter)
    return ACKNOWLEDGED


@routes("PUT POST", "/_component_template/{name}", takes=f"create {WAITS}")
def put_component_template(call: Call) -> Reply:
    """What the templates that are composed of it would be with it is checked, too."""
    name = call.parts["name"]
    body = checked(COMPONENT, name, call.required())

    def alter(before: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any] | None]:
        if call.parameters.flag("create") and COMPONENT + name in before:
            raise RestError(f"component template [{name}] already exists")
        after = {**before, COMPONENT + name: body}
        for key, template in before.items():
            if name in template.get("composed_of", ()):
                checked_whole(key.removeprefix(INDEX), template, after)
        return {COMPONENT + name: body}

    store_of(call.database).change_templates(alter)
    return ACKNOWLEDGED


@routes("GET", "/_index_template", "/_index_template/{name}", takes=f"flat_settings local {WAITS}")
def get_index_template(call: Call) -> Reply:
    found = _found(call, INDEX, "index template")
    shown = [{"name": name, "index_template": _shown(call, body)} for name, body in found.items()]
    return Reply({"index_templates": shown})


@routes("GET", "/_component_template", "/_component_template/{name}", takes=f"flat_settings local {WAITS}")
def get_component_template(call: Call) -> Reply:
    found = _found(call, COMPONENT, "component template")
    shown = [{"name": name, "component_template": _shown(call, body)} for name, body in found.items()]
    return Reply({"component_templates": shown})


def _found(call: Call, kind: str, noun: str) -> dict[str, dict[str, Any]]:
    templates = templates_of(call.database)
    wanted = call.parts.get("name", "*")
    found = {
        key.removeprefix(kind): body
        for key, body in sorted(templates.items())
        if key.startswith(kind)
        and any(matches(key.removeprefix(kind), pattern) for pattern in wanted.split(","))
    }
    if not found and "*" not in wanted:
        raise RestError(f"{noun} matching [{wanted}] not found", 404, "resource_not_found_exception")
    return found


def _shown(call: Call, body: dict[str, Any]) -> dict[str, Any]:
    template = dict(body.get("template", {}))
    if "settings" in template:
        template["settings"] = _settings(template["settings"], call.parameters.flag("flat_settings"))
    shown = {**body, "template": template} if "template" in body else dict(body)
    return {**shown, "composed_of": body.get("composed_of", [])} if "index_patterns" in body else shown


def _settings(settings: dict[str, Any], as_flat: bool) -> dict[str, Any]:
    named = {
        f"index.{name}": str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in settings.items()
        if value is not None
    }
    return named if as_flat else nested(named)


@routes("DELETE", "/_index_template/{name}", takes=WAITS)
def delete_index_template(call: Call) -> Reply:
    return _delete(call, INDEX, "index_template")


@routes("DELETE", "/_component_template/{name}", takes=WAITS)
def delete_component_template(call: Call) -> Reply:
    return _delete(call, COMPONENT, "component_template")


def _delete(call: Call, kind: str, noun: str) -> Reply:
    """One that a template is composed of cannot be deleted."""
    patterns = call.parts["name"].split(",")

    def alter(before: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any] | None]:
        names = [key.removeprefix(kind) for key in before if key.startswith(kind)]
        doomed = [name for name in names if any(matches(name, pattern) for pattern in patterns)]
        for pattern in patterns:
            if "*" not in pattern and pattern not in names:
                raise RestError(
                    f"{noun} [{pattern}] missing", 404, f"{noun.split('_')[0]}_template_missing_exception"
                )
        for key, template in before.items():
            used = set(doomed) & set(template.get("composed_of", ())) if kind == COMPONENT else set()
            if used:
                raise RestError(
                    f"component templates [{', '.join(sorted(used))}] cannot be removed as they are still in use by "
                    f"index templates [{key.removeprefix(INDEX)}]"
                )
        return {kind + name: None for name in doomed}

    store_of(call.database).change_templates(alter)
    return ACKNOWLEDGED


@routes(
    "POST", "/_index_template/_simulate_index/{name}", takes=f"create cause {WAITS}", needs="cluster read"
)
def simulate_index(call: Call) -> Reply:
    """What an index of this name would begin with, if a template as in the body were there too."""
    name, body = call.parts["name"], call.object()
    templates = templates_of(call.database)
    if body:
        templates[f"{INDEX}simulated"] = checked(INDEX, "simulated", body)
        check_against("simulated", templates[f"{INDEX}simulated"], templates)
    chosen = best_for(name, templates)
    return Reply({}) if chosen is None else _simulated(call, chosen, templates, name)


@routes(
    "POST",
    "/_index_template/_simulate",
    "/_index_template/_simulate/{name}",
    takes=f"create cause {WAITS}",
    needs="cluster read",
)
def simulate_template(call: Call) -> Reply:
    """What indices of a template, one that is there or that of the body, would begin with."""
    name, body = call.parts.get("name", "simulated"), call.object()
    templates = templates_of(call.database)
    if body:
        templates[INDEX + name] = checked(INDEX, name, body)
        check_against(name, templates[INDEX + name], templates)
    elif INDEX + name not in templates:
        raise RestError(f"unable to simulate template [{name}] that does not exist")
    return _simulated(call, name, templates, None)


def _simulated(call: Call, chosen: str, templates: dict[str, dict[str, Any]], index: str | None) -> Reply:
    template = templates[INDEX + chosen]
    others = overlapping(chosen, template, templates)
    fitting = [
        name
        for name in others
        if index is None
        or any(matches(index, pattern) for pattern in templates[INDEX + name]["index_patterns"])
    ]
    told = [{"name": name, "index_patterns": templates[INDEX + name]["index_patterns"]} for name in fitting]
    return Reply({"template": _plan_body(call, composed(template, templates)), "overlapping": told})


def _plan_body(call: Call, plan: Plan) -> dict[str, Any]:
    settings = _settings(plan.settings, call.parameters.flag("flat_settings"))
    return {"settings": settings, "mappings": plan.mappings, "aliases": plan.aliases}
