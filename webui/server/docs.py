"""The page /api/docs: all routes, and the fields of a request. FastAPI's own comes from another host, which ours never asks."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from pydantic import BaseModel

STYLE = """body { font: 15px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark }
code, td:first-child { font-family: ui-monospace, monospace }
td { padding: .15rem .8rem .15rem 0; vertical-align: top } h2 { margin-top: 2rem }"""

EXAMPLE = """curl localhost:7860/api/jobs -H 'content-type: application/json' -d '{"prompt": "a red sailboat", "steps": 20, "count": 2}'"""


def body_of(model: type[BaseModel], more: dict[str, Any] | None = None) -> dict[str, Any]:
    """The OpenAPI description of a JSON body that is read by hand: the model's fields, and `more` properties."""
    schema = model.model_json_schema()
    schema["properties"] |= more or {}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def page_of(api: dict[str, Any]) -> str:
    """HTML that shows an OpenAPI description."""
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(api['info']['title'])} REST</title><style>{STYLE}</style>"
        f"<h1>{escape(api['info']['title'])} {escape(api['info']['version'])}: REST</h1><pre>{escape(EXAMPLE)}</pre>"
        '<p>Every error is <code>{"error": {"code", "message", "field"?}}</code>. '
        f'For programs: <a href="openapi.json">openapi.json</a>.</p>{"".join(_routes(api))}'
    )


def _routes(api: dict[str, Any]) -> Iterator[str]:
    for path, methods in api["paths"].items():
        for method, route in methods.items():
            yield f"<h2><code>{method.upper()} /api{escape(path)}</code></h2><p>{escape(route['description'])}</p>"
            asked = [parameter for parameter in route.get("parameters", ()) if parameter["in"] == "query"]
            if asked:
                rows = (_row(f"?{one['name']}", one["schema"] | {"description": one.get("description", "")}) for one in asked)
                yield f"<table>{''.join(rows)}</table>"
            if "requestBody" in route:
                fields = route["requestBody"]["content"]["application/json"]["schema"]["properties"]
                yield f"<table>{''.join(_row(name, field) for name, field in fields.items())}</table>"


def _row(name: str, field: dict[str, Any]) -> str:
    kind = next((option for option in field.get("anyOf", ()) if option.get("type") != "null"), field)
    low, high = kind.get("minimum"), kind.get("maximum", kind.get("exclusiveMaximum", 1) - 1)
    what = " or ".join(map(str, kind["enum"])) if "enum" in kind else kind.get("type", "")
    span = f" {low:.10g} to {high:.10g}" if low is not None and high is not None else ""
    return f"<tr><td>{escape(name)}<td>{escape(what)}{span}<td>{escape(field.get('description', ''))}"
