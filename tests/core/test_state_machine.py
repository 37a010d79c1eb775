"""Random conversations on the pure core, with crashes at every point."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase as HypothesisPhase
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec import Raw

from parlour.errors import Refused
from parlour.events import (
    Answer,
    Assign,
    CellWritten,
    Close,
    Command,
    CostAdded,
    Event,
    EventDropped,
    FileRef,
    MessageAdded,
    MessagesTaken,
    PlaceTaken,
    QuestionAnswered,
    QuestionAsked,
    QuestionClosed,
    ReminderCancelled,
    ReminderSet,
    Rename,
    RoundFinished,
    RoundResumed,
    Say,
    SessionClosed,
    Signal,
    StepFinished,
    StepRaised,
    StepStarted,
    Stop,
    TimerSet,
    TitleSet,
    UnknownEvent,
    UserVariableSet,
    VariableDeleted,
    VariableSet,
    WorkCancelled,
    WorkEnded,
    WorkStarted,
    decode_chunk,
    encode_chunk,
    encode_event,
)
from parlour.settings import Limits
from parlour.state import (
    Phase,
    Rules,
    State,
    Window,
    decide,
    decode_snapshot,
    encode_snapshot,
    evolve,
    evolve_all,
    finish_round,
    fold,
    next_round,
    open_session,
    overdue,
)
from strategies import questions, raws, texts, unknown_events

WINDOW = Window(messages=4, bytes=40, commands=10)
SLACK = 31
"""So many messages more than the window's may be at hand."""
LIMITS = Limits(
    message_bytes=60,
    value_bytes=200,
    variables_bytes=400,
    files_per_message=2,
    files_per_session=5,
    queued_messages=3,
)
CAUSES = ("open", "message", "signal", "change", "stop", "close")
STATUSES = ("done", "failed", "stopped", "diverged")

files = st.lists(st.builds(FileRef, name=texts, size=st.integers(0, 99)), max_size=3).map(tuple)
names = st.sampled_from(["a", "b", "c"])


def running(machine: Conversation) -> bool:
    return machine.state.phase is Phase.RUNNING


def asking(machine: Conversation) -> bool:
    return machine.state.round is not None and bool(machine.state.round.questions)


def names_command(event: Event, command: Command) -> bool:
    return getattr(event, "command", "") == command.id


class Conversation(RuleBasedStateMachine):
    """A session as an engine drives it: every change is an event, applied and kept."""

    sent = Bundle("sent")
    begun = Bundle("begun")

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_700_000_000.0
        self.state = State(window=WINDOW)
        self.log: list[tuple[Event | UnknownEvent, float]] = []
        self.states = [self.state]
        self.first: dict[str, int] = {}
        self.said: list[str] = []
        self.paths = 0
        self.ids = 0
        self.rules = Rules(limits=LIMITS)

    def commit(self, *events: Event | UnknownEvent) -> None:
        before = self.state
        for event in events:
            self.state = evolve(self.state, event, self.now)
            if isinstance(event, MessageAdded | QuestionAsked | QuestionAnswered):
                self.said.append(event.text)
            self.log.append((event, self.now))
            self.states.append(self.state)
        if not any(isinstance(event, UnknownEvent) for event in events):
            assert evolve_all(before, events, self.now) == self.state

    def path(self, kind: str) -> str:
        self.paths += 1
        return f"{kind}#{self.paths}"

    def new_id(self) -> str:
        self.ids += 1
        return f"c{self.ids}"

    def send(self, command: Command) -> None:
        known = self.state.recent.seq(command.id)
        if known is not None:
            assert self.first[command.id] == known
            return
        before = self.state
        try:
            events = decide(before, command, self.rules, self.now)
        except Refused:
            return
        if not events:
            return
        named = [place for place, event in enumerate(events, 1) if names_command(event, command)]
        self.first[command.id] = before.seq + named[0]
        self.commit(*events)
        self.commit(*next_round(self.state))
        assert self.state.recent.seq(command.id) is not None

    # -- the client's side ------------------------------------------------------------------

    @initialize(
        causes=st.sets(st.sampled_from(CAUSES)),
        incoming=st.sampled_from(["queue", "steer", "interrupt", "refuse"]),
    )
    def open(self, causes, incoming):
        self.rules = Rules(limits=LIMITS, incoming=incoming, causes=frozenset({"message"} | causes))
        self.first["open"] = 1
        self.commit(*open_session("u1", "open", self.rules.causes))

    @rule(target=sent, text=texts, files=files)
    def say(self, text, files):
        command = Say(id=self.new_id(), text=text, files=files)
        self.send(command)
        return command

    @rule(
        target=sent,
        value=st.none() | raws,
        text=texts,
        files=files,
        which=st.integers(-1, 40),
    )
    def answer(self, value, text, files, which):
        command = Answer(id=self.new_id(), question=which, value=value, text=text, files=files)
        self.send(command)
        return command

    @precondition(asking)
    @rule(
        target=sent,
        value=st.sampled_from([b"true", b"3", b'"2026-11-21"', b'"x"', b"[]", b"{}", b"null"]).map(
            Raw
        ),
        files=files,
    )
    def answer_well(self, value, files):
        command = Answer(id=self.new_id(), value=value, files=files)
        self.send(command)
        return command

    @rule(target=sent, number=st.integers(0, 6))
    def stop(self, number):
        command = Stop(id=self.new_id(), round=number)
        self.send(command)
        return command

    @rule(target=sent, name=names, data=raws)
    def signal(self, name, data):
        command = Signal(id=self.new_id(), name=name, data=data)
        self.send(command)
        return command

    @rule(target=sent, name=names, value=st.none() | raws)
    def assign(self, name, value):
        command = Assign(id=self.new_id(), name=name, value=value)
        self.send(command)
        return command

    @rule(target=sent, title=texts)
    def rename(self, title):
        command = Rename(id=self.new_id(), title=title)
        self.send(command)
        return command

    @precondition(lambda machine: len(machine.log) > 12)
    @rule(reason=st.sampled_from(["closed", "expired"]))
    def close(self, reason):
        self.send(Close(id=self.new_id(), reason=reason))

    @rule(command=sent)
    def repeat(self, command):
        """A client that does not know whether it arrived."""
        known = self.state.recent.seq(command.id)
        before = self.state
        self.send(command)
        if known is not None:
            assert self.state is before

    # -- the handler's side -----------------------------------------------------------------

    @precondition(running)
    @rule(text=texts, files=files)
    def reply(self, text, files):
        self.commit(MessageAdded(role="bot", text=text, files=files, path=self.path("reply")))

    @precondition(running)
    @rule(name=names, value=raws)
    def set(self, name, value):
        self.commit(VariableSet(name=name, value=value, path=self.path("set")))

    @precondition(running)
    @rule(name=names)
    def delete(self, name):
        self.commit(VariableDeleted(name=name, path=self.path("delete")))

    @precondition(running)
    @rule(title=texts)
    def set_title(self, title):
        self.commit(TitleSet(title=title, path=self.path("title")))

    @precondition(running)
    @rule(name=names, value=raws)
    def set_for_user(self, name, value):
        self.commit(UserVariableSet(name=name, value=value, path=self.path("user.set")))

    @precondition(running)
    @rule(value=raws, fails=st.booleans())
    def step(self, value, fails):
        path = self.path("step")
        if fails:
            self.commit(StepRaised(path=path, error="OSError", reason="broken"))
        else:
            self.commit(StepFinished(path=path, digest="00", value=value))

    @precondition(running)
    @rule(target=begun)
    def begin_step(self):
        path = self.path("step")
        self.commit(StepStarted(path=path, digest="00"))
        return self.state.rounds, path

    @precondition(running)
    @rule(begun=consumes(begun), value=raws, fails=st.booleans())
    def end_step(self, begun, value, fails):
        number, path = begun
        if number != self.state.rounds:
            return
        if fails:
            self.commit(StepRaised(path=path, error="OSError", reason="broken"))
        else:
            self.commit(StepFinished(path=path, value=value))

    @precondition(running)
    @rule(question=questions, text=texts, wait=st.none() | st.floats(0, 50))
    def ask(self, question, text, wait):
        deadline = None if wait is None else self.now + wait
        self.commit(
            QuestionAsked(path=self.path("ask"), text=text, question=question, deadline=deadline)
        )

    @precondition(asking)
    @rule(which=st.integers(0, 9))
    def withdraw(self, which):
        assert self.state.round is not None
        seqs = list(self.state.round.questions)
        self.commit(QuestionClosed(question=seqs[which % len(seqs)], reason="withdrawn"))

    @precondition(running)
    @rule(wait=st.floats(0, 50))
    def sleep(self, wait):
        self.commit(TimerSet(path=self.path("sleep"), due=self.now + wait))

    @precondition(running)
    @rule(name=names, wait=st.floats(0, 50), data=raws)
    def remind(self, name, wait, data):
        due = self.now + wait
        self.commit(ReminderSet(path=self.path("remind"), name=name, due=due, data=data))

    @precondition(running)
    @rule(name=names)
    def cancel_reminder(self, name):
        self.commit(ReminderCancelled(path=self.path("unremind"), name=name))

    @precondition(running)
    @rule(name=names, data=raws)
    def work(self, name, data):
        self.commit(WorkStarted(path=self.path("work"), name=name, data=data))

    @precondition(running)
    @rule(work=st.integers(1, 30))
    def cancel_work(self, work):
        self.commit(WorkCancelled(path=self.path("unwork"), work=work))

    @rule(value=raws, error=st.sampled_from(["", "OSError"]))
    def end_work(self, value, error):
        if self.state.work:
            self.commit(WorkEnded(work=min(self.state.work), value=value, error=error))
            self.commit(*next_round(self.state))

    @precondition(running)
    @rule(place=raws, where=texts)
    def move(self, place, where):
        self.commit(PlaceTaken(path=self.path("place"), place=place, target=where))

    @precondition(running)
    @rule(name=names)
    def drop(self, name):
        self.commit(EventDropped(path=self.path("drop"), name=name))

    @precondition(running)
    @rule(count=st.integers(0, 3))
    def take(self, count):
        waiting = [item.said.seq for item in self.state.queue if item.cause == "message"]
        self.commit(MessagesTaken(path=self.path("take"), sources=tuple(waiting[:count])))

    @precondition(running)
    @rule(code=st.text(max_size=20))
    def cell(self, code):
        self.commit(CellWritten(path=self.path("code"), code=code))

    @precondition(running)
    @rule(tokens=st.integers(0, 99))
    def cost(self, tokens):
        self.commit(CostAdded(path=self.path("cost"), input_tokens=tokens))

    @precondition(running)
    @rule()
    def resume(self):
        assert self.state.round is not None
        before = self.state.round.resumptions
        self.commit(RoundResumed(round=self.state.rounds))
        assert self.state.round.resumptions == before + 1

    @precondition(running)
    @rule(status=st.sampled_from(STATUSES), again=st.booleans())
    def finish(self, status, again):
        running = self.state.round
        assert running is not None
        self.commit(*finish_round(self.state, status, again=again, detail="secret"))
        self.commit(*next_round(self.state))
        if again:
            assert self.state.round is not None
            assert self.state.round.number == running.number + 1
            assert self.state.round.source == running.source
            assert self.state.round.cause == running.cause
        elif running.cause == "close":
            assert self.state.phase is Phase.CLOSED

    # -- the world's side -------------------------------------------------------------------

    @rule(seconds=st.floats(0, 30))
    def wait(self, seconds):
        self.now += seconds
        self.commit(*overdue(self.state, self.now))
        self.commit(*next_round(self.state))
        assert overdue(self.state, self.now) == []
        assert self.state.due is None or self.state.due > self.now

    @rule(event=unknown_events)
    def pass_through(self, event):
        before = self.state
        self.commit(event)
        assert self.state.seq == before.seq + 1
        assert self.state.round is before.round

    @rule()
    def crash(self):
        """Another worker folds the log."""
        self.state = self.refolded()

    @rule()
    def crash_with_snapshot(self):
        """Another worker reads the snapshot."""
        found = decode_snapshot(encode_snapshot(self.state), WINDOW)
        assert found == self.state
        self.state = found

    def refolded(self) -> State:
        chunk = decode_chunk(encode_chunk(encode_event(event) for event, _ in self.log))
        times = [at for _, at in self.log]
        return fold(zip(chunk, times, strict=True), State(window=WINDOW))

    # -- what always holds ------------------------------------------------------------------

    @invariant()
    def records_are_numbered_without_a_gap(self):
        assert self.state.seq == len(self.log)

    @invariant()
    def a_round_runs_exactly_while_the_phase_says_so(self):
        assert (self.state.round is not None) == (self.state.phase is Phase.RUNNING)
        if self.state.round is not None:
            assert self.state.round.number == self.state.rounds

    @invariant()
    def nothing_waits_while_nothing_runs(self):
        assert self.state.phase is not Phase.IDLE or not self.state.queue

    @invariant()
    def what_waits_is_in_the_order_of_arrival(self):
        seqs = [item.said.seq for item in self.state.queue]
        assert seqs == sorted(set(seqs))

    @invariant()
    def what_waits_in_a_round_is_in_its_journal(self):
        running = self.state.round
        if running is None:
            return
        for seq, path in running.questions.items():
            assert running.journal[path].seq == seq
            assert running.journal[path].outcome is None
        for path in running.timers:
            assert running.journal[path].outcome is None

    @invariant()
    def the_newest_messages_are_at_hand_and_few_more(self):
        spoken = [said.text for said in self.state.heard.messages]
        assert len(spoken) <= WINDOW.messages + SLACK
        assert sum(map(len, spoken[:-SLACK])) <= WINDOW.bytes
        assert spoken == self.said[len(self.said) - len(spoken) :]
        assert len(spoken) >= min(len(self.said), WINDOW.messages) or (
            sum(map(len, self.said[-len(spoken) - 1 :])) > WINDOW.bytes
        )

    @invariant()
    def the_variables_are_counted(self):
        stored = self.state.variables.items()
        assert self.state.used == sum(len(key) + len(bytes(item.value)) for key, item in stored)

    @invariant()
    def the_newest_commands_are_remembered_with_their_place(self):
        recent = self.state.recent
        newest = sorted(self.first.items(), key=lambda item: item[1])[-WINDOW.commands // 2 :]
        for id_, seq in newest:
            assert recent.seq(id_) == seq
        held = len(recent.new) + len(recent.young) + len(recent.old)
        assert held <= WINDOW.commands + SLACK

    def teardown(self) -> None:
        """Every prefix of the log is a legal log, and from every snapshot the rest goes on."""
        events: list[Any] = decode_chunk(encode_chunk(encode_event(event) for event, _ in self.log))
        assert events == [event for event, _ in self.log]
        tail = list(zip(events, [at for _, at in self.log], strict=True))
        for place, live in enumerate(self.states):
            assert fold(tail[:place][-1:], self.states[max(0, place - 1)]) == live
            snapshot = decode_snapshot(encode_snapshot(live), WINDOW)
            assert snapshot is not None
            assert (
                fold(tail[place : place + 8], snapshot) == (self.states[min(place + 8, len(tail))])
            )
        assert self.refolded() == self.states[-1]
        closed = [place for place, (event, _) in enumerate(tail) if type(event) is SessionClosed]
        assert len(closed) <= 1
        rest = tail[closed[0] + 1 :] if closed else []
        assert all(isinstance(event, UnknownEvent | TitleSet) for event, _ in rest)
        started = sum(type(event).__name__ == "RoundStarted" for event, _ in tail)
        ended = sum(type(event) is RoundFinished for event, _ in tail)
        assert started == self.state.rounds
        assert started - ended == (self.state.phase is Phase.RUNNING)


@pytest.mark.promise("P2")
@pytest.mark.promise("P4")
def test_after_any_conversation_and_any_crash_the_folded_log_is_the_live_state():
    run_state_machine_as_test(
        Conversation,
        # Shrinking forty steps takes minutes, and those that fail can be read as they are.
        settings=settings(
            max_examples=100,
            stateful_step_count=40,
            phases=[HypothesisPhase.reuse, HypothesisPhase.generate],
            report_multiple_bugs=False,
        ),
    )
