"""Configuration: file, variables over it, and an error naming the field for everything that is not meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nodes.config import NodeConfig, broker_name, read_config
from nodes.identity import Identity
from nodes.membership.settings import amqp_url
from nodes.network import BrokerSite, read_network, read_subnet
from nodes.network_init import Plan, create
from schemas.errors import BadConfig
from schemas.ids import Address

PLAN = Plan(
    hubs=("A11", "B11", "C11"),
    renters=(Address("A11.A12"),),
    lessors=(Address("B11.B12"), Address("C11.C12")),
    links=(("A11", "B11"), ("A11", "C11")),
)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A new network's folder."""
    create(tmp_path / "network", PLAN)
    return tmp_path / "network"


@pytest.fixture
def renter(network: Path) -> Path:
    """The renter's file."""
    return network / "nodes" / "A11.A12" / "node.toml"


def edit(path: Path, change: Callable[[str], str]) -> Path:
    """Change a text file."""
    path.write_text(change(path.read_text()))
    return path


def test_a_new_networks_nodes_can_be_read(network: Path) -> None:
    configs = {each.name: read_config(each / "node.toml", {}) for each in (network / "nodes").iterdir()}
    assert {name: config.role for name, config in configs.items()} == {
        "A11.hub": "hub",
        "B11.hub": "hub",
        "C11.hub": "hub",
        "A11.A12": "renter",
        "B11.B12": "lessor",
        "C11.C12": "lessor",
    }
    for name, config in configs.items():
        assert config.identity().address == name
        assert set(config.network.hub_keys) == {"A11.hub", "B11.hub", "C11.hub"}
    for name in ("A11.hub", "B11.hub", "C11.hub"):
        assert configs[name].network.hub_keys[name] == configs[name].identity().public


def test_participants_keys_lie_at_their_own_hub_only(network: Path) -> None:
    hub = read_config(network / "nodes" / "B11.hub" / "node.toml", {})
    lessor = read_config(network / "nodes" / "B11.B12" / "node.toml", {})
    assert hub.subnet is not None
    assert hub.subnet.keys == {"B11.B12": lessor.identity().public}
    key = lessor.identity().public.hex()
    holders = {path.parent.name for path in network.rglob("*.toml") if key in path.read_text()}
    assert holders == {"B11.hub"}


def test_a_variable_wins_over_the_file(renter: Path) -> None:
    config = read_config(renter, {"SUBLET_RENTER_CORES": "3", "SUBLET_DATA_DIR": "/srv/data", "PATH": "/bin"})
    assert config.renter is not None
    assert (config.renter.cores, config.data_dir) == (3, Path("/srv/data"))


def test_every_role_has_a_place_for_operators_and_none_by_default(network: Path) -> None:
    for path in network.glob("nodes/*/node.toml"):
        assert read_config(path, {}).operations.port is None
        config = read_config(
            path, {"SUBLET_OPERATIONS_PORT": "9464", "SUBLET_OPERATIONS_TRACES": "http://127.0.0.1:4318"}
        )
        assert (config.operations.address, config.operations.port) == ("127.0.0.1", 9464)
        assert config.operations.traces == "http://127.0.0.1:4318"


def test_a_stores_password_is_read_from_a_file_and_shown_nowhere(renter: Path) -> None:
    url = "postgresql://renter:secret-word@db.example/a12"
    (renter.parent / "store-url").write_text(f"{url}\n")
    config = read_config(renter, {"SUBLET_STORE_FILE": "store-url"})
    assert config.store_url == url
    assert "secret-word" not in repr(config)
    assert read_config(renter, {}).store_url is None


def test_a_list_in_a_variable_is_separated_by_commas(network: Path) -> None:
    path = network / "nodes" / "B11.B12" / "node.toml"
    config = read_config(path, {"SUBLET_LESSOR_PROTECTIONS": "homomorphic,enclave"})
    assert config.lessor is not None
    assert config.lessor.protections == ("homomorphic", "enclave")


@pytest.mark.parametrize(
    ("variables", "field"),
    [
        ({"SUBLET_RENTER_CORSE": "3"}, "SUBLET_RENTER_CORSE"),
        ({"SUBLET_RENTER_CORES": "many"}, "renter.cores"),
        ({"SUBLET_RENTER_CORES": "-1"}, "renter.cores"),
        ({"SUBLET_LESSOR_UNITS": "1"}, "lessor"),
        ({"SUBLET_OPERATIONS_PORT": "70000"}, "operations.port"),
        ({"SUBLET_OPERATIONS_TRACES": "127.0.0.1:4318"}, "operations.traces"),
        ({"SUBLET_ROLE": "king"}, "role"),
        ({"SUBLET_ADDRESS": "nowhere"}, "address"),
        ({"SUBLET_ADDRESS": "Z9.A12"}, "address"),
        ({"SUBLET_AMQP_URL": "http://broker"}, "amqp_url"),
        ({"SUBLET_AMQP_URL": "amqp://a:b@c/d", "SUBLET_AMQP_URL_FILE": "x"}, "SUBLET_AMQP_URL"),
        ({"SUBLET_AMQP_URL_FILE": "missing"}, "amqp_url_file"),
        ({"SUBLET_NETWORK": "missing.toml"}, "config"),
        ({"SUBLET_KEEP_RECEIPTS_DAYS": "14.9"}, "keep_receipts_days"),
        ({"SUBLET_STORE": "mysql://a:b@c/d"}, "store"),
        ({"SUBLET_STORE": "postgresql://a:b@c"}, "store"),
        ({"SUBLET_STORE": "postgresql://a:b@[c/d"}, "store"),
        ({"SUBLET_STORE": "postgresql://a:b@c/d", "SUBLET_STORE_FILE": "x"}, "store"),
        ({"SUBLET_STORE_FILE": "missing"}, "store_file"),
    ],
)
def test_a_bad_variable_is_named(renter: Path, variables: dict[str, str], field: str) -> None:
    with pytest.raises(BadConfig) as caught:
        read_config(renter, variables)
    assert caught.value.field == field


def test_a_misspelt_variable_is_answered_with_the_right_one(renter: Path) -> None:
    with pytest.raises(BadConfig, match="did you mean SUBLET_RENTER_CORES"):
        read_config(renter, {"SUBLET_RENTER_CORSE": "3"})


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ('adress = "A11.A12"\n', "adress"),
        ('amqp_url = "amqp://a:b@c/"\n', "amqp_url"),
        ("[lessor]\nunits = 1\n", "lessor"),
        ("[renter]\nbatch_windw = 1\n", "renter.batch_windw"),
        ("[renter]\nbatch_window = 0\n", "renter.batch_window"),
        ("[renter]\nmeasurements = ['not hexadecimal']\n", "renter.measurements[0]"),
    ],
)
def test_a_bad_field_is_named(renter: Path, line: str, field: str) -> None:
    edit(renter, lambda text: text.replace("[renter]", "") if line.startswith("[renter]") else text)
    edit(renter, lambda text: text + line if line.startswith("[") else line + text)
    with pytest.raises(BadConfig) as caught:
        read_config(renter, {})
    assert caught.value.field == field


def test_a_missing_field_is_named(renter: Path) -> None:
    edit(renter, lambda text: text.replace('role = "renter"', ""))
    with pytest.raises(BadConfig, match="role: this field is missing"):
        read_config(renter, {})


def test_a_node_of_another_role_is_refused(renter: Path) -> None:
    with pytest.raises(BadConfig, match="describes a renter, not a hub"):
        read_config(renter, {}, role="hub")


def test_what_is_not_toml_is_refused(renter: Path) -> None:
    edit(renter, lambda text: text + "[[[")
    with pytest.raises(BadConfig, match="is not TOML"):
        read_config(renter, {})


def test_the_brokers_password_is_in_no_repr_and_no_error(renter: Path) -> None:
    secret = "very-secret-password"
    config = read_config(renter, {"SUBLET_AMQP_URL": f"amqp://A11.A12:{secret}@broker:5673/sublet"})
    assert secret in config.amqp_url
    assert secret not in repr(config)
    assert broker_name(config.amqp_url) == "broker:5673"
    for bad in (f"amqp://A11.A12:{secret}@broker:port/", f"amq://x:{secret}@broker/", f"amqp://x:{secret}@/"):
        with pytest.raises(BadConfig) as caught:
            read_config(renter, {"SUBLET_AMQP_URL": bad})
        assert secret not in str(caught.value)


def test_the_brokers_address_comes_from_the_file_a_variable_names(renter: Path, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("amqps://u:p@broker/v\n")
    config: NodeConfig = read_config(renter, {"SUBLET_AMQP_URL_FILE": str(tmp_path / "url")})
    assert config.amqp_url == "amqps://u:p@broker/v"
    assert broker_name(config.amqp_url) == "broker:5671"


def test_names_and_virtual_hosts_are_escaped_in_the_brokers_address() -> None:
    url = amqp_url(BrokerSite(host="::1", port=1, virtual_host="/"), "A11.A12", "a/b@c")
    assert url == "amqp://A11.A12:a%2Fb%40c@[::1]:1/%2F"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('broker = "main"', 'broker = "other"', "not described"),
        ('["A11", "C11"]', '["A11", "Z11"]', "Z11"),
        (', ["A11", "C11"]', "", "no link leads"),
        ("format = 1", "format = 2", "format"),
    ],
)
def test_a_description_that_does_not_fit_together_is_refused(network: Path, old: str, new: str, message: str) -> None:
    path = edit(network / "network.toml", lambda text: text.replace(old, new))
    with pytest.raises(BadConfig, match=message):
        read_network(path)


def test_a_subnet_of_another_hub_is_refused(network: Path) -> None:
    hub = network / "nodes" / "A11.hub"
    (hub / "subnet.toml").write_bytes((network / "nodes" / "B11.hub" / "subnet.toml").read_bytes())
    with pytest.raises(BadConfig, match="subnet of B11"):
        read_config(hub / "node.toml", {})
    assert read_subnet(hub / "subnet.toml").addresses == ("B11.B12",)


def test_every_network_has_its_own_keys(tmp_path: Path, network: Path) -> None:
    create(tmp_path / "second", PLAN)
    for secret in ("identity.pem", "amqp-url"):
        one, two = (folder / "nodes" / "A11.A12" / secret for folder in (network, tmp_path / "second"))
        assert one.read_bytes() != two.read_bytes()
    assert isinstance(read_config(network / "nodes" / "A11.A12" / "node.toml", {}).identity(), Identity)
