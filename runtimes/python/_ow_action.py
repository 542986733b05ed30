"""The user's action: what `/init` asks for, loading it, calling it, and the text of its result."""

import os
import sys
from binascii import Error as Base64Error
from binascii import a2b_base64
from json import JSONEncoder, loads

if False:  # what `typing.TYPE_CHECKING` is for, without importing typing
    import types

NO_CODE = "Missing main/no code to execute."
NOT_LOCATED = "The action failed to generate or locate a binary. See logs for details."
NOT_STARTED = "Cannot start action. Check logs for details."
NOT_A_DICTIONARY = "The action did not return a dictionary or array."
EXITED = "command exited"

_encode = JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_compact = JSONEncoder(separators=(",", ":")).encode


class Refused(Exception):
    """A request that can't be done; nothing was run. Carries HTTP status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Failed(Exception):
    """Initialization failed because of the action; `text` is the answer, `log` the cause for the action's stderr."""

    def __init__(self, text: str, log: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.log = log


def error(text: str) -> bytes:
    """An error answer."""
    return (_encode({"error": text}) + "\n").encode("utf-8", "replace")


def message(body: bytes) -> dict:
    """The JSON object of a request body. Raises Refused with 400."""
    try:
        decoded = loads(str(body, "utf-8"))
    except (ValueError, RecursionError) as reason:
        raise Refused(400, f"The request body is no JSON: {reason}") from None
    if not isinstance(decoded, dict):
        raise Refused(400, f"The request body must be a JSON object, not {type(decoded).__name__}.")
    return decoded


class Init:
    """A checked `/init` request."""

    __slots__ = ("archive", "code", "env", "main")

    def __init__(self, body: bytes) -> None:
        """Raises Refused: 400 for what can't be read, 403 if there is no code."""
        if body.strip() == b"null":
            raise Refused(403, NO_CODE)
        value = message(body).get("value") or {}
        if not isinstance(value, dict):
            raise Refused(400, "`value` must be an object.")
        code = _typed(value, "code", str, "")
        self.main = _typed(value, "main", str, "") or "main"
        self.env = {name: _text(item) for name, item in _typed(value, "env", dict, {}).items()}
        binary = _typed(value, "binary", bool, False)
        if not code:
            raise Refused(403, NO_CODE)
        self.code = _base64(code) if binary else code.encode("utf-8", "surrogatepass")
        self.archive = bool(binary) and (self.code[:4] in (b"PK\3\4", b"PK\5\6") or self.code[:2] == b"\x1f\x8b")

    def set_environment(self) -> None:
        """Raises Refused if a name or value can't be in an environment."""
        for name, value in self.env.items():
            try:
                os.environ[name] = value
            except (ValueError, OSError):
                raise Refused(400, f"The environment variable {name!r} can't be set.") from None


def _typed(value: dict, name: str, kind: type, default: object) -> object:
    item = value.get(name)
    if item is None:
        return default
    if not isinstance(item, kind):
        raise Refused(400, f"`{name}` must be of type {kind.__name__}, not {type(item).__name__}.")
    return item


def _text(item: object) -> str:
    return item if isinstance(item, str) else _compact(item)


def _base64(code: str) -> bytes:
    packed = code.replace("\r", "").replace("\n", "")
    try:
        data = a2b_base64(packed.encode("ascii"))
    except (Base64Error, UnicodeEncodeError):
        data = b""
    if len(packed) % 4 or len(data) != len(packed) // 4 * 3 - (len(packed) - len(packed.rstrip("="))):
        raise Refused(400, "`code` is no base64.")
    return data


def load(init: Init, directory: str) -> object:
    """The entry function of the action, its files below `directory`, which becomes the working directory.

    Raises Failed. What the action's own code raises while it is imported is printed and ends as Failed too.
    """
    os.makedirs(directory, exist_ok=True)
    if init.archive:
        _unpack(init.code, directory)
    else:
        with open(os.path.join(directory, "main__.py"), "wb") as file:
            file.write(init.code)
    os.chdir(directory)
    path = os.path.join(directory, "main__.py")
    with open(path, "rb") as file:
        source = file.read()
    try:
        code = compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as reason:
        raise Failed(NOT_LOCATED, f"{type(reason).__name__}: {reason}\n") from None
    if not init.main.isidentifier():
        raise Failed(NOT_STARTED, f"The name of the entry function is no Python name: {init.main}\n")
    module = type(sys)("main__")
    module.__file__ = path
    sys.modules["main__"] = module
    sys.path.insert(0, directory)
    sys.dont_write_bytecode = True
    try:
        _activate(directory)
        exec(code, module.__dict__)
    except BaseException as reason:
        forget(directory)
        show(reason, 1)
        raise Failed(NOT_STARTED, "Command exited abruptly during initialization.\n") from None
    if not hasattr(module, init.main):
        forget(directory)
        raise Failed(NOT_STARTED, f"ImportError: cannot import name '{init.main}' from 'main__' ({path})\n")
    return getattr(module, init.main)


def archives() -> "types.ModuleType":
    """The module that unpacks archives: only who sends one pays for its heavy imports."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, here)
    try:
        import _ow_archive
    finally:
        sys.path.remove(here)
    return _ow_archive


def _unpack(archive: bytes, directory: str) -> None:
    _ow_archive = archives()
    try:
        _ow_archive.unpack(archive, directory)
    except _ow_archive.BadArchive as reason:
        raise Failed(NOT_LOCATED, f"{reason}\n") from None
    target = os.path.join(directory, "main__.py")
    for name in ("__main__.py", "exec"):
        found = os.path.join(directory, name)
        if os.path.isfile(found) and not os.path.exists(target):
            os.replace(found, target)
    if not os.path.isfile(target):
        raise Failed(NOT_LOCATED, "Zip file does not include main__\n")
    environment = os.path.join(directory, "virtualenv")
    if os.path.isdir(environment) and not os.path.isfile(_activation(directory)) and not _site_packages(environment):
        raise Failed(NOT_LOCATED, "Invalid virtualenv. Zip file does not include 'activate_this.py'.\n")


def _activation(directory: str) -> str:
    return os.path.join(directory, "virtualenv", "bin", "activate_this.py")


def _site_packages(environment: str) -> "list[str]":
    """Where `python -m venv`, which writes no activate_this.py, puts packages."""
    library = os.path.join(environment, "lib")
    names = os.listdir(library) if os.path.isdir(library) else []
    places = [os.path.join(library, name, "site-packages") for name in names if name.startswith("python")]
    return [place for place in places if os.path.isdir(place)]


def _activate(directory: str) -> None:
    script = _activation(directory)
    if os.path.isfile(script):
        with open(script, "rb") as file:
            exec(compile(file.read(), script, "exec"), {"__file__": script, "__name__": "activate_this"})
    else:
        sys.path[1:1] = _site_packages(os.path.join(directory, "virtualenv"))


def forget(directory: str) -> None:
    """Undo the import of an action that failed, so that another can be initialized."""
    sys.path[:] = [place for place in sys.path if not place.startswith(directory)]
    for name, module in list(sys.modules.items()):
        if name == "main__" or str(getattr(module, "__file__", None) or "").startswith(directory + os.sep):
            del sys.modules[name]


def show(reason: BaseException, own_frames: int) -> None:
    """Print a traceback to the action's stderr without the `own_frames` of this runtime; an exit only its text."""
    if isinstance(reason, SystemExit):
        if isinstance(reason.code, str):
            _tell(reason.code)
        return
    trace = reason.__traceback__
    for _ in range(own_frames):
        trace = trace.tb_next if trace else None
    try:
        sys.__excepthook__(type(reason), reason.with_traceback(trace), trace)
    except BaseException:
        _tell(type(reason).__name__)


def _tell(text: str) -> None:
    """A line for the action's stderr, if the action left it usable."""
    try:
        sys.stderr.write(text + "\n")
    except Exception:
        return


def _text_of(reason: BaseException) -> "str | None":
    """What an error says; None if its own code fails at that."""
    try:
        return str(reason)
    except Exception:
        return None


def set_context(request: dict) -> None:
    """The members beside `value` as `__OW_…`. What is no text, or can't be in an environment, is left out."""
    environ = os.environ
    for key, value in request.items():
        if key != "value" and type(value) is str:
            try:
                environ["__OW_" + key.upper()] = value
            except (ValueError, OSError):
                continue


class Exit(Exception):
    """The action ended its process; `status` is what it asked for."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def call(main: object, args: object) -> "tuple[int, bytes]":
    """Run the action: HTTP status and body. Raises Exit if it wants its process to end."""
    try:
        result = main(args)
    except Exception as reason:
        show(reason, 1)
        text = _text_of(reason)
        if text is None:
            return 400, error(f"The action failed with {type(reason).__name__}, whose text could not be had.")
        result = {"error": text}
    except BaseException as reason:
        raise _exit(reason) from None
    try:
        return encode(result)
    except BaseException as reason:  # code of the action that runs while its result is written
        raise _exit(reason) from None


def _exit(reason: BaseException) -> Exit:
    show(reason, 1)
    code = getattr(reason, "code", 1)
    return Exit(code if isinstance(code, int) else int(code is not None))


def encode(result: object) -> "tuple[int, bytes]":
    """HTTP status and body for a result: 502 for what is no object, array or null, 400 for what JSON can't hold."""
    try:
        text = _encode(result)
        body = (text + "\n").encode()
    except Exception as reason:
        if type(reason) is ValueError and str(reason).startswith("Out of range float"):
            return 502, error(NOT_A_DICTIONARY)
        text = f"The result of the action can't be written as JSON: {_text_of(reason) or type(reason).__name__}"
        _tell(text)
        return 400, error(text)
    if text[0] in "{[" or text == "null":
        return 200, body
    return 502, error(NOT_A_DICTIONARY)
