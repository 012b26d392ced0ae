"""One answer: takes a slot, emits tokens at its pace, and misbehaves on the way when told to."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from hostler.testing.fake_engine import shapes
from hostler.testing.fake_engine.dialects import WORDS, Dialect, Ending
from hostler.testing.fake_engine.slots import Slot, Slots, Token, Waiting
from hostler.testing.fake_engine.switches import Switches
from hostler.testing.fake_engine.wire import Connection


@dataclass(frozen=True)
class Plan:
    """What is to be generated: ``total`` tokens, ended by a limit or by the model itself."""

    prompt: Sequence[Token]
    total: int
    limited: bool
    stream: bool
    wanted: int = -1
    reuse: bool = True
    pieces: Sequence[str] = ()


def crash(how: str) -> None:
    """End this process now, by a signal's name or an exit code."""
    if how.lstrip("-").isdigit():
        os._exit(int(how))
    os.kill(os.getpid(), signal.Signals[how])


class Generation:
    """Driven by the loop's callbacks alone: a task per answer would cost more than the answer.

    Ends by its last token, by the client's hang-up (noticed when the switches say) or by a crash; the slot
    is given back in the first two cases.
    """

    def __init__(self, connection: Connection, slots: Slots, totals: shapes.Totals) -> None:
        self._connection = connection
        self._slots = slots
        self._totals = totals
        self._loop = asyncio.get_running_loop()
        self._switches: Switches = connection.switches
        self._slot: Slot | None = None
        self._timer: asyncio.Handle | None = None
        self._done = 0
        self._started = False
        self._over = False

    def start(self, plan: Plan, dialect: Dialect) -> None:
        """Ask for a slot; everything else follows from the grant."""
        self._plan, self._dialect = plan, dialect
        self._connection.on_lost = self._lost
        self._connection.on_room = self._pump
        self._waiting = Waiting(self._granted, plan.prompt, plan.wanted)
        self._slots.ask(self._waiting)

    def _granted(self, slot: Slot) -> None:
        plan = self._plan
        self._slot = slot
        slot.begin(next(self._slots.tasks), plan.prompt, plan.total, plan.stream, plan.reuse)
        self._granted_at = self._loop.time()
        if self._switches.first_token_ms:
            self._timer = self._loop.call_later(self._switches.first_token_ms / 1e3, self._first)
        else:
            self._first()

    def _first(self) -> None:
        self._timer = None
        self._first_at = self._loop.time()
        if self._stopped_by_switch():
            return
        if self._plan.stream:
            self._connection.open_stream()
        self._started = True
        self._pump()

    def _stopped_by_switch(self) -> bool:
        if self._done == self._switches.crash_after:
            # Later, so that what was written before leaves this process.
            self._loop.call_later(0.01, crash, self._switches.crash)
            return True
        return self._done == self._switches.hang_after

    def _target(self) -> int:
        """How many tokens should be out now."""
        plan, switches = self._plan, self._switches
        target = plan.total
        if switches.rate:
            target = min(target, int((self._loop.time() - self._first_at) * switches.rate) + 1)
        elif plan.stream:
            target = min(target, self._done + switches.batch)
        for stop in (switches.crash_after, switches.hang_after):
            if self._done < stop:
                target = min(target, stop)
        return target

    def _pump(self) -> None:
        if self._over or not self._started or (self._plan.stream and not self._connection.has_room):
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._emit(self._target())
        if self._done >= self._plan.total:
            self._finish()
        elif not self._stopped_by_switch():
            self._wait()

    def _wait(self) -> None:
        if self._switches.rate:
            at = self._first_at + self._done / self._switches.rate
            self._timer = self._loop.call_at(max(at, self._loop.time()), self._pump)
        else:
            self._timer = self._loop.call_soon(self._pump)

    def _piece(self, index: int) -> str:
        if self._plan.pieces:
            return self._plan.pieces[index]
        if index == 0:
            return "\U0001f30a" if self._switches.lost_first_event else WORDS[0].lstrip()
        return WORDS[index % len(WORDS)]

    def _emit(self, target: int) -> None:
        slot = self._slot
        assert slot is not None
        if not self._plan.stream:
            self._done = slot.decoded_n = max(target, self._done)
            return
        frames: list[bytes] = []
        frame, token = self._connection.frame, self._dialect.token
        while self._done < target:
            slot.decoded_n = self._done + 1
            payload = token(self._piece(self._done), slot)
            if self._done == 0 and not self._switches.lost_first_event:
                payload = self._dialect.opening(slot) + payload
            frames.append(frame(payload))
            self._done += 1
        if frames:
            self._connection.send(b"".join(frames))

    def _finish(self) -> None:
        slot = self._slot
        assert slot is not None
        self._over = True
        now = self._loop.time()
        prompt_ms = max((self._first_at - self._granted_at) * 1e3, 0.001)
        predicted_ms = max((now - self._first_at) * 1e3, 0.001)
        self._totals.add(slot, prompt_ms, predicted_ms)
        end = Ending(slot, self._plan.limited, shapes.timings(slot, prompt_ms, predicted_ms))
        text = "".join(self._piece(index) for index in range(self._plan.total))
        # Everything is said before the slot goes on to the next, which overwrites its counters.
        if self._plan.stream:
            last = b"".join(map(self._connection.frame, self._dialect.closing(text, end)))
            self._slots.release(slot)
            self._connection.send(last)
            self._connection.end_stream()
        else:
            body = shapes.dump(self._dialect.whole(text, end))
            self._slots.release(slot)
            self._connection.answer(200, body)

    def _lost(self) -> None:
        if self._switches.hangup_s > 0:
            self._loop.call_later(self._switches.hangup_s, self._cancel)
        elif self._switches.hangup_s == 0:
            self._cancel()

    def _cancel(self) -> None:
        if self._over:
            return
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._slot is None:
            self._slots.forget(self._waiting)
        else:
            self._slots.release(self._slot)
