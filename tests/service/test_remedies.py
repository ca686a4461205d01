"""The one thing to do."""

import pytest

from bambu_connector import errors
from bambu_connector.bambu.models import TRAITS, Model
from bambu_connector.service.remedies import printago_remedy, remedy, was_refused

SERIAL = "01P00A000000001"
TRAITS_OF = TRAITS[Model.P1S]


def refused() -> errors.Unreachable:
    error = errors.Unreachable("refuses the connection")
    error.__cause__ = ConnectionRefusedError()
    return error


FAILURES = [
    ("name", errors.Unreachable("cannot be resolved")),
    ("tcp", errors.Unreachable("does not answer")),
    ("tcp", refused()),
    ("identity", errors.NotAPrinter("no TLS")),
    ("identity", errors.IdentityMismatch("changed")),
    ("identity", errors.ConfigError("printers.yaml is damaged")),
    ("login", errors.AccessDenied("refused")),
    ("login", errors.TooManyClients("full")),
    ("login", errors.Unreachable("broke")),
    ("reports", errors.Mute("nothing")),
    ("files", errors.Unreachable("no answer")),
    ("files", refused()),
    ("upload", errors.StorageMissing("553")),
    ("upload", errors.StorageFull("552")),
    ("upload", errors.UploadFailed("426")),
    ("camera", refused()),
    ("developer_mode", errors.DeveloperModeRequired("off")),
]


def test_each_failure_of_a_printer_has_a_remedy_of_its_own() -> None:
    found = [remedy(step, error, traits=TRAITS_OF, serial=SERIAL) for step, error in FAILURES]
    assert len(set(found)) == len(FAILURES)
    assert all(each.endswith((".", SERIAL)) for each in found)


def test_another_device_and_no_printer_at_all_mean_the_same() -> None:
    another, none = errors.AnotherDevice("another serial"), errors.NotAPrinter("no TLS")
    assert remedy("identity", another, traits=TRAITS_OF, serial=SERIAL) == remedy(
        "identity", none, traits=TRAITS_OF, serial=SERIAL
    )


def test_a_refused_code_is_looked_up_in_the_menus_of_that_model() -> None:
    assert "WLAN" in remedy("login", errors.AccessDenied("no"), traits=TRAITS_OF, serial=SERIAL)
    assert "WLAN" not in remedy("login", errors.AccessDenied("no"), traits=TRAITS[Model.H2D], serial=SERIAL)


@pytest.mark.parametrize(
    ("step", "error", "word"),
    [
        ("name", errors.Unreachable("cannot be resolved"), "printago.host"),
        ("tcp", errors.Unreachable("does not answer"), "firewall"),
        ("tcp", refused(), "printago.port"),
        ("identity", errors.NotAPrinter("no TLS"), "printago.tls"),
        ("identity", errors.IdentityMismatch("another name"), "password"),
        ("identity", errors.ConfigError("no such file"), "check"),
        ("login", errors.AccessDenied("refused"), "printago.username"),
        ("login", errors.Unreachable("hangs up"), "wait"),
        ("subscription", errors.LinkError("refused"), "topics"),
    ],
)
def test_each_failure_on_the_way_to_printago_names_what_to_look_at(
    step: str, error: errors.ConnectorError, word: str
) -> None:
    assert word in printago_remedy(step, error)


def test_a_refused_connection_is_told_from_one_that_nobody_answers() -> None:
    assert was_refused(refused())
    assert not was_refused(errors.Unreachable("does not answer"))
