"""Who hears of a stream's activations in a cluster: callers of this process, and the topic that they may come from."""

from __future__ import annotations

from messages.wire import ActivationRecord
from transport.feed import Feed
from transport.local import LocalAnswers


class StreamAnswers:
    """An AnswerPort for both. `feed` is set when the topic is read."""

    def __init__(self, local: LocalAnswers) -> None:
        self._local = local
        self.feed: Feed | None = None

    def accepted(self, activation_id: str) -> None:
        """AnswerPort.accepted."""
        self._local.accepted(activation_id)
        if self.feed is not None:
            self.feed.accepted(activation_id)

    def refused(self, activation_id: str, reason: str, status: int) -> None:
        """AnswerPort.refused."""
        self._local.refused(activation_id, reason, status)
        if self.feed is not None:
            self.feed.refused(activation_id, reason, status)

    def finished(self, activation_id: str, record: ActivationRecord) -> None:
        """AnswerPort.finished."""
        self._local.finished(activation_id, record)
