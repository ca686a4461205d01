"""Templates to topics and back: every printer has its own, none is a wildcard, a topic names one printer at most."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.printago.topics import Topics

DEFAULT: Final = Topics(
    connector_id="pi",
    commands=("bambu/commands", "bambu/{printer_id}/commands"),
    messages="bambu/{printer_id}/{type}",
    availability="bambu/{connector_id}/mqtt",
)
# Ids are without `/`, `+` and `#`: the configuration sees to that.
IDS: Final = st.text(st.characters(exclude_characters="/+#\x00", exclude_categories=["Cs"]), min_size=1, max_size=12)
NAMES: Final = st.text("abcxyz019-_.", min_size=1, max_size=8)


def test_the_default_topics_are_those_of_the_contract() -> None:
    routes = DEFAULT.command_routes(["left", "right"])
    assert routes.topics() == ("bambu/commands", "bambu/left/commands", "bambu/right/commands")
    assert DEFAULT.message("left", "status") == "bambu/left/status"
    assert DEFAULT.message("pi", "error") == "bambu/pi/error"
    assert DEFAULT.availability_topic() == "bambu/pi/mqtt"


def test_a_shared_topic_names_no_printer() -> None:
    assert DEFAULT.command_routes(["left"]).printer_of("bambu/commands") is None


def test_a_topic_of_nobody_names_no_printer() -> None:
    assert DEFAULT.command_routes(["left"]).printer_of("bambu/right/commands") is None


def test_a_template_without_the_printer_gives_one_topic_for_all() -> None:
    topics = Topics(connector_id="pi", commands=("octo/in",), messages="octo/{type}", availability="octo/mqtt")
    assert topics.command_routes(["left", "right"]).topics() == ("octo/in",)
    assert {topics.message(each, "event") for each in ("left", "right")} == {"octo/event"}


def test_the_connectors_id_may_stand_in_every_template() -> None:
    topics = Topics(
        connector_id="pi",
        commands=("{connector_id}/{printer_id}/in", "{connector_id}/in"),
        messages="{connector_id}/{printer_id}/{type}",
        availability="{connector_id}",
    )
    assert topics.command_routes(["left"]).topics() == ("pi/in", "pi/left/in")
    assert topics.message("left", "status") == "pi/left/status"
    assert topics.availability_topic() == "pi"


@pytest.mark.parametrize("printer_id", ["{type}", "{connector_id}", "{0}", "{printer_id.__class__}", "a b"])
def test_an_id_is_never_a_template_itself(printer_id: str) -> None:
    assert DEFAULT.message(printer_id, "status") == f"bambu/{printer_id}/status"
    assert DEFAULT.command_routes([printer_id]).printer_of(f"bambu/{printer_id}/commands") == printer_id


def test_without_printers_only_the_shared_topics_are_left() -> None:
    assert DEFAULT.command_routes([]).topics() == ("bambu/commands",)


@given(
    st.lists(IDS, unique=True, max_size=6), st.lists(NAMES, min_size=1, max_size=3), st.integers(0, 3), st.booleans()
)
def test_every_topic_leads_back_to_its_printer(ids: list[str], levels: list[str], at: int, shared: bool) -> None:
    template = "/".join([*levels[:at], "{printer_id}", *levels[at:], "commands"])
    every = "/".join([*levels, "x", "y", "z", "all"])
    topics = Topics(
        connector_id="pi",
        commands=(template, every) if shared else (template,),
        messages="m/{printer_id}/{type}",
        availability="a",
    )
    routes = topics.command_routes(ids)
    assert len(routes.topics()) == len(ids) + shared
    assert {routes.printer_of(topic) for topic in routes.topics()} == {*ids, *([None] if shared else [])}
    for topic in routes.topics():
        assert not {"+", "#"} & set(topic)
        printer = routes.printer_of(topic)
        assert topic == (every if printer is None else template.replace("{printer_id}", printer))
