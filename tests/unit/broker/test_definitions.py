"""RabbitMQ definitions. That a server accepts and obeys them is shown by the conformance suite."""

from __future__ import annotations

import base64
import hashlib
import re
from itertools import pairwise
from typing import Any

import orjson
import pytest
from msgspec import structs

from broker.definitions import additions, definitions, password_hash
from broker.names import PATTERN_CHARS_MAX, may_read
from broker.network import LANES_MAX, Hub, Link, Network, Participant, addresses
from broker.topology import membership, topology
from schemas.errors import BadConfig
from schemas.ids import Address

NETWORK = Network(
    hubs=(
        Hub(name="A11", participants=(Participant(name="A12", role="renter", lanes=1),)),
        Hub(name="B11", participants=(Participant(name="B12", role="lessor", lanes=1),)),
    ),
    links=(Link(hubs=("A11", "B11")),),
)
LAYOUT = topology(NETWORK)
HASHES = {of: password_hash(f"a long secret of {of}", b"salt") for of in addresses(NETWORK)}


@pytest.fixture
def made() -> dict[str, Any]:
    written: dict[str, Any] = orjson.loads(orjson.dumps(definitions(LAYOUT, HASHES, vhost="v")))
    return written


def test_a_password_is_kept_as_rabbitmq_does() -> None:
    """RabbitMQ documents: base64 of the salt and SHA-256 over salt and password."""
    raw = base64.b64decode(password_hash("a long enough secret", b"\x01\x02\x03\x04"))
    assert raw[:4] == b"\x01\x02\x03\x04"
    assert raw[4:] == hashlib.sha256(b"\x01\x02\x03\x04" + b"a long enough secret").digest()


def test_the_vector_of_rabbitmqs_documentation_comes_out() -> None:
    """https://www.rabbitmq.com/docs/passwords: user test12, salt 908DC60A, which is shorter than we accept."""
    raw = bytes.fromhex("908DC60A") + hashlib.sha256(bytes.fromhex("908DC60A") + b"test12").digest()
    assert base64.b64encode(raw).decode() == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


def test_a_short_password_or_another_salt_is_refused() -> None:
    with pytest.raises(BadConfig):
        password_hash("short", b"salt")
    with pytest.raises(ValueError, match="4 bytes"):
        password_hash("a long enough secret", b"long salt")


def test_an_address_without_a_password_is_named() -> None:
    with pytest.raises(BadConfig, match=r"B11\.B12"):
        definitions(LAYOUT, {of: hashed for of, hashed in HASHES.items() if of != "B11.B12"})


def test_nobody_may_configure_and_administrators_are_as_asked(made: dict[str, Any]) -> None:
    assert {row["configure"] for row in made["permissions"]} == {"^$"}
    assert all(user["tags"] == [] for user in made["users"])
    more = definitions(LAYOUT, HASHES, administrators={"admin": "hash"})
    assert [user["name"] for user in more["users"] if user["tags"] == ["administrator"]] == ["admin"]


def test_every_user_has_a_topic_row_for_the_one_exchange_that_it_may_write_on(made: dict[str, Any]) -> None:
    """Without a row every key would be allowed there."""
    rows = {row["user"]: row["exchange"] for row in made["topic_permissions"]}
    assert len(made["topic_permissions"]) == len(made["users"]) == len(rows)
    writes = {row["user"]: re.compile(row["write"].replace(r"\z", r"\Z")) for row in made["permissions"]}
    for user, pattern in writes.items():
        mine = [each for each in made["exchanges"] if pattern.fullmatch(each["name"])]
        exchanges = [each["name"] for each in mine if not each["internal"]]
        assert exchanges == [rows[user]] == [f"hub.{user.partition('.')[0]}"]


def test_a_hub_may_write_on_no_exchange_of_its_neighbours_and_binds_them_by_one_of_its_own(
    made: dict[str, Any],
) -> None:
    internal = {each["name"] for each in made["exchanges"] if each["internal"]}
    assert internal == {"out.A11.B11", "out.B11.A11"}
    (row,) = [row for row in made["permissions"] if row["user"] == "A11.hub"]
    pattern = re.compile(row["write"].replace(r"\z", r"\Z"))
    assert {each["name"] for each in made["exchanges"] if pattern.fullmatch(each["name"])} == {"hub.A11", "out.A11.B11"}


def test_every_pattern_is_anchored_at_both_ends(made: dict[str, Any]) -> None:
    anchored = re.compile(r"\^\$|\\A\(\?:.*\)\\z", re.DOTALL)
    for row in made["permissions"]:
        assert anchored.fullmatch(row["write"])
        assert anchored.fullmatch(row["read"])
    for row in made["topic_permissions"]:
        assert anchored.fullmatch(row["write"])


def test_no_pattern_is_longer_than_rabbitmq_takes_however_many_hubs_and_lanes_there_are() -> None:
    """1,024 characters in RabbitMQ 4.3."""
    names = [f"{number:032}" for number in range(200)]
    lessor = (Participant(name="x" * 32, role="lessor", lanes=LANES_MAX),)
    hubs = tuple(Hub(name=name, participants=lessor if name == names[0] else (), broker=name) for name in names)
    for ends in (pairwise([*names, names[0]]), ((names[0], name) for name in names[1:])):
        layout = topology(Network(hubs=hubs, links=tuple(Link(hubs=each) for each in ends)), names[0])
        made = definitions(layout, {row.user: "hash" for row in layout.permissions})
        patterns = [row[what] for row in made["permissions"] for what in ("write", "read")]
        patterns += [row["write"] for row in made["topic_permissions"]] + [row["pattern"] for row in made["policies"]]
        assert max(map(len, patterns)) <= PATTERN_CHARS_MAX


def test_everybody_may_read_its_own_queues_and_no_others(made: dict[str, Any]) -> None:
    queues = [queue["name"] for queue in made["queues"]]
    for row in made["permissions"]:
        pattern = re.compile(row["read"].replace(r"\z", r"\Z"))
        assert [name for name in queues if pattern.fullmatch(name)] == [
            name for name in queues if may_read(row["user"], name)
        ]
        assert any(map(pattern.fullmatch, queues))


def test_a_hub_named_like_the_beginning_of_another_gets_nothing_of_it() -> None:
    network = Network(hubs=(Hub(name="A"), Hub(name="A1")), links=(Link(hubs=("A", "A1")),))
    made = definitions(topology(network), dict.fromkeys(addresses(network), "hash"))
    for row in made["permissions"]:
        hub = row["user"].partition(".")[0]
        other = "A1" if hub == "A" else "A"
        pattern = row["read"].replace(r"\z", r"\Z")
        assert re.match(pattern, f"q.{hub}.hub.control")
        assert not re.match(pattern, f"q.{other}.hub.control")


def test_nothing_is_used_that_rabbitmq_4_removed(made: dict[str, Any]) -> None:
    assert all(queue["durable"] and not queue["auto_delete"] for queue in made["queues"])
    assert {queue["arguments"]["x-queue-type"] for queue in made["queues"]} == {"quorum", "classic"}
    used = {name for policy in made["policies"] for name in policy["definition"]}
    assert not {name for name in used if name.startswith("ha-") or name in {"queue-mode", "queue-master-locator"}}


def test_every_queue_is_bounded(made: dict[str, Any]) -> None:
    for queue in made["queues"]:
        (policy,) = [row for row in made["policies"] if re.search(row["pattern"], queue["name"])]
        assert "max-length-bytes" in policy["definition"], "a message may be 16 MiB large"


def test_every_queue_that_is_consumed_and_counts_says_how_often_a_message_may_come_back(made: dict[str, Any]) -> None:
    """RabbitMQ 4 has a default of its own, RabbitMQ 3 has none."""
    for queue in made["queues"]:
        (policy,) = [row for row in made["policies"] if re.search(row["pattern"], queue["name"])]
        counts, waits = queue["arguments"]["x-queue-type"] == "quorum", ".wait" in queue["name"]
        assert ("delivery-limit" in policy["definition"]) == (counts and not waits), queue["name"]


def test_what_is_dead_lettered_at_least_once_comes_from_queues_that_refuse_at_their_bound(made: dict[str, Any]) -> None:
    """RabbitMQ takes any other queue's at most once, and says so in its log only."""
    lettering = [queue for queue in made["queues"] if "x-dead-letter-exchange" in queue["arguments"]]
    assert {queue["name"].split(".")[-1] for queue in lettering} >= {"control", "batch", "result", "wait250"}
    for queue in lettering:
        (policy,) = [row for row in made["policies"] if re.search(row["pattern"], queue["name"])]
        assert queue["arguments"]["x-dead-letter-strategy"] == "at-least-once"
        assert queue["arguments"]["x-queue-type"] == "quorum"
        assert policy["definition"]["overflow"] == "reject-publish"


def test_no_secret_is_written(made: dict[str, Any]) -> None:
    assert b"a long secret" not in orjson.dumps(made)
    assert Address("A11.A12") in {user["name"] for user in made["users"]}


def test_a_newcomers_definitions_are_those_it_would_have_had_from_the_beginning() -> None:
    newcomer = Participant(name="B14", role="lessor", lanes=2)
    hubs = (NETWORK.hubs[0], structs.replace(NETWORK.hubs[1], participants=(*NETWORK.hubs[1].participants, newcomer)))
    hashed = password_hash("a long secret of B11.B14", b"salt")
    before = definitions(LAYOUT, HASHES, vhost="v")
    hashes = HASHES | {Address("B11.B14"): hashed}
    after = definitions(topology(structs.replace(NETWORK, hubs=hubs)), hashes, vhost="v")
    added = additions(membership("B11", newcomer), "B11.B14", hashed, vhost="v")

    def rows(of: dict[str, Any], what: str) -> set[bytes]:
        return {orjson.dumps(row, option=orjson.OPT_SORT_KEYS) for row in of[what]}

    for what in added:
        assert rows(added, what) == rows(after, what) - rows(before, what), what
    assert not {what for what in after if rows(after, what) != rows(before, what)} - set(added)


def test_a_second_account_may_do_the_same_and_no_more() -> None:
    hashed = password_hash("a long secret of B11.B12", b"salt")
    made = membership("B11", NETWORK.hubs[1].participants[0])
    first, second = (additions(made, name, hashed, vhost="v") for name in ("B11.B12", "B11.B12~2"))
    for what in ("permissions", "topic_permissions"):
        assert [row | {"user": ""} for row in first[what]] == [row | {"user": ""} for row in second[what]]
    assert [row["name"] for row in second["users"]] == ["B11.B12~2"]


def test_an_administrator_may_remove_what_participants_had() -> None:
    made = definitions(LAYOUT, HASHES, vhost="v", administrators={"operator~main": "hash"})
    (row,) = [row for row in made["permissions"] if row["user"] == "operator~main"]
    assert (row["configure"], row["write"], row["read"]) == (".*", ".*", ".*")
