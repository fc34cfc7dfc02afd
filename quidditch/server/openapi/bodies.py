"""What requests carry and answers hold."""

from __future__ import annotations

from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

LINES = {"bulk", "msearch"}
"""Handlers, by name, whose body is a JSON object on each line."""

NEEDED = {
    "bulk",
    "create_document",
    "index_document",
    "mget",
    "msearch",
    "put_component_template",
    "put_index_template",
    "put_mapping",
    "reindex",
    "update_aliases",
    "update_document",
}
"""Handlers that refuse a request without a body."""

_CAUSE: Schema = {
    "type": "object",
    "required": ["type", "reason"],
    "properties": {"type": {"type": "string"}, "reason": {"type": ["string", "null"]}},
}

SCHEMAS: dict[str, Schema] = {
    "Cause": _CAUSE,
    "Error": {
        "description": "What went wrong, the causes first; a path that is none says it in words.",
        "type": "object",
        "required": ["error"],
        "properties": {
            "status": {"type": "integer"},
            "error": {
                "oneOf": [
                    {"type": "string"},
                    {
                        "allOf": [{"$ref": "#/components/schemas/Cause"}],
                        "properties": {
                            "root_cause": {"type": "array", "items": {"$ref": "#/components/schemas/Cause"}}
                        },
                    },
                ]
            },
        },
    },
}

_ERROR_CONTENT: Schema = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}

RESPONSES: dict[str, Schema] = {
    "Refused": {"description": "The request cannot be carried out as it stands.", "content": _ERROR_CONTENT},
    "NotThere": {
        "description": "What is asked for is not there: an error, or an answer that says so.",
        "content": {"application/json": {"schema": {}}, "text/plain": {"schema": {}}},
    },
    "Failed": {"description": "A fault of the server, which its log tells of.", "content": _ERROR_CONTENT},
}


def request_body(handler: str) -> Schema:
    """The body that a handler takes."""
    if handler in LINES:
        kind = {"application/x-ndjson": {"schema": {"type": "string"}}}
    else:
        kind = {"application/json": {"schema": {"type": "object"}}}
    return {"required": handler in NEEDED, "content": kind}


def responses(method: str, template: str) -> Schema:
    """The answers of an operation; HEAD has their status and no body."""
    text: Schema = {"text/plain": {"schema": {"type": "string"}}} if template.startswith("/_cat") else {}
    if method == "HEAD":
        return {
            "2XX": {"description": "It is there."},
            "4XX": {"description": "It is not there, or the request cannot be carried out."},
            "5XX": {"description": "A fault of the server."},
        }
    return {
        "2XX": {"description": "Done.", "content": {"application/json": {"schema": {}}, **text}},
        "404": {"$ref": "#/components/responses/NotThere"},
        "4XX": {"$ref": "#/components/responses/Refused"},
        "5XX": {"$ref": "#/components/responses/Failed"},
    }
