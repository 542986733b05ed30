"""Answers and prints as OpenWhisk's own Python runtime was recorded to (tests/golden/runtime-exchanges.jsonl): a proxy, and the
action in a process of its own that can end alone. Standard output is buffered until a run ends; nothing is checked at /init.
"""

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SENTINEL = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"
LAUNCHER = """
import json, os, sys, traceback
code, name = json.loads(sys.stdin.readline())
scope = {}
exec(compile(code, "main__.py", "exec"), scope)
main, out = scope[name], os.fdopen(3, "w")
print(json.dumps({"ok": True}), file=out, flush=True)
while line := sys.stdin.readline():
    body = json.loads(line)
    os.environ.update({"__OW_" + key.upper(): value for key, value in body.items() if key != "value"})
    try:
        result = main(body.get("value"))
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        result = {"error": str(error)}
    print(json.dumps(result), file=out)
    sys.stdout.flush()
    sys.stderr.flush()
    out.flush()
"""
action = None
answers = None


def mark():
    for stream in (sys.stdout, sys.stderr):
        print(SENTINEL, file=stream, flush=True)


def tell(body):
    """The action's answer to one line, or None if it has ended."""
    try:
        action.stdin.write(json.dumps(body) + "\n")
        action.stdin.flush()
    except BrokenPipeError:
        return None
    return answers.readline() or None


def init(value):
    global action, answers
    if action is not None:
        return 403, '{"error":"Cannot initialize the action more than once."}\n'
    if not value.get("code"):
        return 403, '{"error":"Missing main/no code to execute."}\n'
    reader, writer = os.pipe()
    command = f'exec 3>&{writer}; exec python3 -c "$0"'
    env = {key: each for key, each in os.environ.items() if key == "PATH" or key.startswith("__OW_")} | value.get("env", {})
    action = subprocess.Popen(["sh", "-c", command, LAUNCHER], stdin=-1, text=True, pass_fds=[writer], env=env)
    os.close(writer)
    answers = os.fdopen(reader)
    if tell([value["code"], value.get("main", "main")]) is None:
        mark()
        return 502, '{"error":"Cannot start action. Check logs for details."}\n'
    return 200, '{"ok":true}\n'


def run(body):
    global action
    if action is None or action == "ended":
        return 500, '{"error":"no action defined yet"}\n'
    line = tell(body)
    mark()
    if line is None:
        action = "ended"
        return 400, '{"error":"command exited"}\n'
    if line[0] not in "{[":
        return 502, '{"error":"The action did not return a dictionary or array."}\n'
    return 200, line


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, text = init(body.get("value", {})) if self.path == "/init" else run(body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("", 8080), Handler).serve_forever()
