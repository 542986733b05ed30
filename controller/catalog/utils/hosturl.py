"""Makes the URL of an action or a trigger of the caller's namespace."""

import os
from typing import Any, Dict

EXTENSIONS = (".html", ".http", ".json", ".text")


def main(args: Dict[str, Any]) -> Dict[str, Any]:
    """`url` for `path` (`name` or `package/name`); of a web action with `web`, of a trigger with `trigger`."""
    web, trigger = args.get("web") is True, args.get("trigger") is True
    path, extension = str(args.get("path") or ""), args.get("ext")
    if web and trigger:
        return {"error": "triggers are not allowed for web actions."}
    if trigger and "/" in path:
        return {"error": "triggers are not allowed in packages."}
    if web and extension and extension not in EXTENSIONS:
        return {"error": "extension for web action must be one of {}.".format(", ".join(EXTENSIONS))}
    host, namespace = os.environ.get("__OW_API_HOST", ""), os.environ.get("__OW_NAMESPACE", "")
    if web:
        base = f"{host}/api/v1/web/{namespace}"
        path = path and "{}{}{}".format("" if "/" in path else "default/", path, extension or ".json")
    else:
        base = "{}/api/v1/namespaces/{}/{}".format(host, namespace, "triggers" if trigger else "actions")
    return {"url": f"{base}/{path}" if path else base}
