"""Settling, as the pure function it is: numbers, parking, and what a ready-made envelope keeps."""

from __future__ import annotations

from uuid import UUID, uuid4

import orjson
import pytest
from attrs import evolve
from hypothesis import given, strategies as st

from actors import codec, inbound
from adapters.contract import Delivery
from adapters.envelope import to_json
from persistence.records import DeliveryRecord
from tests.actors.scene import EPOCH, envelope_for
from tests.fakes.adapters import PoisonError, ScriptedAdapter
from tests.persistence import samples

CONNECTION = samples.connection(connection_id=UUID(int=7))
SOURCE = inbound.Source(adapter=ScriptedAdapter(), provider_id="scripted", environment="dev")


def record(body: object, number: int = 1, attempts: int = 1) -> DeliveryRecord:
    return DeliveryRecord(
        delivery_id=UUID(int=number),
        tenant_id="acme",
        connection_id=CONNECTION.connection_id,
        event_kind="thing.happened",
        event_id=f"event-{number}",
        received_at=EPOCH,
        attempts=attempts,
        body=orjson.dumps(body),
    )


_BODIES = st.one_of(
    st.integers(min_value=0, max_value=4).map(lambda number: {"signals": number}),
    st.just({"malformed": True}),
)


@given(bodies=st.lists(_BODIES, max_size=12), begun=st.integers(min_value=0, max_value=10**9))
def test_numbers_go_on_without_a_gap_and_every_delivery_is_settled_once(bodies, begun):
    """P5 ordered."""
    records = [record(body, number) for number, body in enumerate(bodies, start=1)]

    settled = inbound.settle(records, source=SOURCE, sequence_no=begun)

    numbers = [signal.sequence_no for one in settled for signal in one.signals]
    assert numbers == list(range(begun + 1, begun + 1 + len(numbers)))
    assert [one.delivery_id for one in settled] == [one.delivery_id for one in records]
    for body, one in zip(bodies, settled, strict=True):
        assert len(one.signals) == body.get("signals", 0)
        assert (one.parked is not None) == ("malformed" in body)


def test_settling_twice_makes_the_same_signals():
    """P2 once-in."""
    records = [record({"signals": 2}), record({"signals": 1}, 2)]

    assert inbound.settle(records, source=SOURCE, sequence_no=3) == inbound.settle(
        records, source=SOURCE, sequence_no=3
    )


def test_the_number_is_in_the_envelope_that_leaves():
    (one,) = inbound.settle([record({"signals": 1})], source=SOURCE, sequence_no=41)

    assert orjson.loads(one.signals[0].envelope)["sequence_no"] == 42


@pytest.mark.parametrize("attempts", [inbound.MOST_ATTEMPTS, inbound.MOST_ATTEMPTS + 1])
def test_poison_is_not_touched_once_it_has_killed_often_enough(attempts):
    poisonous = record({"poison": True}, attempts=attempts)

    if attempts > inbound.MOST_ATTEMPTS:
        (parked,) = inbound.settle([poisonous], source=SOURCE, sequence_no=0)
        assert parked.parked == "its actor died 3 times on it"
    else:
        with pytest.raises(PoisonError):
            inbound.settle([poisonous], source=SOURCE, sequence_no=0)


def test_a_ready_made_envelope_is_passed_on_with_its_number_only():
    ready = envelope_for(CONNECTION, "elsewhere")
    new = codec.ready_made(
        ready, delivery_id=uuid4(), connection_id=CONNECTION.connection_id, now=EPOCH
    )
    stored = evolve(record({}), event_kind=new.event_kind, event_id=new.event_id, body=new.body)

    (one,) = inbound.settle([stored], source=SOURCE, sequence_no=8)

    assert new.event_id == "signal:elsewhere"
    assert one.signals[0].envelope == to_json(ready.numbered(9))


def test_a_ready_made_envelope_that_can_not_be_read_is_parked():
    stored = evolve(record({"signal_id": ""}), event_kind=codec.ENVELOPE_KIND)

    (one,) = inbound.settle([stored], source=SOURCE, sequence_no=0)

    assert one.parked is not None


@pytest.mark.parametrize("key", [None, "what was signed"])
def test_of_a_signature_only_a_digest_is_stored(key):
    """P8 no-secret."""
    verified = Delivery(
        event_kind="push", event_id="e-1", replay_key=key, received_at=EPOCH, body=b"{}"
    )

    new = codec.new_delivery(
        verified,
        delivery_id=uuid4(),
        tenant_id="acme",
        connection_id=CONNECTION.connection_id,
        body=b'{"redacted":true}',
    )

    assert (new.replay_digest is None) == (key is None)
    assert new.replay_digest is None or len(new.replay_digest) == 32
    assert new.body == b'{"redacted":true}'


def test_an_event_that_two_deliveries_tell_of_makes_one_signal():
    """P2 once-in: within a batch, and after one that is known; numbers go on without a gap."""
    first, other = record({"signals": 1}, 1), record({"signals": 1}, 2)
    again = evolve(first, delivery_id=UUID(int=3))

    settled = inbound.settle([first, again, other], source=SOURCE, sequence_no=0)
    (signal,) = settled[0].signals
    later = inbound.settle(
        [again, other], source=SOURCE, sequence_no=5, known=frozenset({signal.signal_id})
    )

    assert [len(one.signals) for one in settled] == [1, 0, 1]
    assert [one.parked for one in settled] == [None, None, None]
    assert [[each.sequence_no for each in one.signals] for one in later] == [[], [6]]
