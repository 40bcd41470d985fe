"""What a bridge's pump makes of whatever brokers say: each message once and as it came, or a clear end.

input: how large the pieces are in which it comes (1 byte), length of what the hub's broker says (2), that, and what
       the neighbour's broker says
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pamqp import commands

from broker.port import check_message
from broker.rabbitmq.content import incoming
from tests.support.amqp import CHANNEL, content, delivery, raw_content, said
from tests.support.pumping import (
    KEY,
    Pumping,
    Sent,
    delivered,
    feed,
    frames_in,
    honest,
    methods_in,
    published_in,
    sent_in,
    written_anew,
)

HEAD_BYTES = 3
_ACK, _NACK, _RETURN = b"\x00\x3c\x00\x50", b"\x00\x3c\x00\x78", b"\x00\x3c\x00\x32"
_CONFIRM_BYTES = 13


def pumped(data: bytes) -> None:
    """Bytes of both brokers: no message is changed, doubled, or acknowledged before it is confirmed."""
    if len(data) < HEAD_BYTES:
        return
    cut = HEAD_BYTES + int.from_bytes(data[1:HEAD_BYTES], "big")
    near, far = data[HEAD_BYTES:cut], data[cut:]
    bench = Pumping()
    feed(bench.near, near, 1 + data[0])
    sent = sent_in(near)
    published = _require_carried(bench, sent)
    assert not _acknowledged(bench)
    feed(bench.far, far, 1 + data[0])
    _require_settled(bench, published, far)
    for line in (bench.near, bench.far):
        assert line.is_closed == bool(line.why)


def _require_carried(bench: Pumping, sent: Sequence[Sent]) -> list[Sent]:
    """What goes over is what would be written anew, in its order; what does not is handed out whole."""
    published, given = list[Sent](), list[Sent]()
    out = {each.delivery_tag: each for each in bench.handed_out()}
    over = published_in(bytes(bench.far_wire.written))
    for each in sent[: len(out) + len(over)]:
        odd = out.get(each.tag)
        if odd is not None:
            given.append(each)
            assert (odd.body, odd.redelivered) == (each.body, each.redelivered)
            assert odd.routing_key == each.key.decode(errors="replace")
            continue
        published.append(each)
        assert over[len(published) - 1] == (each.key, each.frames)
        _require_plain(each)
    assert (len(given), len(published)) == (len(out), len(over))
    assert bench.near.is_closed or len(given) + len(published) == len(sent)
    return published


def _require_plain(each: Sent) -> None:
    """Its receiver sees what it would see of the same message by way of the port."""
    assert not each.redelivered
    came = delivered(each.frames, each.body)
    message, properties = written_anew(came)
    check_message(message)
    assert incoming(came) == incoming(delivered(raw_content(properties.marshal(), b""), each.body))


def _require_settled(bench: Pumping, published: Sequence[Sent], far: bytes) -> None:
    """Acknowledged is what was confirmed, handed out once what was not, and nothing is under way at the end."""
    kept, refused = _meant(far, published)
    done, given = _acknowledged(bench), [each.delivery_tag for each in bench.handed_out()]
    assert done <= kept
    assert len(set(given)) == len(given)
    assert not done & set(given)
    if bench.far.is_closed:
        assert bench.near.is_closed or done | set(given) == {each.tag for each in published}
    elif not bench.near.is_closed:
        assert (done, set(given)) == (kept, refused)


def _meant(far: bytes, published: Sequence[Sent]) -> tuple[set[int], set[int]]:
    """Tags of what a broker's confirms and returns mean, read one by one."""
    open_ones = dict(enumerate(published, start=1))
    kept, refused = set[int](), set[int]()
    for method in methods_in(far):
        if method[:4] == _RETURN:
            try:
                hit = [number for number, each in open_ones.items() if each.key == _returned(method)]
            except IndexError:
                break
        elif method[:4] in (_ACK, _NACK) and len(method) == _CONFIRM_BYTES:
            number = int.from_bytes(method[4:12], "big")
            hit = [each for each in open_ones if each == number or (method[12] & 1 and each < number)]
        else:
            continue
        tags = {open_ones.pop(number).tag for number in hit}
        if method[:4] == _ACK:
            kept |= tags
        else:
            refused |= tags
    return kept, refused


def _returned(method: bytes) -> bytes:
    """After a code and two texts, the key."""
    at = 6
    for _ in range(2):
        at += 1 + method[at]
    return method[at + 1 : at + 1 + method[at]]


def _acknowledged(bench: Pumping) -> set[int]:
    """Tags that the hub's broker was told of, each once."""
    told, last = set[int](), 0
    for kind, channel, payload, _ in frames_in(bytes(bench.near_wire.written)):
        if kind != 1 or channel != CHANNEL or payload[:4] != _ACK:
            continue
        tag = int.from_bytes(payload[4:12], "big")
        tags = set(range(last + 1, tag + 1)) if payload[12] & 1 else {tag}
        tags -= told if payload[12] & 1 else set()
        assert not tags & told
        told |= tags
        while last + 1 in told:
            last += 1
    return told


# Where to begin -------------------------------------------------------------------------------------------------------


def _input(near: bytes, far: bytes = b"", size: int = 255) -> bytes:
    return bytes((size,)) + len(near).to_bytes(2, "big") + near + far


def conversations() -> Iterator[bytes]:
    plain = b"".join(honest(number, headers={"ce-id": "1"}) for number in range(1, 4))
    yield _input(plain, said(commands.Basic.Ack(3, True)))
    yield _input(plain, said(commands.Basic.Ack(2)) + said(commands.Basic.Nack(1)) + said(commands.Basic.Ack(3)), 7)
    returned = said(commands.Basic.Return(312, "NO_ROUTE", "hub.B11", KEY)) + content(b"body")
    yield _input(plain, returned + said(commands.Basic.Ack(3, True)))
    odd = (
        honest(1, user_id="A12")
        + honest(2, headers={"CC": [KEY]})
        + honest(3, headers={"BCC": [KEY], "x-death": [{"a": 1}]})
        + delivery(4, "A11.A12.A11.A12.batch")
        + content(b"")
        + delivery(5, KEY, redelivered=True)
        + content(bytes(350), headers={"n": -1})
    )
    yield _input(odd + said(commands.Basic.Cancel("1")))
    yield _input(plain + said(commands.Connection.Close(320, "CONNECTION_FORCED", 0, 0), 0))
    yield _input(plain, said(commands.Channel.Close(403, "ACCESS_REFUSED", 60, 40)))
    beat = b"\x08\x00\x00\x00\x00\x00\x00\xce"
    yield _input(beat + said(commands.Connection.Blocked("disk"), 0) + plain, said(commands.Basic.Ack(77)), 1)
