"""Where our runtimes differ from upstream's recorded behaviour, each with its reason and what ours does instead."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

END = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX\n"
BUSY = "System not ready, status is running."
TWICE = "Cannot initialize the action more than once."

Answer = dict[str, Any]
Key = tuple[str, str]


@dataclass(frozen=True)
class Deviation:
    """What ours does: `init` and `runs` (by number) instead of the recorded answers, `ending` for `alive` and `exit`."""

    reason: str
    init: Answer | None = None
    runs: dict[int, Answer] = field(default_factory=dict)
    ending: dict[str, Any] = field(default_factory=dict)


def ran(body: Any, out: str = "", err: str = "") -> Answer:
    """A run that answered 200."""
    return {"status": 200, "body": json.dumps(body), "stdout": out + END, "stderr": err + END}


def failed(status: int, text: str, out: str = "") -> Answer:
    """A run that answered an error, its log ended."""
    return {"status": status, "body": json.dumps({"error": text}), "stdout": out + END, "stderr": END}


def refused(status: int, text: str, err: str = "") -> Answer:
    """An answer without any run."""
    return {"status": status, "body": json.dumps({"error": text})} | ({"stderr": err} if err else {})


def unanswered(how: str, out: str = "") -> Answer:
    """No answer."""
    return {"status": None, "error": how} | ({"stdout": out} if out else {})


def dead(status: int) -> dict[str, Any]:
    """The process ended with this status (negative: by this signal)."""
    return {"alive": False, "exit": status}


CLOSED = unanswered("closed without an answer")
GONE = unanswered("connection refused")
UNREADABLE = failed(400, "(the request body is no JSON object)")
UNWRITABLE = failed(400, "(the result can't be written as JSON)")
HELLO = ran({"hello": "stranger"})
ENVIRONMENT = {
    "__OW_EXECUTION_ENV": "openwhisk/action-python-v3.11",
    "__OW_PROXY_VERSION": "1.17.1",
    "__OW_WAIT_FOR_ACK": "1",
}
FORGED = ran({"error": "[Errno 9] Bad file descriptor"}, err="OSError: [Errno 9] Bad file descriptor\n")
A_FIRST = {
    "answers": [{"status": 200, "body": '{"id":"A"}'}, refused(403, BUSY)],
    "stdout": f"start A\nend A\n{END}",
    "stderr": END,
}
C_NEXT = ran({"id": "C"}, out="start C\nend C\n")

_NO_NPM = "dependencies are not installed behind the user's back; an archive brings them"
_LIVES = "a result that JSON can't hold is an error of that run, not the end of the action"
_BAD_BODY = "a request that can't be read does not end the action"
_TERM = "ends by the signal at once, as processes do"
_STDIN = "standard input is empty, the requests are out of reach"
_ENDS = "an action that ends its process takes the runtime along instead of leaving a container that answers errors for ever"
_ONE = "a second run meanwhile is refused as in Node.js, the answers can't be mixed up"
_NOISE = "no `undefined` on the user's stdout for a bad request"
_TYPE = "a body is read as JSON in UTF-8 whatever its content type says, arguments are not dropped silently"
_CONTEXT = "members that are no text, or fit no environment, are left out as in Node.js"
_SENTINEL = "the sentinel doesn't depend on the user's console"

NOT_HERE: dict[Key, str] = {
    **{(runtime, "kill-pid-1"): "process 1 is the container's there, the machine's here" for runtime in ("nodejs", "python")},
    **{(runtime, "out-of-memory"): "needs a container's memory limit" for runtime in ("nodejs", "python")},
    **{(runtime, "surroundings"): "lists the image's files" for runtime in ("nodejs", "python")},
    **{(runtime, "surroundings-zip"): "lists the image's files" for runtime in ("nodejs", "python")},
    ("nodejs", "init-concurrent-zip"): "recorded as varying: which of two comes first; init-concurrent has the sure order",
}

_LINES = "lines leave the process as they are printed, so that a timeout or a crash loses none and each has its own time"
_PYTHON: dict[str, Deviation] = {
    "container-env": Deviation(
        "the environment is not cut at a second `=`",
        runs={0: ran({"__OW_API_HOST": "http://host:3233", "__OW_EQ": "a=b=c", "__OW_NEW": "x", **ENVIRONMENT})},
    ),
    "container-env-plain": Deviation(
        "the action sees the container's environment, as in Node.js",
        runs={0: ran({"seen": "x", "all": ["LANG", "LC_CTYPE", "PATH", "PLAIN", *ENVIRONMENT]})},
    ),
    "docker-stop-10": Deviation(_TERM, ending=dead(-15)),
    "exit-3": Deviation(_ENDS, runs={1: GONE, 2: GONE}, ending=dead(3)),
    "exit-hard": Deviation(_ENDS, runs={0: unanswered("closed without an answer", "last words\n"), 1: GONE}, ending=dead(3)),
    "exit-then-init": Deviation(_ENDS, runs={0: CLOSED, 1: GONE, 2: GONE}, ending=dead(3)),
    "http-bom": Deviation(_BAD_BODY, runs={0: UNREADABLE, 1: HELLO}),
    "http-get-run": Deviation(_BAD_BODY, runs={0: UNREADABLE, 1: HELLO}),
    "http-gzip-request": Deviation(_BAD_BODY, runs={0: UNREADABLE, 1: HELLO}),
    "http-no-length": Deviation(_BAD_BODY, runs={0: UNREADABLE, 1: HELLO}),
    "http-other-methods": Deviation(_BAD_BODY, runs={1: UNREADABLE, 2: UNREADABLE | {"body": ""}, 3: HELLO}),
    "init-concurrent": Deviation(
        "one initialization at a time",
        runs={0: {"answers": [{"status": 200, "body": '{"ok":true}\n'}, refused(403, TWICE)]}},
    ),
    "init-endless": Deviation("one initialization at a time", runs={1: refused(403, TWICE)}),
    "init-env-path": Deviation(
        "the interpreter runs already, a strange PATH does not matter",
        init={"status": 200, "body": '{"ok":true}\n'},
        runs={0: ran({"path": "/nowhere", "pythonpath": "/extra"})},
    ),
    "init-zip-truncated": Deviation(
        "a damaged archive is an error of the initialization",
        init=failed(502, "The action failed to generate or locate a binary. See logs for details."),
    ),
    "init-zip-several-files": Deviation(
        "only the user's files lie in the working directory",
        runs={
            0: ran(
                {
                    "help": "helped",
                    "deep": "deep",
                    "data": "datum",
                    "cwd": "/action/1/bin",
                    "files": ["data.txt", "helper.py", "lib", "main__.py"],
                }
            )
        },
    ),
    "kill-self": Deviation(_ENDS, runs={0: unanswered("closed without an answer", "last words\n"), 1: GONE}, ending=dead(-9)),
    "late-exit": Deviation(_ENDS, runs={2: GONE, 3: GONE}, ending=dead(4)),
    "out-fd-3": Deviation(
        "no descriptor that user code hits carries answers", runs={0: FORGED, 1: ran({"own": 2}), 2: ran({"own": 3})}
    ),
    "out-fd-3-not-json": Deviation("no descriptor that user code hits carries answers", runs={0: FORGED, 1: ran({"own": 2})}),
    "out-stdout-object-closed": Deviation(
        "a closed stdout ends neither logs nor action", runs={0: ran({"ok": 1}), 1: ran({"ok": 1})}
    ),
    "reads-stdin": Deviation(_STDIN, runs={0: ran({"got": ""}), 1: ran({"got": ""})}),
    "result-async-main": Deviation(_LIVES, runs={0: UNWRITABLE, 1: UNWRITABLE}),
    "result-base-exception": Deviation(_ENDS, runs={1: GONE}, ending=dead(1)),
    **{
        f"result-{name}": Deviation(_LIVES, runs={0: UNWRITABLE, 1: ran({"ok": True})})
        for name in ("bytes", "circular", "date-and-map", "deep", "lone-surrogate", "thrown-custom", "unserialisable")
    },
    "run-bad-json": Deviation(_BAD_BODY, runs={0: UNREADABLE, 1: HELLO, 2: HELLO}),
    "run-client-hangs-up": Deviation(
        _ONE,
        runs={
            0: unanswered("client hung up after 500 ms", "start first\n"),
            1: refused(403, BUSY),
            2: {"waited_ms": 1500, "stdout": f"end first\n{END}", "stderr": END},
            3: ran({"id": "third"}, out="start third\nend third\n"),
        },
    ),
    "run-empty-body": Deviation(_BAD_BODY, runs={0: UNREADABLE, 1: HELLO}),
    "run-endless": Deviation(
        _ONE, runs={0: unanswered("no answer within 2500 ms, connection still open", "spinning\n"), 1: refused(403, BUSY)}
    ),
    "run-env-field-names": Deviation(
        _CONTEXT,
        runs=dict.fromkeys(
            (0, 1), ran({"__OW_": "c", "__OW_CAMELCASE": "a", "__OW_WITH-DASH": "b", "__OW_ÜNÏ": "d", **ENVIRONMENT})
        ),
    ),
    **{
        f"run-env-field-{name}": Deviation(_CONTEXT, runs={0: ran(ENVIRONMENT), 1: ran(ENVIRONMENT)})
        for name in ("null", "number", "object")
    },
    "run-lone-surrogate": Deviation(_LIVES, runs={0: UNWRITABLE, 1: ran({"type": "dict", "args": {"ok": 1}})}),
    "run-two-at-once": Deviation(_ONE, runs={0: A_FIRST, 1: C_NEXT}),
    "run-two-at-once-allow-concurrent": Deviation(_ONE, runs={0: A_FIRST, 1: C_NEXT}),
    "signal-sigterm": Deviation(_TERM, ending=dead(-15)),
    "signal-sigterm-while-running": Deviation(
        _TERM, runs={0: {"background": "started", "stdout": "start A\n"}}, ending=dead(-15)
    ),
    "init-logs": Deviation(
        _LINES, init={"status": 200, "body": '{"ok":true}', "stdout": "loading\n", "stderr": "loading err\n"}, runs={0: HELLO}
    ),
    "out-after-return-unflushed": Deviation(_LINES, runs={1: {"waited_ms": 500, "stdout": "late, no flush\n"}, 2: ran({})}),
}

_UNREAD = refused(500, "Bad request.")
_NODE_UNWRITABLE = failed(500, "(the result can't be written as JSON)")
_STOPPED = {"signal": "SIGTERM", "exits": True}

_NODEJS: dict[str, Deviation] = {
    "docker-stop-10": Deviation(_TERM, runs={0: {"stopped": "by the signal"}}, ending=dead(-15)),
    "http-charset-latin-1": Deviation(_TYPE, runs={0: ran({"hello": "é"})}),
    "http-content-type-text": Deviation(_TYPE, runs=dict.fromkeys(range(4), ran({"hello": "x"}))),
    "http-init-content-type-text": Deviation(
        _TYPE, init={"status": 200, "body": '{"OK":true}'}, runs={0: refused(403, TWICE, f"Internal system error: {TWICE}\n")}
    ),
    "http-keep-alive-idle": Deviation(
        "an idle connection stays open, as in Python",
        runs={
            0: {
                "answers": [{"status": 200, "body": json.dumps({"hello": name})} for name in "abc"],
                "stdout": END * 3,
                "stderr": END * 3,
            }
        },
    ),
    "init-bad-json": Deviation(_NOISE, init=_UNREAD),
    "init-body-50mb": Deviation(_NOISE, init=_UNREAD),
    "init-json-not-an-object": Deviation(_NOISE, runs=dict.fromkeys(range(3), _UNREAD)),
    "init-zip-dependencies-not-included": Deviation(
        _NO_NPM,
        init={"status": 200, "body": '{"OK":true}'},
        runs={1: ran({"from": "index.js"})},
        ending={"alive": True, "exit": None},
    ),
    "kill-self": Deviation(
        "a process that is not process 1 dies of its own SIGKILL",
        runs={0: unanswered("closed without an answer", "last words\n"), 1: GONE},
        ending=dead(-9),
    ),
    "out-console-replaced": Deviation(_SENTINEL, runs={0: ran({"ok": 1}), 1: ran({"ok": 1})}),
    "out-stdout-object-closed": Deviation(_SENTINEL, runs={0: ran({"ok": 1}), 1: ran({"ok": 1})}),
    **{
        f"result-{name}": Deviation("the log says why, and says it before the sentinel", runs={0: _NODE_UNWRITABLE})
        for name in ("circular", "deep", "unserialisable")
    },
    "run-50mb": Deviation(_NOISE, runs={0: _UNREAD}),
    "run-bad-json": Deviation(_NOISE, runs={0: _UNREAD}),
    "run-value-string": Deviation("a refused request leaves the runtime ready", runs={1: ran({"type": "object", "args": {}})}),
    "signal-sigterm": Deviation(_TERM, runs={1: _STOPPED}, ending=dead(-15)),
    "signal-sigterm-while-running": Deviation(_TERM, runs={1: _STOPPED, 2: {"background": CLOSED}}, ending=dead(-15)),
}

DEVIATIONS: dict[Key, Deviation] = {
    **{("python", case): deviation for case, deviation in _PYTHON.items()},
    **{("nodejs", case): deviation for case, deviation in _NODEJS.items()},
}
