"""Checks of text that has a form of its own: ids, hosts, addresses, topics, certificates."""

import re
from pathlib import Path
from typing import Final

from bambu_connector.config.reading import Section
from bambu_connector.config.tree import Listen, Topics

MAX_TOPIC_CHARACTERS: Final = 1000  # MQTT allows 65,535 bytes; no broker is set up for such ones
MAX_ID_CHARACTERS: Final = 128
MESSAGE_TYPES: Final = ("pairing", "status", "event", "success", "error", "response")

_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")


def identifier(section: Section, key: str, default: str) -> str:
    """Return an id: it becomes a part of topics, so it must not look like several of them."""
    text = section.text(key, default)
    if any(character in text for character in "/+#"):
        section.problem(key, "an id cannot contain /, + or #, because it becomes a part of MQTT topics")
    elif len(text) > MAX_ID_CHARACTERS:
        section.problem(key, f"an id has at most {MAX_ID_CHARACTERS} characters")
    return text


def host(section: Section, key: str) -> str | None:
    """Return a host name or address; None when it is absent."""
    text = section.optional_text(key)
    if text is not None and (fault := _host_fault(text)):
        section.problem(key, f"this is no host: {fault}")
    return text


def _host_fault(text: str) -> str | None:
    if "://" in text or "/" in text:
        return "write only the name or address, without `…://` and without a path"
    if any(character.isspace() for character in text):
        return "there is a space in it"
    if "@" in text:
        return "user and password have keys of their own"
    if "[" in text or "]" in text:
        return "write an IPv6 address without brackets"
    if text.count(":") == 1:
        return "the port has a key of its own"
    return None


def hosts(section: Section, key: str) -> tuple[str, ...]:
    """Return a list of host names, lower case."""
    names = section.texts(key) or ()
    for name in names:
        if fault := _host_fault(name):
            section.problem(key, f"one of the names is no host: {fault}")
    return tuple(name.lower() for name in names)


def listen(section: Section, key: str, default: Listen) -> Listen | None:
    """Return the address to listen on; None where null is written."""
    if section.says_null(key):
        return None
    text = section.optional_text(key)
    if text is None:
        return default
    match = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^\[\]:\s/]+)):([0-9]{1,5})", text)
    if not match or not 1 <= int(match[3]) <= 65535:
        section.problem(key, f"`{section.raw(key)}` is no address to listen on; write one such as 127.0.0.1:8888")
        return default
    return Listen(match[1] or match[2], int(match[3]))


# -- topics ----------------------------------------------------------------------------------------


def topics(section: Section) -> Topics:
    """Return the templates of the topics."""
    defaults = Topics()
    commands = section.texts("commands")
    found = Topics(
        commands=defaults.commands if commands is None else commands,
        messages=section.text("messages", defaults.messages),
        availability=section.text("availability", defaults.availability),
    )
    for template in found.commands:
        _check_template(section, "commands", template, ("printer_id", "connector_id"))
    if not found.commands:
        section.problem("commands", "the list is empty, so no command could ever come; name a topic, or remove the key")
    _check_template(section, "messages", found.messages, ("printer_id", "type", "connector_id"))
    _check_template(section, "availability", found.availability, ("connector_id",))
    if "{type}" not in found.messages:
        # The retained status and the answers would share one topic, and no reader could ask for one of them.
        section.problem("messages", "{type} must be in it, so that each kind of message has a topic of its own")
    _check_overlaps(section, found)
    return found


def _check_template(section: Section, key: str, template: str, allowed: tuple[str, ...]) -> None:
    possible = ", ".join(f"{{{name}}}" for name in allowed)
    if "+" in template or "#" in template:
        section.problem(key, f"a topic cannot contain the wildcards + and #; possible placeholders: {possible}")
    rest = _PLACEHOLDER.sub("", template)
    if "{" in rest or "}" in rest or any(name not in allowed for name in _PLACEHOLDER.findall(template)):
        section.problem(key, f"there is a placeholder in it that is not known here; possible: {possible}")
    if template.startswith("$"):
        section.problem(key, "topics that begin with $ belong to the broker")
    if len(template) > MAX_TOPIC_CHARACTERS:
        section.problem(key, f"a topic has at most {MAX_TOPIC_CHARACTERS} characters here")


def _check_overlaps(section: Section, found: Topics) -> None:
    """Refuse templates by which the connector would hear itself."""
    outgoing = {found.messages.replace("{type}", kind) for kind in MESSAGE_TYPES}
    if outgoing & set(found.commands) or found.availability in found.commands:
        section.problem("commands", "the connector publishes on one of these topics itself; choose another")
    elif found.availability in outgoing:
        section.problem("availability", "a kind of message is published on this topic as well; choose another")


# -- certificates ----------------------------------------------------------------------------------


def fingerprint(section: Section, key: str) -> str | None:
    """Return `sha256:` and 64 hexadecimal digits in lower case; None when it is absent."""
    text = section.optional_text(key)
    if text is None:
        return None
    kind, _, digits = text.partition(":")
    digits = digits.replace(":", "").lower()  # openssl prints a colon after every byte
    if kind.lower() != "sha256" or not re.fullmatch(r"[0-9a-f]{64}", digits):
        section.problem(key, "a fingerprint is `sha256:` and 64 hexadecimal digits")
        return None
    return f"sha256:{digits}"


def authority(section: Section, key: str) -> Path | None:
    """Return the path of a readable PEM file of certificate authorities; None when it is absent."""
    path = section.existing_file(key)
    if path is None:
        return None
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        section.problem(key, "there is no certificate in this file; a PEM file is needed")
    except OSError as exc:
        section.problem(key, f"the file cannot be read: {exc.strerror}")
    return path


def own_certificate(section: Section) -> tuple[Path | None, Path | None]:
    """Return the paths of `cert_file` and `key_file`, which must belong to each other."""
    certificate, key = section.existing_file("cert_file"), section.existing_file("key_file")
    if section.has("key_file") and not section.has("cert_file"):
        section.problem("key_file", "a key is of no use without `cert_file`")
    if certificate is None or (key is None and section.has("key_file")):
        return certificate, key
    import ssl

    try:
        # The password is given so that OpenSSL does not ask for one at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password="")
    except ssl.SSLError:
        section.problem(
            "cert_file", "certificate and key (PEM, not encrypted) cannot be used together; `key_file` holds the key"
        )
    except OSError as exc:
        section.problem("cert_file", f"certificate or key cannot be read: {exc.strerror}")
    return certificate, key
