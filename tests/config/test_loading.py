import json
import os
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.config.loading import default, load
from bambu_connector.config.tree import BrokerTls, Config, Connector, Downloads, Listen, Printago, Status, Storage, Web
from bambu_connector.errors import ConfigError
from bambu_connector.secret import Secret

EXAMPLE = Path(__file__).parents[2] / "connector.yaml.example"
SERIAL = "01P00A000000001"
HOME = {"HOME": "/home/ada"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the configuration of this test goes; nobody else can read it."""
    path = tmp_path / "connector.yaml"
    path.touch(0o600)
    return path


def read(file: Path, text: str, **environ: str) -> Config:
    file.write_text(text)
    return load(file, {**HOME, **environ})


def problems(file: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read(file, text)
    return caught.value.problems


# -- what is read ----------------------------------------------------------------------------------


def test_everything_has_a_default(file: Path) -> None:
    assert read(file, "connector: {}") == Config(
        connector=Connector(os.uname().nodename, Path("/home/ada/.local/state/bambu-connector")),
        printago=None,
        status=Status(1.0, 60.0, False),
        printers=(),
        downloads=Downloads(
            max_size_mb=1024, allow_http=False, allow_private_addresses=False, allowed_hosts=(), timeout=60
        ),
        storage=Storage(16, 512, 10),
        web=Web(Listen("127.0.0.1", 8888)),
        path=file,
        warnings=(),
        sources=(file,),
    )


def test_without_a_file_the_same_defaults_hold(file: Path) -> None:
    assert default(HOME) == Config(connector=read(file, "connector: {}").connector)


def test_printago_has_defaults_that_follow_its_tls_and_the_connectors_id(file: Path) -> None:
    found = read(file, "{connector: {id: shop}, printago: {host: mqtt.example.org}}").printago
    assert found == Printago(
        host="mqtt.example.org",
        port=8883,
        tls=BrokerTls(),
        username=None,
        password=None,
        client_id="bambu-connector-shop",
        protocol="5",
        keepalive=30,
        exclusive=True,
    )
    plain = read(file, "printago: {host: mqtt.example.org, tls: false}").printago
    assert plain is not None
    assert (plain.port, plain.tls) == (1883, None)


def test_everything_that_is_written_is_read(file: Path) -> None:
    found = read(
        file,
        f"""
        connector: {{id: shop, state_dir: state}}
        printago:
          {{host: h, port: 1, tls: off, username: farm, password: 0123, client_id: me, protocol: 3.1.1, keepalive: 5,
          exclusive: no, topics: {{commands: c, messages: "m/{{type}}", availability: a}}}}
        status: {{min_interval: 0.2, heartbeat: 5, include_report: yes}}
        printers: [serial: {SERIAL}]
        downloads: {{max_size_mb: 1.5, allow_http: true, allow_private_addresses: on, allowed_hosts: [A.b], timeout: 5}}
        storage: {{uploads: 2, cache_mb: 0, keep_files: null}}
        web: {{listen: null}}
        """,
    )
    assert found.connector == Connector("shop", file.parent / "state")
    assert found.printago is not None
    assert (found.printago.host, found.printago.port, found.printago.tls) == ("h", 1, None)
    assert (found.printago.username, found.printago.password) == ("farm", Secret("0123"))
    assert (found.printago.client_id, found.printago.protocol, found.printago.keepalive) == ("me", "3.1.1", 5)
    assert found.printago.exclusive is False
    assert (found.printago.topics.commands, found.printago.topics.messages) == (("c",), "m/{type}")
    assert found.printago.topics.availability == "a"
    assert found.status == Status(0.2, 5, True)
    assert [printer.serial for printer in found.printers] == [SERIAL]
    assert found.downloads == Downloads(
        max_size_mb=1.5, allow_http=True, allow_private_addresses=True, allowed_hosts=("a.b",), timeout=5
    )
    assert found.storage == Storage(2, 0, None)
    assert found.web == Web(None)


@pytest.mark.parametrize(
    ("environ", "state_dir"),
    [
        ({"STATE_DIRECTORY": "/var/lib/bambu-connector:/other"}, "/var/lib/bambu-connector"),
        ({"XDG_STATE_HOME": "/state"}, "/state/bambu-connector"),
        ({}, "/home/ada/.local/state/bambu-connector"),
    ],
)
def test_the_state_directory_follows_the_environment(file: Path, environ: dict[str, str], state_dir: str) -> None:
    assert read(file, "status: {}", **environ).connector.state_dir == Path(state_dir)


def test_what_a_yaml_writer_made_of_shared_values_is_read(file: Path) -> None:
    ports = {"mqtt": 1883, "ftps": 9990}
    entries = [{"serial": SERIAL, "ports": ports}, {"serial": "030120000000007", "ports": ports}]
    found = read(file, yaml.safe_dump({"printers": entries}))
    assert [printer.ports.ftps for printer in found.printers] == [9990, 9990]


def test_the_example_can_be_used_as_it_stands(tmp_path: Path) -> None:
    copy = tmp_path / "connector.yaml"
    copy.touch(0o600)
    copy.write_text(EXAMPLE.read_text())
    found = load(copy, HOME)
    assert found.warnings == ()
    assert found.printago is not None
    assert found.printago.topics == Printago.__dataclass_fields__["topics"].default
    assert (found.status, found.downloads, found.storage, found.web) == (Status(), Downloads(), Storage(), Web())


def test_the_example_explains_every_key(file: Path) -> None:
    text = EXAMPLE.read_text()
    places = ("", "connector", "printago", "status", "downloads", "storage", "web")
    for place in places:
        path = f"{place}." if place else ""
        sentences = problems(file, f"{place}: {{zzzz: 1}}" if place else "zzzz: 1")
        (sentence,) = (each for each in sentences if f"{path}zzzz: there is no such key; what can stand here: " in each)
        for key in sentence.rpartition(": ")[2].split(", "):
            assert f"{key}:" in text, key


# -- what is refused -------------------------------------------------------------------------------


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(file: Path) -> None:
    found = problems(
        file,
        "printers:\n  - serial: 01P\nstatus:\n  heartbeat: x\nprintago:\n  port: abc\n  pasword: hunter2\n",
    )
    assert [sentence.removeprefix(f"{file}:").partition(": ")[0] for sentence in found] == ["2", "4", "5", "6", "7"]
    assert "printago.host: this is missing" in found[2]
    assert not any("hunter2" in sentence for sentence in found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nothing is configured"),
        ("# comment\n", "nothing is configured"),
        ("hello", "keys with values belong here"),
        ("[a, b]", "keys with values belong here"),
        ("a: [", "this is not YAML"),
        ("printago: []", "printago: keys with values belong here"),
        ("printago: {port: 1}", "printago.host: this is missing"),
        ("printago: {host: [a]}", "printago.host: text belongs here"),
        ("printago: {host: h, port: 65536}", "printago.port: `65536` is out of range"),
        ("printago: {host: h, tls: [a]}", "printago.tls: text belongs here"),
        ("printago: {host: h, tls: {ca_file: nothing}}", "printago.tls.ca_file: there is no such file"),
        ("printago: {host: h, password: x}", "printago.password: a password needs a `username`"),
        ("printago: {host: h, protocol: 4}", "printago.protocol: `4` is none of the possible values: 5, 3.1.1"),
        ("status: {min_interval: -1}", "status.min_interval: `-1` is out of range"),
        (
            "status: {min_interval: 10, heartbeat: 5}",
            "status.heartbeat: it cannot be shorter than `min_interval` (10 s)",
        ),
        ("storage: {uploads: 0}", "storage.uploads: `0` is out of range"),
        ("web: null", "web: write `listen: null`"),
        ("web: {listen: 8888}", "web.listen: `8888` is no address"),
        ("statsu: {}", "statsu: there is no such key; did you mean `status`?"),
        ("status: {}\nstatus: {}", "`status` stands here twice (first in line 1)"),
        ("connector: {id: a/b}", "connector.id: an id cannot contain"),
    ],
)
def test_a_mistake_is_told_with_what_to_do(file: Path, text: str, words: str) -> None:
    found = problems(file, text)
    assert len(found) == 1
    assert found[0].startswith(f"{file}:")
    assert words in found[0]


def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this is a directory"):
        load(tmp_path, HOME)
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "nothing", HOME)
    with pytest.raises(ConfigError, match="file name"):
        load(tmp_path / "a\0b", HOME)


def test_a_huge_file_is_refused_without_being_read_whole() -> None:
    with pytest.raises(ConfigError, match="larger than"):
        load(Path("/dev/zero"), HOME)


# -- secrets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_secret_that_only_the_owner_and_the_group_can_read_is_fine(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert read(file, "printago: {host: h, username: u, password: x}").warnings == ()


def test_a_secret_that_others_can_read_is_a_warning_once(file: Path) -> None:
    file.chmod(0o644)
    text = f"printago: {{host: h, username: u, password: x}}\nprinters: [{{serial: {SERIAL}, access_code: y}}]"
    (sentence,) = read(file, text).warnings
    assert sentence == f"{file}:1: others on this machine can read {file}, and a secret is in it; chmod 600 it"


def test_a_readable_file_whose_secrets_are_elsewhere_is_fine(file: Path) -> None:
    file.chmod(0o644)
    (file.parent / "code").touch(0o600)
    (file.parent / "code").write_text("12345678\n")
    text = "printago: {host: h, username: u, password: '${P}'}\n"
    text += f"printers: [{{serial: {SERIAL}, access_code_file: code}}]"
    found = read(file, text, P="hunter2")
    assert found.warnings == ()
    assert found.secrets() == (Secret("12345678"), Secret("hunter2"))


def test_a_secret_file_that_others_can_read_is_a_warning(file: Path) -> None:
    (file.parent / "password").write_text("hunter2")
    (file.parent / "password").chmod(0o644)
    (sentence,) = read(file, "printago: {host: h, username: u, password_file: password}").warnings
    assert "printago.password_file: others on this machine can read" in sentence


def test_a_secret_that_others_can_read_is_refused_inside_the_state_directory(file: Path) -> None:
    (file.parent / "password").write_text("hunter2")
    (file.parent / "password").chmod(0o644)
    text = "connector: {state_dir: .}\nprintago: {host: h, username: u, password_file: password}"
    assert "others on this machine can read" in problems(file, text)[0]
    file.chmod(0o644)
    assert (
        "others on this machine can read"
        in problems(file, "connector: {state_dir: .}\nprinters: [{access_code: x}]")[0]
    )


@pytest.mark.parametrize(("host", "warned"), [("mqtt.example.org", True), ("127.0.0.1", False), ("localhost", False)])
def test_a_password_in_clear_is_a_warning_unless_it_stays_on_this_machine(file: Path, host: str, warned: bool) -> None:
    found = read(file, f"printago: {{host: {host}, tls: false, username: u, password: x}}")
    assert bool(found.warnings) is warned


# -- properties ------------------------------------------------------------------------------------

KEYS = (
    "connector printago status printers downloads storage web id state_dir host port tls ca_file cert_file key_file "
    "username password password_file client_id protocol keepalive exclusive topics commands messages availability "
    "min_interval heartbeat include_report serial name model access_code access_code_file ports mqtt ftps camera rtsps "
    "quirks start_url md5 ftps_protection start_timeout jog_signs fingerprint verify max_size_mb allow_http "
    "allow_private_addresses allowed_hosts timeout uploads cache_mb keep_files listen"
).split()
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.sampled_from([SERIAL, "P1S", "a/{type}", "${A}", "."])
)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | texts, inner, max_size=5),
    max_leaves=20,
)
sections = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("connector", "printago", "status", "downloads", "storage", "web", "zzz"), trees)
)
files = st.builds(
    lambda head, printers: head | {"printers": printers},
    sections,
    st.lists(st.dictionaries(st.sampled_from(KEYS), trees, max_size=5), max_size=3),
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any") / "connector.yaml"


def outcome(path: Path) -> Config | tuple[str, ...]:
    """Return the configuration, or what is wrong with it."""
    try:
        return load(path, HOME)
    except ConfigError as exc:
        return exc.problems


@given(tree=files | trees)
def test_any_yaml_is_a_config_or_a_config_error(scratch: Path, tree: Any) -> None:
    scratch.write_text(yaml.safe_dump(tree), encoding="utf-8")
    found = outcome(scratch)
    if not isinstance(found, Config):
        assert found
        assert all(sentence.startswith(f"{scratch}:") and "\n" not in sentence for sentence in found)


@given(raw=st.binary(max_size=80))
def test_any_bytes_are_a_config_or_a_config_error(scratch: Path, raw: bytes) -> None:
    scratch.write_bytes(raw)
    assert outcome(scratch)


@given(code=st.text("0123456789abcdefABCDEF:#{}[]*&!|>'\"%@` ", min_size=4, max_size=16).filter(str.strip))
def test_a_secret_comes_back_whole_and_shows_nowhere(scratch: Path, code: str) -> None:
    tree = {
        "printago": {"host": "h", "username": "u", "password": code},
        "printers": [{"serial": SERIAL, "access_code": code}],
    }
    scratch.write_text(yaml.safe_dump(tree), encoding="utf-8")
    found = load(scratch, HOME)
    assert [secret.reveal() for secret in found.secrets()] == [code, code]
    assert repr(found) == repr(load(scratch, HOME)) == repr(found).replace(f"'{code}'", "")
    assert found.printers[0].access_code is not None
    assert repr(found.printers[0].access_code) == "Secret()"


# -- anything in the place of anything -------------------------------------------------------------

SCHEMA: Final[dict[str, Any]] = {
    "connector": {"id": "a", "state_dir": "s"},
    "printago": {
        "host": "h", "port": 1, "tls": {"ca_file": "a", "cert_file": "a", "key_file": "a"}, "username": "u",
        "password": "p", "password_file": "p", "client_id": "c", "protocol": "5", "keepalive": 3, "exclusive": True,
        "topics": {"commands": ["a"], "messages": "x/{type}", "availability": "y"},
    },
    "status": {"min_interval": 1, "heartbeat": 60, "include_report": False},
    "printers": [{
        "serial": SERIAL, "id": "p", "name": "n", "model": "P1S", "host": "h", "access_code": "1",
        "access_code_file": "a", "ports": {"mqtt": 1, "ftps": 2, "camera": 3, "rtsps": 4},
        "quirks": {"start_url": "ftp", "md5": True, "ftps_protection": "P", "start_timeout": 5, "jog_signs": {"x": 1}},
        "tls": {"fingerprint": "sha256:0", "ca_file": "a", "verify": True},
    }],
    "downloads": {"max_size_mb": 1, "allow_http": True, "allow_private_addresses": False, "allowed_hosts": ["a"],
                  "timeout": 3},
    "storage": {"uploads": 1, "cache_mb": 1, "keep_files": 1},
    "web": {"listen": "127.0.0.1:88"},
}  # fmt: skip
KINDS: Final = (
    "null", "true", "-7", "1e400", ".nan", "''", "[]", "[1, [2]]", "{}", "{? [a] : 1}", "!!python/object:os.system {}",
    "!!binary aGk=", "*nope", "&a [*a]", '"a\\nb"', '"a\\0b"', '"\\ud800"', "9" * 400, "x" * 5000, "${NOPE}", "${",
    "/dev/zero", "/", "/nowhere", "FIFO",
)  # fmt: skip


def spots(tree: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items: Any = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [spot for key, value in items for spot in ((*path, key), *spots(value, (*path, key)))]


def written(spot: tuple[str | int, ...], kind: str) -> str:
    """Return the schema as YAML in flow style, with `kind` at one spot."""
    tree = deepcopy(SCHEMA)
    inner: Any = tree
    for key in spot[:-1]:
        inner = inner[key]
    inner[spot[-1]] = "HERE"
    return json.dumps(tree).replace('"HERE"', kind)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind[:20])
def test_every_kind_of_value_at_every_key_is_read_or_told_with_its_place(file: Path, kind: str) -> None:
    os.mkfifo(file.parent / "FIFO")
    for spot in spots(SCHEMA):
        file.write_text(written(spot, kind))
        found = outcome(file)
        if not isinstance(found, Config):
            for sentence in found:
                assert sentence.startswith(f"{file}:1"), sentence
                assert sentence.isprintable(), sentence
                assert len(sentence) < 700, sentence


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "connector.yaml")
    with pytest.raises(ConfigError, match="this is a pipe"):
        load(tmp_path / "connector.yaml", HOME)


@pytest.mark.parametrize(
    ("line", "warned"),
    [
        ("password: abc #def", True),
        ("password:   abc d #1", True),
        ("password: abc#def", False),
        ("password: abc # from the router", False),
        ("password: 'abc #def'", False),
        ('password: "abc #def"', False),
    ],
)
def test_a_secret_that_yaml_has_cut_is_a_warning_without_its_text(file: Path, line: str, warned: bool) -> None:
    file.chmod(0o600)
    warnings = read(file, f"printago:\n  host: localhost\n  username: u\n  {line}\n").warnings
    assert [warning.startswith(f"{file}:4: a space and `#`") for warning in warnings] == [True] * warned
    assert "abc" not in "".join(warnings).replace(str(file), "")


# -- secrets in files of their own, such as systemd's credentials -----------------------------------

CREDENTIALS = f"""\
printago:
  host: h
  username: u
  password_file: ${{CREDENTIALS_DIRECTORY}}/printago
printers:
  - serial: {SERIAL}
    access_code_file: ${{CREDENTIALS_DIRECTORY}}/left
"""


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    """The folder of two credentials, as systemd makes it: its owner may read, and nobody may write."""
    folder = tmp_path / "credentials"
    folder.mkdir(0o700)
    for name, text in (("printago", b"hunter2\r\n"), ("left", b"12345678\n")):
        (folder / name).touch(0o600)
        (folder / name).write_bytes(text)
        (folder / name).chmod(0o400)
    return folder


def test_systemd_credentials_are_read_without_their_line_ends(file: Path, credentials: Path) -> None:
    file.chmod(0o644)  # there is no secret in it
    found = read(file, CREDENTIALS, CREDENTIALS_DIRECTORY=str(credentials))
    assert found.printago is not None
    assert (found.printago.password, found.printers[0].access_code) == (Secret("hunter2"), Secret("12345678"))
    assert found.warnings == ()


def test_outside_of_the_unit_there_are_no_credentials_and_the_variable_is_named(file: Path) -> None:
    told = problems(file, CREDENTIALS)
    assert [
        sentence.partition(": the environment variable CREDENTIALS_DIRECTORY is not set")[0] for sentence in told
    ] == [
        f"{file}:4: printago.password_file",
        f"{file}:7: printers[0].access_code_file",
    ]


def test_a_credential_that_is_not_there_is_a_mistake(file: Path, credentials: Path) -> None:
    (credentials / "left").unlink()
    with pytest.raises(ConfigError, match=r"printers\[0\].access_code_file: there is no such file") as caught:
        read(file, CREDENTIALS, CREDENTIALS_DIRECTORY=str(credentials))
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("name", ["printago", "left"])
def test_a_file_with_a_secret_that_others_can_read_is_warned_about(file: Path, credentials: Path, name: str) -> None:
    (credentials / name).chmod(0o444)
    (warning,) = read(file, CREDENTIALS, CREDENTIALS_DIRECTORY=str(credentials)).warnings
    assert warning.endswith(
        f"_file: others on this machine can read {credentials / name}, and a secret is in it; chmod 600 it"
    )


@pytest.mark.parametrize("name", ["printago", "left"])
def test_it_is_refused_in_the_state_directory(file: Path, credentials: Path, name: str) -> None:
    (credentials / name).chmod(0o444)
    state = f"connector: {{state_dir: {credentials.parent}}}\n"
    with pytest.raises(ConfigError, match=f"others on this machine can read {credentials / name}") as caught:
        read(file, state + CREDENTIALS, CREDENTIALS_DIRECTORY=str(credentials))
    assert len(caught.value.problems) == 1
