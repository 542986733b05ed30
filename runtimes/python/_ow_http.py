"""HTTP/1.1 requests out of bytes, and responses into bytes; no I/O.

Feed what was received to `Parser.feed`, then call `Parser.next` until it returns None; after `BadRequest` the caller answers
with its text and closes the connection, since nothing that follows can be trusted.
"""

MAX_HEAD = 64 * 1024
"""Bytes of request line and headers, and of trailers. Go's net/http allows 1 MB, nginx 32 KB."""

_REASONS = {200: "OK", 400: "Bad Request", 403: "Forbidden", 500: "Internal Server Error", 502: "Bad Gateway"}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_HEX = frozenset(b"0123456789abcdefABCDEF")


class BadRequest(Exception):
    """The bytes are not a request; the text is for the client."""


class Request:
    """One request. `path` is decoded and without its query."""

    __slots__ = ("body", "keep_alive", "method", "path", "version")

    def __init__(self, method: bytes, path: bytes, version: bytes, keep_alive: bool) -> None:
        self.method = method
        self.path = path
        self.version = version
        self.keep_alive = keep_alive
        self.body = b""


class Parser:
    """Requests of one connection, however its bytes are cut."""

    def __init__(self) -> None:
        self._bytes: bytes | bytearray = b""
        self._searched = 0
        self._head = b""
        self._parsed = (b"", b"", b"", True, 0, False, False)
        self._request: Request | None = None
        self._length = 0
        self._chunks: bytearray | None = None
        self._chunk_left = -1
        self._trailer = 0
        self._continue = False

    def feed(self, data: bytes) -> None:
        """Take what was received."""
        if not self._bytes:
            self._bytes = data
            return
        if not isinstance(self._bytes, bytearray):
            self._bytes = bytearray(self._bytes)
        self._bytes += data

    def interim(self) -> bytes:
        """What to send now, before any answer, because the client asked for leave to send its body; mostly nothing."""
        if self._continue:
            self._continue = False
            return _CONTINUE
        return b""

    def next(self) -> "Request | None":
        """The next complete request, or None if more bytes are needed. Raises BadRequest."""
        if self._request is None and not self._read_head():
            return None
        complete = self._read_length() if self._chunks is None else self._read_chunks()
        if not complete:
            return None
        request, self._request = self._request, None
        return request

    def _take(self, count: int) -> bytes:
        taken = bytes(self._bytes[:count])
        if isinstance(self._bytes, bytearray):
            del self._bytes[:count]
        else:
            self._bytes = self._bytes[count:]
        return taken

    def _read_head(self) -> bool:
        data = self._bytes
        if data[:2] == b"\r\n":  # RFC 9112, 2.2: ignore empty lines before the request line
            self._bytes = data = data[len(data) - len(data.lstrip(b"\r\n")) :]
            self._searched = 0
        end = data.find(b"\r\n\r\n", self._searched)
        if end < 0:
            if len(data) > MAX_HEAD or b"\n\n" in data:
                raise BadRequest("400 Bad Request: the head is too long or malformed")
            self._searched = max(0, len(data) - 3)
            return False
        if end > MAX_HEAD:
            raise BadRequest("400 Bad Request: the head is too long")
        self._searched = 0
        head = self._take(end + 4)
        if head != self._head:  # a platform sends the same head for most runs
            self._parsed = self._parse_head(head[:end])
            self._head = head
        method, path, version, keep_alive, self._length, chunked, self._continue = self._parsed
        self._request = Request(method, path, version, keep_alive)
        self._chunks = bytearray() if chunked else None
        self._chunk_left, self._trailer = -1, 0
        return True

    def _parse_head(self, head: bytes) -> "tuple[bytes, bytes, bytes, bool, int, bool, bool]":
        lines = head.split(b"\r\n")
        parts = lines[0].split(b" ")
        if len(parts) != 3 or parts[2] not in (b"HTTP/1.1", b"HTTP/1.0") or not parts[0].isalpha():
            raise BadRequest("400 Bad Request")
        length, coding, connection, host, expects = b"", b"", b"", False, False
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            name = name.lower()
            if not colon or not name or name != name.strip():
                raise BadRequest("400 Bad Request: malformed header")
            if name == b"content-length":
                if length and length != value.strip():
                    raise BadRequest("400 Bad Request: more than one length")
                length = value.strip() or b"none"
            elif name == b"transfer-encoding":
                coding = value.strip().lower() or b"none"
            elif name == b"connection":
                connection = value.lower()
            elif name == b"host":
                host = True
            elif name == b"expect":
                expects = value.strip().lower() == b"100-continue"
        if parts[2] == b"HTTP/1.1" and not host:
            raise BadRequest("400 Bad Request: missing required Host header")
        if coding and (coding != b"chunked" or length):
            raise BadRequest("400 Bad Request: unsupported transfer coding")
        if length and not (length.isdigit() and len(length) < 16):
            raise BadRequest("400 Bad Request: bad Content-Length")
        keep = b"close" not in connection if parts[2] == b"HTTP/1.1" else b"keep-alive" in connection
        return parts[0], _path(parts[1]), parts[2], keep, int(length or b"0"), bool(coding), expects

    def _read_length(self) -> bool:
        assert self._request is not None
        if len(self._bytes) < self._length:
            return False
        if self._length:
            self._request.body = self._take(self._length)
        return True

    def _read_chunks(self) -> bool:
        assert self._request is not None and self._chunks is not None
        if not isinstance(self._bytes, bytearray):  # taking from the front of bytes would copy the rest for each chunk
            self._bytes = bytearray(self._bytes)
        while self._chunk_left:
            if self._chunk_left < 0 and not self._read_chunk_size():
                return False
            if self._chunk_left == 0:
                break
            if len(self._bytes) < self._chunk_left + 2:
                return False
            self._chunks += self._take(self._chunk_left)
            if self._take(2) != b"\r\n":
                raise BadRequest("400 Bad Request: malformed chunk")
            self._chunk_left = -1
        if not self._skip_trailers():
            return False
        self._request.body, self._chunks = bytes(self._chunks), None
        return True

    def _read_chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        digits = line.split(b";")[0].strip()
        if not 0 < len(digits) < 16 or not _HEX.issuperset(digits):
            raise BadRequest("400 Bad Request: malformed chunk size")
        self._chunk_left = int(digits, 16)
        return True

    def _skip_trailers(self) -> bool:
        while True:
            line = self._line()
            if line is None:
                return False
            self._trailer += len(line)
            if self._trailer > MAX_HEAD:
                raise BadRequest("400 Bad Request: the trailers are too long")
            if not line:
                return True

    def _line(self) -> "bytes | None":
        end = self._bytes.find(b"\r\n", 0, MAX_HEAD)
        if end < 0:
            if len(self._bytes) >= MAX_HEAD:
                raise BadRequest("400 Bad Request: a line is too long")
            return None
        return self._take(end + 2)[:end]


def _path(target: bytes) -> bytes:
    path = target.partition(b"?")[0]
    if b"%" not in path:
        return path
    first, *rest = path.split(b"%")
    decoded = [first]
    for part in rest:
        if len(part) < 2 or not _HEX.issuperset(part[:2]):
            raise BadRequest("400 Bad Request: malformed path")
        decoded.append(bytes((int(part[:2], 16),)) + part[2:])
    return b"".join(decoded)


def response(request: Request, status: int, body: bytes) -> bytes:
    """The answer to `request`, whole: JSON, with its length."""
    if status == 200 and request.keep_alive and request.version == b"HTTP/1.1" and request.method == b"POST":
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    reason = _REASONS[status].encode()
    closing = b"" if request.keep_alive else b"Connection: close\r\n"
    if request.keep_alive and request.version == b"HTTP/1.0":
        closing = b"Connection: keep-alive\r\n"
    kind = b"Content-Type: application/json\r\n" if body else b""
    head = b"%b %d %b\r\n%b%bContent-Length: %d\r\n\r\n" % (request.version, status, reason, kind, closing, len(body))
    return head if request.method == b"HEAD" else head + body


def refusal(text: str) -> bytes:
    """The answer to what is no request; the connection ends after it."""
    head = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(text)}\r\n\r\n{text}".encode()
