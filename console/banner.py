"""What a starting node says: what it found, where it listens, what to copy. Facts in, text out."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

HELLO = 'def main(args):\n    return {"greeting": "Hello, " + args.get("name", "world") + "!"}'
"""The action of the printed curl."""


@dataclass(frozen=True)
class Finding:
    """One line of the preflight: a part, whether it is as it should be, what was found, and the fix if it is not."""

    part: str
    ok: bool
    text: str
    fix: str = ""


@dataclass(frozen=True)
class Started:
    """A node that listens. `auth_origin` is `random`, `file` or `given`, as config.credentials tells."""

    url: str
    auth: str
    auth_origin: str
    findings: Sequence[Finding] = ()


IN_CLUSTER = "Credentials  the cluster's: callers come to its controllers (`run.py controller --kafka …`), which know them"
"""What a node of a cluster says that was started without --auth: it makes no subject."""

ORIGINS = {
    "random": "made at random on this first start, kept in the data directory",
    "file": "kept in the data directory",
    "given": "given with --auth",
}


def mark(finding: Finding, colour: bool) -> str:
    """`[ OK ]` or `[WARN]`."""
    text, code = ("[ OK ]", "32") if finding.ok else ("[WARN]", "33")
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text


def preflight(findings: Sequence[Finding], *, colour: bool = False) -> str:
    """One line per finding; the fix of what isn't right below it."""
    width = max((len(finding.part) for finding in findings), default=0)
    lines = []
    for finding in findings:
        lines.append(f"{mark(finding, colour)} {finding.part:<{width}}  {finding.text}")
        if finding.fix:
            lines.append(f"       {'':<{width}}  fix: {finding.fix}")
    return "\n".join(lines)


def curl_lines(url: str, auth: str) -> str:
    """Two requests to paste into a shell: make an action, invoke it and print its result."""
    place = f"{url}/api/v1/namespaces/_/actions/hello"
    body = json.dumps({"exec": {"kind": "python:default", "code": HELLO}})
    kind = "-H 'Content-Type: application/json'"
    return (
        f"curl -sS -o /dev/null -u {auth} -X PUT '{place}?overwrite=true' {kind} -d {shlex.quote(body)} &&\n"
        f"curl -sS -u {auth} -X POST '{place}?blocking=true&result=true' {kind} -d {shlex.quote(json.dumps({'name': 'Ada'}))}"
    )


def greeting(started: Started, *, colour: bool = False) -> str:
    """All that is said once the port is open, before the node is ready."""
    if not started.auth:
        return "\n".join([preflight(started.findings, colour=colour), "", f"API host     {started.url}", IN_CLUSTER, ""])
    return "\n".join([
        preflight(started.findings, colour=colour),
        "",
        f"API host     {started.url}",
        f"Credentials  {started.auth}",
        f"             namespace guest, {ORIGINS[started.auth_origin]}",
        "",
        "Try it:",
        curl_lines(started.url, started.auth),
        "",
        "With OpenWhisk's own command line:",
        f"wsk property set --apihost {started.url} --auth {started.auth}",
        "",
        "Here: ./run.py action put NAME FILE, ./run.py invoke NAME -r, ./run.py --help",
        "",
    ])  # fmt: skip
