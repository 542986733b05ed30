"""Every error text of the API in one place; upstream's wording where it has one.

ApiError            answered as JSON `{"error": text, "code": transaction id}`
HttpLayerError      answered as plain text, before or beside the API (upstream: by its HTTP library)

`rejected` answers are made before a route took the request and carry no CORS headers; `failed` ones come from inside a
route and carry them. Which is which follows the recorded exchanges.
"""

from __future__ import annotations

import msgspec
from marshmallow import ValidationError

from controller.cors import Cors, HeaderList

REALM = b'Basic realm="OpenWhisk secure realm",charset=UTF-8'


class ApiError(Exception):
    """An answer other than success. `status` is the HTTP status."""

    def __init__(self, status: int, text: str, cors: Cors = Cors.NONE, headers: HeaderList | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.cors = cors
        self.headers = headers or []


class HttpLayerError(Exception):
    """A request that HTTP itself refuses; the connection is closed after the answer if `close`."""

    def __init__(self, status: int, text: str, close: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.close = close


def rejected(status: int, text: str) -> ApiError:
    """An answer made before a route took the request."""
    return ApiError(status, text)


def failed(status: int, text: str) -> ApiError:
    """An answer from inside a route."""
    return ApiError(status, text, Cors.REST)


def web_failed(status: int, text: str) -> ApiError:
    """An answer from inside the route of web actions."""
    return ApiError(status, text, Cors.WEB)


# --- credentials ------------------------------------------------------------------------------------------------------


def no_credentials() -> ApiError:
    """401: none, or none that could be read."""
    text = "The resource requires authentication, which was not supplied with the request"
    return ApiError(401, text, headers=[(b"www-authenticate", REALM)])


def wrong_credentials() -> ApiError:
    """401: well-formed, but nobody's."""
    return ApiError(401, "The supplied authentication is invalid", headers=[(b"www-authenticate", REALM)])


def forbidden(*resources: str) -> ApiError:
    """403: names what may not be touched."""
    shown = ", ".join(sorted(set(resources)))
    return failed(403, f"The supplied authentication is not authorized to access '{shown}'.")


def foreign_host() -> ApiError:
    """403: the request reached a loopback address under somebody else's name (DNS rebinding)."""
    return rejected(403, "The Host header names another host; this node answers only to local names and its --api-host.")


OPERATOR_MISSING = "Authentication is possible but has failed or not yet been provided."
OPERATOR_WRONG = "username or password are wrong."
ADMIN_ONLY = "This needs the node's admin key."
DRAINING = "The node is draining: it takes no new work."

# --- paths, names and queries -----------------------------------------------------------------------------------------


def unknown_path() -> ApiError:
    """404: no such path, or not with this method (there is no 405 under /api/v1)."""
    return rejected(404, "The requested resource could not be found.")


def method_not_allowed(methods: str) -> ApiError:
    """405: only outside /api/v1. `methods` is a list such as `GET, OPTIONS`."""
    text = f"HTTP method not allowed, supported methods: {methods}"
    return ApiError(405, text, headers=[(b"allow", methods.encode())])


def missing() -> ApiError:
    """404: there is no such entity."""
    return failed(404, "The requested resource does not exist.")


def missing_named(resource: str) -> ApiError:
    """404: there is no such package."""
    return failed(404, f"The requested resource '{resource}' does not exist.")


def bad_query(parameter: str, text: str) -> ApiError:
    """400: a query parameter that can't be converted."""
    return rejected(400, f"The query parameter '{parameter}' was malformed:\n{text}")


NAME_ILLEGAL = "The name of the entity contains illegal characters."
NAMESPACE_ILLEGAL = "The namespace contains illegal characters."
LIMITS_INNER = "Inner entity level routes for limits are not yet implemented."
ACTIVATION_ID_ILLEGAL = "The activation id is not valid."
DOCS_WITH_COUNT = "The parameter 'docs' is not permitted with 'count'."


def name_too_long(length: int, most: int) -> ApiError:
    """400; the misspelling is upstream's."""
    return rejected(400, f"Name segement longer than allowed: {length} > {most}.")


def namespace_too_long(length: int, most: int) -> ApiError:
    """400."""
    return rejected(400, f"Namespace longer than allowed: {length} > {most}.")


def activation_id_length(length: int) -> ApiError:
    """400."""
    return rejected(400, f"Activation id length is {length} but must be 32.")


# --- bodies -----------------------------------------------------------------------------------------------------------

NOT_AN_OBJECT = "JSON object expected"
NOT_AN_ENTITY = "Object expected in field 'exec'"
NESTED_TOO_DEEPLY = "JSON input nested too deeply"
NUMBER_TOO_LARGE = "JSON number out of range"
PAIRS_MALFORMED = "parameters malformed!"
VERSION_MALFORMED = "semantic version malformed"
NEGATIVE_SIZE = "requirement failed: a negative size of an object is not allowed."
EXEC_WITHOUT_KIND = "'kind' must be a string defined in 'exec'"
COMPONENTS_MISSING = "'components' must be defined for sequence kind"
COMPONENTS_NOT_A_LIST = "'components' must be an array"
ENTITY_NAME_MALFORMED = "entity name malformed"
NAME_MALFORMED = "fully qualified name malformed"
NAME_NOT_QUALIFIED = (
    "requirement failed: The fully qualified name of the entity must contain at least the namespace and the name of the entity."
)
IMAGE_MALFORMED = "could not parse image name"
CODE_NOT_BASE64 = "'code' looks like base64 but has white space around it, so that it can't be decoded"


def malformed(text: str) -> ApiError:
    """400: a body that can't be read or has fields of the wrong form."""
    return rejected(400, f"The request content was malformed:\n{text}")


def invalid(error: ValidationError, order: list[str]) -> ApiError:
    """400 for what a schema found: upstream reports the first field alone, in the order in which it reads them."""
    found = error.messages_dict
    for field in order:
        if field in found:
            return malformed(str(found[field][0]))
    return malformed(NOT_AN_ENTITY)


def wrong_content_type(given: str) -> ApiError:
    """415."""
    return rejected(415, f"The request's Content-Type [{given}] is not supported. Expected:\napplication/json")


def too_large(what: str, size: int, most: int) -> ApiError:
    """413 for parts of entities (`exec`, `parameters`, `annotations`) and the `Request` itself; bytes."""
    return failed(413, f"{what} larger than allowed: {size} > {most} bytes.")


# --- entities ---------------------------------------------------------------------------------------------------------

EXEC_UNDEFINED = "exec undefined"
NO_COMPONENT = "No component specified for the sequence."
IDEMPOTENCY_KEY_ILLEGAL = "The Idempotency-Key must be 1 to 256 printable characters."
IDEMPOTENCY_KEY_BUSY = "The invocation with this Idempotency-Key is still under way."
IDEMPOTENCY_KEY_REUSED = "The Idempotency-Key was used for an invocation with another body."
RESERVED_PARAMETERS = "Request defines parameters that are not allowed (e.g., reserved properties)."
PACKAGE_RESERVED = "Package name 'default' is reserved."
FEED_ILLEGAL = "Feed name is not valid"
RULE_INCOMPLETE = "rule requires a valid trigger and a valid action"
RULE_WITHOUT_TRIGGER = "Only rules with existing triggers can be activated"
RULE_STATUS_MISSING = "key not found: status"
CORRUPTED = "Resource is corrupted and cannot be read."


BINDING_MISSING = "Binding references a package that does not exist."
BINDING_OF_BINDING = "Cannot bind to another package binding."
NOT_ON_BINDING = "Operation not permitted on package binding."


def binding_to_other() -> ApiError:
    """409: what a binding names is no package."""
    return failed(409, "Cannot bind to a resource that is not a package.")


def package_stays() -> ApiError:
    """409."""
    return failed(409, "Resource is a package and cannot be converted into a binding.")


def circular_binding(package_id: str) -> ApiError:
    """422."""
    return failed(422, f"Package binding '{package_id}' contains a circular reference.")


def referent_missing(what: str, name: str) -> ApiError:
    """400: the trigger or action that a rule names."""
    return failed(400, f"{what} /{name} does not exist")


def referent_of_other_kind(found: str, expected: str) -> ApiError:
    """400: a rule names something else than a trigger or an action; upstream shows its classes."""
    place = "class org.apache.openwhisk.core.entity."
    return failed(400, f"document type {place}{found} did not match expected type {place}{expected}.")


def rule_status_no_text(status: object) -> ApiError:
    """400; upstream shows its classes."""
    text = msgspec.json.encode(status).decode()[:200]
    words = {"true": "JsTrue$", "false": "JsFalse$", "null": "JsNull$"}
    name = words.get(text) or {"[": "JsArray", "{": "JsObject"}.get(text[0], "JsNumber")
    return malformed(f"{text} (of class spray.json.{name})")


def rule_status_unknown(status: str) -> ApiError:
    """400."""
    return malformed(f"requirement failed: {status} is not a recognized rule state")


def exists_already() -> ApiError:
    """409: PUT without overwrite."""
    return failed(409, "resource already exists")


def other_collection() -> ApiError:
    """409: all collections of a namespace share one name space."""
    return failed(409, "Resource by this name exists but is not in this collection.")


def concurrent_change() -> ApiError:
    """409: somebody else wrote in between."""
    return failed(409, "Concurrent modification to resource detected.")


def package_not_empty(count: int) -> ApiError:
    """409."""
    entities = "1 entity" if count == 1 else f"{count} entities"
    return failed(409, f"Package not empty (contains {entities}). Set force param or delete package contents.")


def kind_unknown(kind: str, valid: str) -> str:
    """Text for a kind that the manifest lacks."""
    return f"The specified runtime '{kind}' is not supported by this platform. Valid values are: {valid}."


def kind_deprecated(kind: str) -> ApiError:
    """400."""
    text = f"The '{kind}' runtime is no longer supported. You may read and delete but not update or invoke this action."
    return failed(400, text)


def kind_forbidden(kind: str) -> ApiError:
    """403: not among the namespace's allowed kinds."""
    return failed(403, f"The supplied authentication is not authorized to access actions of kind '{kind}'.")


# --- limits of namespaces ---------------------------------------------------------------------------------------------


def too_many_requests(count: int, allowed: int) -> ApiError:
    """429: the namespace's rate."""
    return failed(429, f"Too many requests in the last minute (count: {count}, allowed: {allowed}).")


def too_many_concurrent(count: int, allowed: int) -> ApiError:
    """429: the namespace's unfinished invocations."""
    return failed(429, f"Too many concurrent requests in flight (count: {count}, allowed: {allowed}).")


# --- web actions ------------------------------------------------------------------------------------------------------

HTTP_MESSAGE = "message/http"
NO_PROPERTY = "Response does not include requested property."
CONTENT_TYPE_UNKNOWN = "Response did not specify a known content-type."
CONTENT_TYPE_MISMATCH = "Response type in header did not match generated content type."
PROCESSING_FAILED = "There was an error processing your request."
NOT_YET_READY = "Response not yet ready."
METHOD_UNSUPPORTED = "Unsupported HTTP method"


def not_valid_media(media_type: str) -> ApiError:
    """400: the action's result can't be shown as what was asked for."""
    return web_failed(400, f"Response is not valid '{media_type}'.")


def not_acceptable(content_type: str) -> ApiError:
    """406: the answer is of a type that the request's Accept header excludes."""
    return rejected(406, f"Resource representation is only available with these types:\n{content_type}")


def web_unauthorized() -> ApiError:
    """401: the action's `require-whisk-auth` is not met."""
    return web_failed(401, OPERATOR_MISSING)


# --- service ----------------------------------------------------------------------------------------------------------

INTERNAL = "There was an internal server error."
NOT_GIVEN_UP = "Only an activation that the platform gave up can be retried."
NOT_RETAINED = "What this activation was asked to do is not kept any more."
OVERLOADED = "The server is currently unavailable (because it is overloaded or down for maintenance)."
REQUEST_TOO_LARGE = "Request too large"


def unavailable(reason: str) -> ApiError:
    """503 with the reason."""
    return failed(503, reason or OVERLOADED)


def internal() -> ApiError:
    """500."""
    return failed(500, INTERNAL)


def uri_too_long(most: int) -> HttpLayerError:
    """414, plain text."""
    return HttpLayerError(414, f"URI length exceeds the configured limit of {most} characters")


def unsupported_method() -> HttpLayerError:
    """501, plain text: a method that HTTP itself doesn't know."""
    return HttpLayerError(501, METHOD_UNSUPPORTED)


def bad_percent(found: str, column: int) -> HttpLayerError:
    """400, plain text: `%` without two hex digits; `column` counts from 1."""
    unexpected = f"Invalid input '{found}'" if found else "Unexpected end of input"
    return HttpLayerError(400, f"Illegal request-target: {unexpected}, expected HEXDIG (line 1, column {column})")


def body_too_large() -> HttpLayerError:
    """400, plain text (upstream's status)."""
    return HttpLayerError(400, REQUEST_TOO_LARGE, close=True)


def body_too_slow(seconds: float) -> HttpLayerError:
    """408, plain text."""
    return HttpLayerError(408, f"The request body did not arrive within {seconds:g} seconds", close=True)
