import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bambu_connector.config import names
from bambu_connector.config.document import parse
from bambu_connector.config.reading import Notes, Section
from bambu_connector.config.tree import Listen, Topics

USUAL = Listen("127.0.0.1", 8888)


def section(text: str, folder: Path = Path("/nowhere")) -> Section:
    return Section(Notes(folder / "connector.yaml", {}), parse(text.encode()), "")


def sentences(of: Section) -> list[str]:
    return [sentence for _, sentence in of.notes.problems]


@pytest.mark.parametrize("written", ["a/b", "a+", '"#"', "x" * 129])
def test_an_id_that_cannot_be_part_of_a_topic_is_a_problem(written: str) -> None:
    part = section(f"id: {written}")
    names.identifier(part, "id", "usual")
    assert len(sentences(part)) == 1


def test_an_id_has_a_default() -> None:
    assert names.identifier(section(""), "id", "usual") == "usual"
    assert names.identifier(section("id: Left P1S"), "id", "usual") == "Left P1S"


@pytest.mark.parametrize("written", ["printer.local", "192.168.1.50", "'fe80::1%eth0'", "'::1'"])
def test_hosts_are_names_and_addresses(written: str) -> None:
    part = section(f"host: {written}")
    assert names.host(part, "host") == written.strip("'")
    assert sentences(part) == []


@pytest.mark.parametrize("written", ["mqtt://x", "x/y", "a b", "x:1883", "'[::1]'", "farm:hunter2@x"])
def test_what_is_no_host_is_a_problem_that_does_not_quote_it(written: str) -> None:
    part = section(f"host: {written}")
    names.host(part, "host")
    assert len(sentences(part)) == 1
    assert "hunter2" not in sentences(part)[0]


def test_allowed_hosts_are_lower_case_and_checked() -> None:
    part = section("good: [Files.Example.org]\nbad: ['https://x']")
    assert names.hosts(part, "good") == ("files.example.org",)
    names.hosts(part, "bad")
    assert len(sentences(part)) == 1


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("127.0.0.1:8888", Listen("127.0.0.1", 8888)),
        ("'[::1]:80'", Listen("::1", 80)),
        ("localhost:1", Listen("localhost", 1)),
        ("null", None),
        ("'${NOT'", USUAL),
    ],
)
def test_an_address_to_listen_on_is_host_and_port(written: str, meant: Listen | None) -> None:
    assert names.listen(section(f"listen: {written}"), "listen", USUAL) == meant
    assert names.listen(section(""), "listen", USUAL) == USUAL


@pytest.mark.parametrize("written", ["8888", "':8888'", "a:b:1", "a:0", "a:65536", "http://a:1", "'null'"])
def test_what_cannot_be_listened_on_is_a_problem(written: str) -> None:
    part = section(f"listen: {written}")
    names.listen(part, "listen", USUAL)
    assert len(sentences(part)) == 1


# -- topics ----------------------------------------------------------------------------------------


def test_topics_have_the_defaults_of_the_contract() -> None:
    part = section("")
    assert names.topics(part) == Topics(
        ("bambu/commands", "bambu/{printer_id}/commands"), "bambu/{printer_id}/{type}", "bambu/{connector_id}/mqtt"
    )
    assert sentences(part) == []


@pytest.mark.parametrize(
    "written",
    [
        "commands: farm/commands",
        "commands: ['{connector_id}/{printer_id}']",
        "messages: bambu/all/{type}",
        "availability: online",
    ],
)
def test_templates_may_leave_placeholders_out(written: str) -> None:
    part = section(written)
    names.topics(part)
    assert sentences(part) == []


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("commands: bambu/+/commands", "wildcards"),
        ("commands: 'bambu/#'", "wildcards"),
        ("commands: '{type}/commands'", "placeholder"),
        ("commands: []", "the list is empty"),
        ("messages: 'bambu/{typ}/{type}'", "placeholder"),
        ("messages: 'bambu/{type'", "placeholder"),
        ("messages: 'bambu/{{type}}'", "placeholder"),
        ("messages: bambu/all", "{type} must be in it"),
        ("messages: '$SYS/{type}'", "belong to the broker"),
        ("messages: '+/{type}'", "wildcards"),
        ("availability: 'bambu/{printer_id}'", "placeholder"),
        (f"availability: {'x' * 1001}", "at most 1000"),
        ("{commands: bambu/status, messages: 'bambu/{type}'}", "publishes on one of these topics itself"),
        ("{commands: online, availability: online}", "publishes on one of these topics itself"),
        ("{messages: 'a/{type}', availability: a/event}", "published on this topic as well"),
    ],
)
def test_a_template_that_cannot_work_is_a_problem(written: str, words: str) -> None:
    part = section(written)
    names.topics(part)
    assert any(words in sentence for sentence in sentences(part)), sentences(part)


# -- certificates ----------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["sha256:" + "ab" * 32, "SHA256:" + ":".join(["AB"] * 32)])
def test_a_fingerprint_is_brought_into_one_form(written: str) -> None:
    part = section(f"fingerprint: '{written}'")
    assert names.fingerprint(part, "fingerprint") == "sha256:" + "ab" * 32
    assert sentences(part) == []


@pytest.mark.parametrize("written", ["ab" * 32, "sha256:abc", "sha1:" + "ab" * 32, "sha256:" + "xy" * 32])
def test_what_is_no_fingerprint_is_a_problem(written: str) -> None:
    part = section(f"fingerprint: '{written}'")
    assert names.fingerprint(part, "fingerprint") is None
    assert len(sentences(part)) == 1


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two certificates and their keys, one of them encrypted, and a file that is none."""
    folder = tmp_path_factory.mktemp("certificates")
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=x"]
    for name, protection in (("a", ["-nodes"]), ("b", ["-nodes"]), ("locked", ["-passout", "pass:hunter2"])):
        files = ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")]
        subprocess.run([*make, *protection, *files], check=True, capture_output=True)
    (folder / "text.pem").write_text("hello\n")
    return folder


def test_an_authority_is_a_pem_file(certificates: Path) -> None:
    part = section("good: a.pem\nbad: text.pem\nabsent: nothing.pem", certificates)
    assert names.authority(part, "good") == certificates / "a.pem"
    assert names.authority(part, "none") is None
    assert sentences(part) == []
    names.authority(part, "bad")
    names.authority(part, "absent")
    assert ["no certificate in this file" in sentences(part)[0], "no such file" in sentences(part)[1]] == [True, True]


def test_a_certificate_of_our_own_needs_its_own_key(certificates: Path) -> None:
    def problems(text: str) -> list[str]:
        part = section(text, certificates)
        names.own_certificate(part)
        return sentences(part)

    assert problems("") == []
    assert problems("{cert_file: a.pem, key_file: a.key}") == []
    for wrong in (
        "{cert_file: a.pem, key_file: b.key}",
        "{cert_file: locked.pem, key_file: locked.key}",
        "{cert_file: a.pem}",
        "{cert_file: text.pem, key_file: a.key}",
        "{key_file: a.key}",
        "{cert_file: a.pem, key_file: nothing}",
    ):
        assert len(problems(wrong)) == 1, wrong


@pytest.mark.parametrize("check", [names.authority, names.fingerprint, names.host])
def test_an_absent_key_is_no_problem(check: Callable[[Section, str], object]) -> None:
    part = section("")
    assert check(part, "key") is None
    assert sentences(part) == []
