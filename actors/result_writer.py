"""ResultWriter: journals how an activation ended, answers who waits for it, and writes its record.

Order is the contract: nothing of a result leaves before its `finished` is durable; the record is written after that, so
what a caller was told is what the record says. ENDING is the table of what has happened so far to one activation's end.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import UNSET

from actors import endings
from actors.base import NodeActor, StreamServices, step
from actors.system import Restarted
from messages.commands import Acknowledged, Completed, Ended, FinishedDurable, Logs, LookedUp, RecordWritten, Redo, Repeated
from messages.events import Acked, Finished, Recorded
from messages.lifecycle import UNENDED, Stage
from messages.record import answered, record_of, storable
from messages.states import State
from messages.wire import ActivationMessage, ActivationRecord, decode_message


class End(State):
    """How far the end of an activation has come."""

    JOURNALING = "journaling"
    COLLECTING = "collecting"
    WRITING = "writing"
    OVER = "over"


ENDING: dict[End, dict[str, End]] = {
    End.JOURNALING: {"durable": End.COLLECTING},
    End.COLLECTING: {"logs": End.WRITING},
    End.WRITING: {"written": End.OVER},
    End.OVER: {},
}


class Ending:
    """One activation on its way to its record. `logs` None: not there yet; `redone`: it ended in an earlier process."""

    __slots__ = ("acked", "cid", "finished", "logs", "message", "redone", "state")

    def __init__(self, message: ActivationMessage, finished: Finished, logs: list[str] | None, cid: int) -> None:
        self.message = message
        self.finished = finished
        self.logs = logs
        self.cid = cid
        self.state = End.JOURNALING
        self.acked = False
        self.redone = False


class ResultWriter(NodeActor):
    """One per node."""

    def __init__(self, services: StreamServices) -> None:
        super().__init__(services)
        self.endings: dict[str, Ending] = {}

    def __repr__(self) -> str:
        return f"<ResultWriter {len(self.endings)} ending>"

    def on_ended(self, message: Ended) -> None:
        """Journal it first. A second end of the same activation is a bug somewhere: the first one counts."""
        if self.services.journal.stage(message.finished.id) not in UNENDED:
            self.services.instrument("ended twice", {"activation_id": message.finished.id})
            return
        finished = storable(message.finished)
        self.endings[message.finished.id] = Ending(message.message, finished, message.logs, message.cid)
        self.services.journal.append(finished, self.told(FinishedDurable(message.finished.id)))

    def on_redo(self, message: Redo) -> None:
        """It had finished in an earlier process: only what is missing is done again."""
        if message.recorded:
            ending = Ending(message.message, message.finished, [], -1)
            if not self._acknowledge(ending, self._record(ending, []), ran=True):
                self._ack(message.message)
            return
        limits = message.finished.limits
        logs = endings.logs_lost(self.services.clock.wall_ms()) if limits is not UNSET and limits.logs else []
        ending = Ending(message.message, message.finished, logs, -1)
        ending.acked, ending.redone = message.acked, True
        self.endings[message.finished.id] = ending
        self._durable(ending)

    def on_finished_durable(self, message: FinishedDurable) -> None:
        """The result may leave."""
        ending = self.endings.get(message.activation_id)
        if ending is None:
            self._redo_live(message.activation_id)
        elif ending.state is End.JOURNALING:
            self._durable(ending)

    def _durable(self, ending: Ending) -> None:
        self._step(ending, "durable")
        activation_id = ending.finished.id
        record = self._record(ending, ending.logs or [])
        if ending.cid >= 0:
            self.services.settled(ending.cid, activation_id)
        if not ending.acked:
            self.services.answers.finished(activation_id, answered(record))
            if not self._acknowledge(ending, answered(record), ran=ending.cid >= 0 or ending.redone):
                self._ack(ending.message)
        self._remember(activation_id)
        self.send(self.services.directory.router, Completed(activation_id))
        self.services.instrument("finished", {"finished": ending.finished, "message": ending.message})
        if ending.logs is not None:
            self._write(ending, record)

    def _acknowledge(self, ending: Ending, record: ActivationRecord, *, ran: bool) -> bool:
        """Whether a controller is told, and `acked` waits for that."""
        live = self.services.journal.live.get(ending.finished.id)
        if self.services.acks is None or live is None or live.topic is None:
            return False
        self.services.acks.finished(ending.message, ending.finished, record, ran=ran, more=ending.logs is None)
        return True

    def on_acknowledged(self, message: Acknowledged) -> None:
        """Its controller knows."""
        if self.services.journal.stage(message.activation_id) in (Stage.FINISHED, Stage.RECORDED):
            self.services.journal.append(Acked(message.activation_id, self.services.clock.wall_ms()), lazy=True)

    def _remember(self, activation_id: str) -> None:
        now, ended = self.services.clock.monotonic(), self.services.ended
        ended[activation_id] = now
        while next(iter(ended.values())) < now - self.services.rules.remember:
            del ended[next(iter(ended))]

    def _ack(self, message: ActivationMessage) -> None:
        if not self.services.held(message):
            self.services.journal.append(Acked(message.activation_id, self.services.clock.wall_ms()), lazy=True)

    def on_logs(self, message: Logs) -> None:
        """The log lines of a run: with `finished` durable they complete the record."""
        ending = self.endings.get(message.activation_id)
        if ending is None or ending.logs is not None or ending.cid != message.cid:
            return
        ending.logs = message.lines
        if ending.state is End.COLLECTING:
            self._write(ending, self._record(ending, message.lines))

    def on_repeated(self, message: Repeated) -> None:
        """The answer is here from when `finished` is durable until the record is in the store; before that it will come."""
        activation_id = message.activation_id
        ending = self.endings.get(activation_id)
        if ending is not None:
            if ending.state is not End.JOURNALING:
                self._answer(answered(self._record(ending, [])), message)
            elif message.posted and self.services.acks is not None:
                self.services.acks.joined(activation_id)
            return

        def found(record: ActivationRecord | None) -> None:
            self.reply(LookedUp(activation_id, record, message))

        self.services.records.lookup(message.message.user.namespace.name, activation_id, found)

    def on_looked_up(self, message: LookedUp) -> None:
        """The stored record answers, without its logs as any answer."""
        record = message.record
        self._answer(None if record is None else answered(record), message.asked)

    def _answer(self, record: ActivationRecord | None, asked: Repeated) -> None:
        if record is not None:
            self.services.answers.finished(asked.activation_id, record)
        if asked.posted and self.services.acks is not None:
            self.services.acks.again(asked.message, record)

    def _record(self, ending: Ending, logs: list[str]) -> ActivationRecord:
        return record_of(ending.message, ending.finished, logs)

    def _write(self, ending: Ending, record: ActivationRecord) -> None:
        self._step(ending, "logs")
        if self.services.acks is not None:
            self.services.acks.collected(ending.finished.id)
        self.services.records.write(record, self.told(RecordWritten(ending.finished.id)))

    def on_record_written(self, message: RecordWritten) -> None:
        """The record is there, now or from before."""
        ending = self.endings.pop(message.activation_id, None)
        if ending is not None:
            self._step(ending, "written")
            self.services.journal.append(Recorded(message.activation_id, self.services.clock.wall_ms()), lazy=True)

    def _redo_live(self, activation_id: str) -> None:
        """Go on with one whose `finished` is durable, by what was journaled of it since, durable or not."""
        live, stage = self.services.journal.live.get(activation_id), self.services.journal.stage(activation_id)
        if live is not None and live.finished is not None and stage is not Stage.UNKNOWN:
            recorded, acked = stage is Stage.RECORDED, stage is Stage.ACKED
            self.on_redo(Redo(decode_message(live.message), live.finished, recorded, acked))

    def on_restarted(self, message: Restarted) -> None:
        """A bug ended the instance before: go on from the journal's state, and from the message that did it."""
        for activation_id in list(self.services.journal.live):
            self._redo_live(activation_id)
        ended = message.message
        if isinstance(ended, Ended) and self.services.journal.stage(ended.finished.id) in UNENDED:
            now = self.services.clock.wall_ms()
            error = endings.failed(ended.message, None, 3, endings.NOT_RUN, now, ended.finished.attempts)
            self.on_ended(Ended(ended.message, error, [], ended.cid))

    def _step(self, ending: Ending, event: str) -> None:
        ending.state = step(ENDING, "ending", ending.finished.id, ending.state, event)

    HANDLERS: ClassVar = {
        Ended: on_ended,
        Redo: on_redo,
        FinishedDurable: on_finished_durable,
        Logs: on_logs,
        RecordWritten: on_record_written,
        Repeated: on_repeated,
        Acknowledged: on_acknowledged,
        LookedUp: on_looked_up,
        Restarted: on_restarted,
    }
