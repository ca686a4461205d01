"""Each failure has its own sentence, and keeps its class: exit codes hang on it."""

import pytest

from bambu_connector.bambu.models import TRAITS, Model
from bambu_connector.errors import (
    AccessDenied,
    IdentityMismatch,
    LinkError,
    Mute,
    NotAPrinter,
    TooManyClients,
    Unreachable,
)
from bambu_connector.service.pairing_words import explained

KINDS = (AccessDenied, TooManyClients, Mute, NotAPrinter, Unreachable)


def words(error: LinkError) -> LinkError:
    return explained(error, name="Left", place="192.0.2.9", traits=TRAITS[Model.P1S])


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_stays_what_it_is_and_says_what_to_do(kind: type[LinkError]) -> None:
    error = words(kind("it was so."))
    assert type(error) is kind
    assert str(error).endswith((".", "?"))
    assert ".." not in str(error)


def test_no_two_sentences_are_alike() -> None:
    assert len({str(words(kind("so"))) for kind in KINDS}) == len(KINDS)


def test_a_refused_code_names_the_menu_of_the_model() -> None:
    assert "Settings > WLAN" in str(words(AccessDenied("no")))


def test_a_certificate_that_is_not_right_says_so_itself() -> None:
    error = IdentityMismatch("the certificate is another one")
    assert words(error) is error
