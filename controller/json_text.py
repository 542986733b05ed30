"""Reading JSON that people send: valid text stays as it is, for the rest upstream's parser texts are made.

Upstream decodes leniently what msgspec refuses: bytes that are not UTF-8 and halves of surrogate pairs become U+FFFD.
Nesting is limited to MAX_DEPTH (upstream: 1000), below what any decoder of this node can take at any depth of its stack.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from controller import errors

MAX_DEPTH = 500
_SHOWN = 400
"""Characters of a line that an error text repeats at most; upstream repeats it all."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SURROGATE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)
_decode = msgspec.json.Decoder().decode


class JsonError(Exception):
    """The text is not acceptable JSON; the message says where, in upstream's form."""


def read_json(body: bytes) -> tuple[bytes, Any]:
    """The text as it may be passed on, and its value. Raises JsonError."""
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _too_deep(body):
        raise JsonError(errors.NESTED_TOO_DEEPLY)
    try:
        return body, _decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _mended(body)


def _too_deep(body: bytes) -> bool:
    brackets = _STRING.sub(b"", body).translate(_TO_SQUARE, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        inner = brackets.replace(b"[]", b"")
        if len(inner) == len(brackets):
            break
        brackets = inner
    return brackets.count(b"[") > 0 and (b"[]" in brackets or len(brackets) > MAX_DEPTH)


def _mended(body: bytes) -> tuple[bytes, Any]:
    text = body.decode("utf-8", "replace")
    _Explainer(text).run()
    mended = _SURROGATE.sub(lambda found: "\\ufffd" if found[1] else found[0], text).encode()
    try:
        return mended, _decode(mended)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise JsonError(errors.NUMBER_TOO_LARGE) from None


_WHITE = re.compile(r"[ \t\n\r]*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_DIGITS = re.compile(r"[0-9]+")
_HEX = frozenset("0123456789abcdefABCDEF")
_END = ""


class _Explainer:
    """Walks through JSON text and raises JsonError at the first place where upstream's parser stops.

    Without recursion: `_open` holds the bracket that each enclosing value waits for.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._open: list[str] = []

    def run(self) -> None:
        """Raises JsonError, or returns if the grammar is kept."""
        self._white()
        while True:
            self._value()
            while self._open:
                if self._take(","):
                    self._white()
                    break
                self._require(self._open[-1])
                self._open.pop()
                self._white()
            else:
                break
            if self._open[-1] == "}":
                self._key()
        if self._char:
            self._fail("end-of-input")

    @property
    def _char(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, char: str) -> bool:
        if self._char != char:
            return False
        self._at += 1
        return True

    def _require(self, char: str) -> None:
        if not self._take(char):
            self._fail(f"'{char}'")

    def _white(self) -> None:
        found = _WHITE.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _value(self) -> None:
        """One value, or the beginning of containers up to the first value that is complete."""
        while True:
            char = self._char
            if char and char in "{[":
                self._at += 1
                self._white()
                close = "}" if char == "{" else "]"
                if not self._take(close):
                    self._open.append(close)
                    if close == "}":
                        self._key()
                    continue
            elif char == '"':
                self._string()
            elif char and char in "-0123456789":
                self._number()
            else:
                self._word()
            self._white()
            return

    def _key(self) -> None:
        self._string()
        self._white()
        self._require(":")
        self._white()

    def _word(self) -> None:
        start = self._at
        word = {"f": "false", "n": "null", "t": "true"}.get(self._char, "")
        if not word:
            self._fail("JSON Value")
        for char in word:
            if not self._take(char):
                self._fail("JSON Value", start)

    def _number(self) -> None:
        self._take("-")
        if not self._take("0"):
            self._digits()
        if self._take("."):
            self._digits()
        if self._take("e") or self._take("E"):
            if not self._take("-"):
                self._take("+")
            self._digits()

    def _digits(self) -> None:
        found = _DIGITS.match(self._text, self._at)
        if found is None:
            self._fail("DIGIT")
        else:
            self._at = found.end()

    def _string(self) -> None:
        self._require('"')
        while True:
            found = _PLAIN.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if not self._take("\\"):
                break
            if self._take("u"):
                for _ in range(4):
                    if self._char not in _HEX:
                        self._fail("hex digit")
                    self._at += 1
            elif self._char and self._char in '"\\/bfnrt':
                self._at += 1
            else:
                self._fail("JSON escape sequence")
        self._require('"')

    def _fail(self, expected: str, at: int | None = None) -> None:
        index = self._at if at is None else at
        char = self._char
        if char == _END:
            unexpected = "end-of-input"
        else:
            unexpected = f"character '\\u{ord(char):04x}'" if _control(char) else f"character '{char}'"
        before = self._text[:index]
        line, start = before.count("\n") + 1, before.rfind("\n") + 1
        column = index - start + 1
        first = max(start, index - _SHOWN // 2)
        shown = self._text[first : first + _SHOWN].partition("\n")[0]
        shown = "".join("?" if _control(one) else one for one in shown)
        place = f"at input index {index} (line {line}, position {column})"
        raise JsonError(f"Unexpected {unexpected} {place}, expected {expected}:\n{shown}\n{' ' * (index - first)}^\n")


def _control(char: str) -> bool:
    return char < " " or "\x7f" <= char <= "\x9f"
