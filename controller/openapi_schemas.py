"""What bodies look like, as JSON Schema: the parts that the OpenAPI document refers to."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

ANY: Schema = {}
TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
NAME_PATTERN = r"^[0-9A-Za-z_]([0-9A-Za-z_@ .&-]{0,254}[0-9A-Za-z_@.&-])?$"
ID_PATTERN = "^[0-9a-f]{32}$"


def of(name: str) -> Schema:
    """A reference to one of SCHEMAS."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema) -> Schema:
    """A list of these."""
    return {"type": "array", "items": items}


def obj(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """An object with these fields, and others perhaps."""
    found: Schema = {"type": "object", "properties": {**required, **(optional or {})}}
    return {**found, "required": list(required)} if required else found


def nullable(schema: Schema) -> Schema:
    """This or null, which is as good as nothing."""
    return {"anyOf": [schema, {"type": "null"}]}


_PAIRS = array(of("KeyValue"))
_ENTITY: dict[str, Schema] = {
    "namespace": TEXT, "name": TEXT, "version": TEXT, "publish": BOOLEAN, "annotations": _PAIRS, "updated": INTEGER
}  # fmt: skip
_PUT: dict[str, Schema] = {
    "annotations": nullable(_PAIRS),
    "version": nullable({"type": "string", "pattern": r"^[0-9]{1,4}\.[0-9]{1,4}\.[1-9][0-9]{0,3}$"}),
    "publish": nullable(BOOLEAN),
}
_LIMIT = nullable({"type": "integer", "minimum": 0, "maximum": 2**31 - 1})
_FULL_NAME = obj({"path": TEXT, "name": TEXT})
_RECORD: dict[str, Schema] = {
    "namespace": TEXT, "name": TEXT, "version": TEXT, "publish": BOOLEAN, "annotations": _PAIRS,
    "activationId": {"type": "string", "pattern": ID_PATTERN}, "start": INTEGER,
}  # fmt: skip

SCHEMAS: dict[str, Schema] = {
    "Error": obj({"error": TEXT, "code": TEXT}),
    "KeyValue": obj({"key": TEXT, "value": ANY}, {"init": BOOLEAN, "encryption": TEXT}),
    "FullName": _FULL_NAME,
    "Limits": obj({}, dict.fromkeys(("timeout", "memory", "logs", "concurrency", "instances"), INTEGER)),
    "Exec": obj(
        {"kind": TEXT},
        {"code": TEXT, "binary": BOOLEAN, "main": TEXT, "image": TEXT, "components": array(TEXT)},
    ),
    "ActionPut": obj({}, {
        **_PUT,
        "exec": nullable(of("Exec")),
        "parameters": nullable(_PAIRS),
        "limits": nullable(obj({}, dict.fromkeys(("timeout", "memory", "logs", "concurrency", "instances"), _LIMIT))),
        "delAnnotations": nullable(array(TEXT)),
    }),
    "Action": obj({**_ENTITY, "exec": of("Exec"), "limits": of("Limits"), "parameters": _PAIRS}, {"binding": TEXT}),
    "ActionRow": obj({**_ENTITY, "limits": of("Limits"), "exec": obj({"binary": BOOLEAN})}),
    "PackagePut": obj({}, {**_PUT, "parameters": nullable(_PAIRS), "binding": obj({}, {"namespace": TEXT, "name": TEXT})}),
    "Package": obj(
        {**_ENTITY, "binding": {"type": "object"}, "parameters": _PAIRS},
        {"actions": array(obj({"name": TEXT, "version": TEXT, "annotations": _PAIRS})), "feeds": array({"type": "object"})},
    ),
    "PackageRow": obj({**_ENTITY, "binding": {"anyOf": [{"const": False}, {"type": "object"}]}}),
    "TriggerPut": obj({}, {**_PUT, "parameters": nullable(_PAIRS)}),
    "Trigger": obj({**_ENTITY, "limits": {"type": "object"}, "parameters": _PAIRS}, {"rules": {"type": "object"}}),
    "TriggerRow": obj(_ENTITY),
    "RulePut": obj({}, {**_PUT, "trigger": {"anyOf": [TEXT, _FULL_NAME]}, "action": {"anyOf": [TEXT, _FULL_NAME]}}),
    "RuleStatus": obj({"status": {"enum": ["active", "inactive"]}}),
    "RuleRow": obj({**_ENTITY, "trigger": of("FullName"), "action": of("FullName")}),
    "Rule": obj({**_ENTITY, "trigger": of("FullName"), "action": of("FullName"), "status": {"enum": ["active", "inactive"]}}),
    "ActivationId": obj({"activationId": {"type": "string", "pattern": ID_PATTERN}}),
    "Response": obj({"status": TEXT, "success": BOOLEAN}, {"result": ANY, "size": INTEGER}),
    "Activation": obj(
        {**_RECORD, "subject": TEXT, "response": of("Response"), "logs": array(TEXT)},
        {"end": INTEGER, "duration": INTEGER, "cause": TEXT},
    ),
    "ActivationRow": obj(_RECORD, {"end": INTEGER, "duration": INTEGER, "cause": TEXT, "statusCode": INTEGER}),
    "ActivationState": obj({"activationId": TEXT, "state": TEXT}, {"since": INTEGER, "attempt": INTEGER}),
    "Logs": obj({"logs": array(TEXT)}),
    "NamespaceLimits": obj(dict.fromkeys(
        ("invocationsPerMinute", "concurrentInvocations", "firesPerMinute", "minActionMemory", "maxActionMemory",
         "minActionLogs", "maxActionLogs", "minActionTimeout", "maxActionTimeout", "minActionConcurrency",
         "maxActionConcurrency", "maxActionInstances"),
        INTEGER,
    ), {"allowedKinds": array(TEXT), "maxParameterSize": TEXT}),
}  # fmt: skip
