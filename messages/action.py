"""An action's document as the store keeps it (upstream's shape) and the form in which an invoker runs it."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from messages.wire import KeyValue, Limits, Wire


class Exec(Wire, frozen=True):
    """What an action executes. `code` is text, base64 if `binary`; sequences have `components`, blackboxes an `image`."""

    kind: str
    code: str | UnsetType = UNSET
    binary: bool | UnsetType = UNSET
    main: str | UnsetType = UNSET
    image: str | UnsetType = UNSET
    components: list[str] | UnsetType = UNSET


class ActionDoc(Wire, frozen=True):
    """The stored action. `namespace` is the path (`ns` or `ns/package`); `updated` epoch ms."""

    namespace: str
    name: str
    exec: Exec
    limits: Limits
    version: str
    publish: bool
    annotations: list[KeyValue]
    parameters: list[dict[str, Any]]
    updated: int | UnsetType = UNSET


class Executable(Struct, frozen=True):
    """All that running an action takes; made once per action revision and cached."""

    fqn: str
    revision: str
    version: str
    kind: str
    main: str
    code: str
    binary: bool
    image: str
    limits: Limits
    provide_api_key: bool
    replay: str
    user_image: bool = False

    @property
    def slots(self) -> int:
        """How many activations one container runs at a time: its limit, but one where the runtime can't, as Python's, upstream's
        own too (it mixes up answers)."""
        return 1 if self.kind.startswith("python:") else self.limits.concurrency

    @property
    def key(self) -> tuple[str, str]:
        """What makes two activations share a warm container, beside the calling namespace."""
        return (self.fqn, self.revision)


def annotation(annotations: list[KeyValue], key: str, default: object = None) -> Any:
    """The value of an annotation; of duplicates the last."""
    found = default
    for pair in annotations:
        if pair.key == key:
            found = pair.value
    return found


def executable(doc: ActionDoc, revision: str) -> Executable:
    """The runnable form of a stored action.

    The caller's key is provided unless the annotation `provide-api-key` is there and not truthy (upstream's rule);
    `replay: never` asks that code which had started is not run again after a crash, anything else means `rerun`.
    """
    code, main, image = (value if isinstance(value, str) else "" for value in (doc.exec.code, doc.exec.main, doc.exec.image))
    return Executable(
        fqn=f"{doc.namespace}/{doc.name}",
        revision=revision,
        version=doc.version,
        kind=doc.exec.kind,
        main=main or "main",
        code=code,
        binary=doc.exec.binary is True,
        image=image,
        limits=doc.limits,
        provide_api_key=bool(annotation(doc.annotations, "provide-api-key", True)),
        replay="never" if annotation(doc.annotations, "replay") == "never" else "rerun",
        user_image=doc.exec.kind == "blackbox",
    )


decode_action = msgspec.json.Decoder(ActionDoc).decode
