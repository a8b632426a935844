"""Answers held against OpenAI's published description (../shared/data/openapi/openapi.json)."""

import functools
import json

import jsonschema
import referencing
import referencing.jsonschema

from harness import SHARED

SPEC = SHARED / "data/openapi/openapi.json"


def plain_json_schema(node):
    """OpenAPI's `nullable: true` is not JSON Schema: say it as a type of its own."""
    if isinstance(node, list):
        return [plain_json_schema(n) for n in node]
    if not isinstance(node, dict):
        return node
    node = {k: plain_json_schema(v) for k, v in node.items()}
    if node.pop("nullable", False):
        return {"anyOf": [node, {"type": "null"}]}
    return node


@functools.cache
def registry():
    spec = json.loads(SPEC.read_text())
    schemas = {"components": {"schemas": plain_json_schema(spec["components"]["schemas"])}}
    # What the server streams on /v1/completions has no schema of its own there.  A chunk differs
    # from the whole answer in one thing: finish_reason is null until the end.
    chunk = json.loads(json.dumps(schemas["components"]["schemas"]["CreateCompletionResponse"]))
    reason = chunk["properties"]["choices"]["items"]["properties"]["finish_reason"]
    chunk["properties"]["choices"]["items"]["properties"]["finish_reason"] = {"anyOf": [reason, {"type": "null"}]}
    schemas["components"]["schemas"]["CompletionChunk"] = chunk
    # A first prompt token has no log-probability: null, as OpenAI's own API answered with echo.
    for name in ("CreateCompletionResponse", "CompletionChunk"):
        lp = schemas["components"]["schemas"][name]["properties"]["choices"]["items"]["properties"]["logprobs"]
        fields = lp["anyOf"][0]["properties"]
        for f in ("token_logprobs", "top_logprobs"):
            fields[f]["items"] = {"anyOf": [fields[f]["items"], {"type": "null"}]}
    # usage is null on every chunk but the last when include_usage is set.
    for name in ("CreateChatCompletionStreamResponse", "CompletionChunk"):
        fields = schemas["components"]["schemas"][name]["properties"]
        fields["usage"] = {"anyOf": [fields["usage"], {"type": "null"}]}
    resource = referencing.Resource(contents=schemas, specification=referencing.jsonschema.DRAFT202012)
    return referencing.Registry().with_resource("urn:openai", resource)


@functools.cache
def validator(name):
    schema = {"$ref": f"urn:openai#/components/schemas/{name}"}
    return jsonschema.Draft202012Validator(schema, registry=registry())


def check(name, value):
    """Where the description is absent nothing is held against it: conftest.py says so at the start."""
    if not SPEC.is_file():
        return value
    errors = sorted(validator(name).iter_errors(value), key=lambda e: list(e.path))
    assert not errors, f"{name}: " + "; ".join(f"{list(e.path)}: {e.message[:200]}" for e in errors[:5])
    return value
