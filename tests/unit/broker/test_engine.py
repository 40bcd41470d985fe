"""The rules of queues, by scenarios and by a model of what may never be lost or doubled."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import structs

from broker.engine import Engine, Handed, topic_pattern
from broker.errors import NoSuchQueue, QueueBusy
from broker.port import DEAD_KEY, DEAD_QUEUE, DEAD_REASON, DELIVERY_LIMIT, Message
from broker.topology import Binding, Exchange, Policy, Queue, Rules, Topology

LIMIT = 2


def layout(dead_exchange: str = "", dead_key: str = "", **rules: Rules) -> Topology:
    """One queue per rule set, bound to `in` by its name; what dies in one goes where the first two say."""
    queues = {**rules, "dead": Rules()}
    return Topology(
        exchanges=(Exchange(name="in", alternate="rest"), Exchange(name="rest"), Exchange(name="lone")),
        queues=(
            *(
                Queue(name=name, quorum=True, policy=name, dead_exchange=dead_exchange, dead_key=dead_key)
                for name in rules
            ),
            Queue(name="dead", quorum=True, policy="dead"),
            Queue(name="kept", quorum=True, policy="dead"),
        ),
        bindings=(
            *(Binding(source="in", pattern=f"{name}.#", destination=name) for name in queues),
            Binding(source="rest", pattern="#", destination="kept"),
        ),
        policies=tuple(Policy(name=name, pattern=name, rules=each) for name, each in queues.items()),
        permissions=(),
    )


def message(name: str, key: str = "q.x", size: int = 0) -> Message:
    return Message(key, bytes(size), {}, name)


def engine(dead_exchange: str = "", dead_key: str = "", **rules: object) -> Engine:
    return Engine(layout(dead_exchange, dead_key, q=Rules(**rules)))  # type: ignore[arg-type]


def ids(handed: list[Handed]) -> list[str]:
    return [each.entry.message.id for each in handed]


@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        ("B11.#", "B11.B12.A11.A12.batch", True),
        ("B11.#", "B11", True),
        ("B11.#", "B110.x", False),
        ("#", "", True),
        ("#", "a.b", True),
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.b.b.c", False),
        ("a.*.c", "a..c", True),
        ("a.b", "axb", False),
    ],
)
def test_topic_patterns_match_whole_words(pattern: str, key: str, matches: bool) -> None:
    assert (topic_pattern(pattern).fullmatch(key) is not None) == matches


@pytest.mark.parametrize("pattern", ["#.a", "a#", "a.#.b"])
def test_other_places_for_any_number_of_words_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(pattern))):
        topic_pattern(pattern)


def test_what_no_binding_matches_goes_to_the_alternate_exchange() -> None:
    broker = engine()
    assert broker.publish("in", message("1", "nobody"), 0.0).routed
    assert broker.depth("kept") == 1
    assert not broker.publish("lone", message("2", "nobody"), 0.0).routed


def test_a_queue_bound_twice_gets_one_copy() -> None:
    twice = layout(q=Rules())
    more = Binding(source="in", pattern="#", destination="q")
    broker = Engine(
        Topology(
            **{name: getattr(twice, name) for name in twice.__struct_fields__} | {"bindings": (*twice.bindings, more)}
        )
    )
    broker.publish("in", message("1"), 0.0)
    assert broker.depth("q") == 1


def test_bindings_that_lead_in_a_circle_end_and_change() -> None:
    made = layout(q=Rules())
    ring = [Binding(source=one, pattern="r.#", destination=two, to_exchange=True) for one, two in ("ab", "ba")]
    exchanges = (*made.exchanges, Exchange(name="a"), Exchange(name="b"))
    broker = Engine(structs.replace(made, exchanges=exchanges, bindings=(*made.bindings, *ring)))
    assert not broker.publish("a", message("1", "r.x"), 0.0).routed
    broker.bind("b", "r.#", "q", to_exchange=False, bound=True)
    assert broker.publish("a", message("2", "r.x"), 0.0).routed
    broker.bind("a", "r.#", "b", to_exchange=True, bound=False)
    assert not broker.publish("a", message("3", "r.x"), 0.0).routed
    assert broker.depth("q") == 1


def test_consumers_take_turns_within_their_prefetch() -> None:
    broker = engine()
    one, two = broker.subscribe("q", 2, False), broker.subscribe("q", 1, False)
    for number in range(5):
        broker.publish("in", message(str(number)), 0.0)
    handed = broker.take()
    assert Counter(each.consumer for each in handed) == {one: 2, two: 1}
    assert ids(handed) == ["0", "1", "2"]
    assert broker.ack(handed[0].consumer, handed[0].tag)
    assert ids(broker.take()) == ["3"]


def test_what_comes_back_is_delivered_before_the_rest_and_counted() -> None:
    broker = engine()
    consumer = broker.subscribe("q", 1, False)
    for name in ("1", "2"):
        broker.publish("in", message(name), 0.0)
    (first,) = broker.take()
    assert broker.release(consumer, first.tag, 0.0)
    (again,) = broker.take()
    assert (again.entry.message.id, again.entry.count) == ("1", 1)
    assert not broker.ack(consumer, first.tag), "settled under its first tag"


def test_a_lost_consumers_messages_come_back_in_order() -> None:
    broker = engine()
    lost = broker.subscribe("q", 3, False)
    for name in "123":
        broker.publish("in", message(name), 0.0)
    taken = broker.take()
    broker.unsubscribe(lost, 0.0)
    assert not broker.holds(lost, taken[0].tag)
    broker.subscribe("q", 3, False)
    assert ids(broker.take()) == ["1", "2", "3"]


def test_a_message_back_too_often_is_a_dead_letter_that_says_why() -> None:
    broker = engine(delivery_limit=LIMIT, dead_exchange="in", dead_key="dead.x")
    consumer = broker.subscribe("q", 1, False)
    broker.publish("in", message("1"), 0.0)
    counts = []
    while handed := broker.take():
        counts.append(handed[0].entry.count)
        broker.release(consumer, handed[0].tag, 0.0)
    assert counts == [0, 1, 2]
    broker.subscribe("dead", 1, False)
    (dead,) = broker.take()
    assert dict(dead.entry.message.headers) == {DEAD_REASON: DELIVERY_LIMIT, DEAD_QUEUE: "q", DEAD_KEY: "q.x"}


def test_an_expired_message_keeps_its_key_where_no_other_is_given() -> None:
    made = layout("again", q=Rules(message_seconds_max=1.0))
    broker = Engine(
        Topology(
            exchanges=(*made.exchanges, Exchange(name="again")),
            queues=made.queues,
            bindings=(*made.bindings, Binding(source="again", pattern="q.x", destination="dead")),
            policies=made.policies,
            permissions=(),
        )
    )
    broker.publish("in", message("1"), 5.0)
    assert broker.next_expiry() == 6.0
    broker.expire(5.9)
    assert broker.depth("q") == 1
    broker.expire(6.0)
    assert (broker.depth("q"), broker.depth("dead"), broker.next_expiry()) == (0, 1, None)


def test_a_full_queue_refuses_and_a_keeping_one_drops_its_oldest() -> None:
    full = engine(bytes_max=10)
    assert not full.publish("in", message("1", size=6), 0.0).full
    assert full.publish("in", message("2", size=5), 0.0).full == ("q",)
    assert not full.publish("in", message("3", size=4), 0.0).full
    keeping = engine(messages_max=2, drop_oldest=True)
    for name in "123":
        assert not keeping.publish("in", message(name), 0.0).full
    keeping.subscribe("q", 9, False)
    assert ids(keeping.take()) == ["2", "3"]


def test_an_exclusive_consumer_is_the_only_one() -> None:
    broker = engine()
    lane = broker.subscribe("q", 1, True)
    for exclusive in (True, False):
        with pytest.raises(QueueBusy):
            broker.subscribe("q", 1, exclusive)
    broker.unsubscribe(lane, 0.0)
    broker.subscribe("q", 1, False)
    with pytest.raises(QueueBusy):
        broker.subscribe("q", 1, True)
    with pytest.raises(NoSuchQueue):
        broker.subscribe("other", 1, False)


class Lives(RuleBasedStateMachine):
    """Whatever happens, each message is ready, with one consumer, acknowledged or dead: once, and nowhere else."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = engine(delivery_limit=LIMIT, dead_exchange="in", dead_key="dead.x")
        self.published = 0
        self.acked: set[str] = set()
        self.consumers: dict[int, int] = {}
        self.held: dict[tuple[int, int], str] = {}

    def take(self) -> None:
        for each in self.engine.take():
            name = each.entry.message.id
            assert name not in self.held.values(), "two consumers have it"
            assert name not in self.acked, "it was acknowledged"
            self.held[each.consumer, each.tag] = name

    @rule()
    def publish(self) -> None:
        self.published += 1
        self.engine.publish("in", message(str(self.published)), 0.0)
        self.take()

    @rule(prefetch=st.integers(1, 3))
    def subscribe(self, prefetch: int) -> None:
        self.consumers[self.engine.subscribe("q", prefetch, False)] = prefetch
        self.take()

    @precondition(lambda self: self.consumers)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        consumer = data.draw(st.sampled_from(sorted(self.consumers)))
        del self.consumers[consumer]
        self.held = {at: name for at, name in self.held.items() if at[0] != consumer}
        self.engine.unsubscribe(consumer, 0.0)
        self.take()

    @precondition(lambda self: self.held)
    @rule(data=st.data(), done=st.booleans())
    def settle(self, data: st.DataObject, done: bool) -> None:
        at = data.draw(st.sampled_from(sorted(self.held)))
        name = self.held.pop(at)
        if done:
            assert self.engine.ack(*at)
            self.acked.add(name)
        else:
            assert self.engine.release(*at, 0.0)
        self.take()

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        assert self.engine.depth("q") + self.engine.depth("dead") + len(self.acked) == self.published

    @invariant()
    def prefetch_bounds_what_a_consumer_holds(self) -> None:
        held = Counter(consumer for consumer, _ in self.held)
        assert all(held[consumer] <= prefetch for consumer, prefetch in self.consumers.items())

    @invariant()
    def nothing_waits_while_a_consumer_is_free(self) -> None:
        free = sum(self.consumers.values()) - len(self.held)
        waiting = self.engine.depth("q") - len(self.held)
        assert not (free and waiting)


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
