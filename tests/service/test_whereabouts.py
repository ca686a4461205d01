"""Where a printer may be: every place gets its turn, and an announcement never shuts the others out."""

from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.service.whereabouts import Whereabouts

places = st.sampled_from(["192.0.2.1", "192.0.2.2", "192.0.2.3", "printer.lan"])


def test_nobody_has_said_where() -> None:
    nowhere = Whereabouts(None)
    assert (nowhere.next(), nowhere.current, nowhere.places()) == (None, None, ())


def test_what_was_announced_comes_first_then_what_worked_then_what_is_configured_then_what_is_remembered() -> None:
    where = Whereabouts("configured", "remembered")
    assert where.places() == ("configured", "remembered")
    where.proved("worked")
    where.announced("announced")
    assert where.places() == ("announced", "worked", "configured", "remembered")
    assert where.next() == "announced"


def test_a_place_that_failed_waits_until_every_other_had_its_turn() -> None:
    where = Whereabouts("configured", "remembered")
    tried = []
    for _ in range(4):
        place = where.next()
        assert place is not None
        tried.append(place)
        where.failed(place)
    assert tried == ["configured", "remembered", "configured", "remembered"]


def test_a_printer_that_was_found_elsewhere_moved_and_one_that_was_nowhere_did_not() -> None:
    where = Whereabouts("old")
    assert where.proved("new") == "old"
    assert where.proved("new") is None
    assert Whereabouts(None).proved("new") is None
    assert Whereabouts("old", "new").proved("new") is None


def test_only_what_the_next_process_would_not_know_is_worth_noting() -> None:
    where = Whereabouts("old")
    assert where.is_noted("old")
    assert not where.is_noted("new")
    where.noted("new")
    assert where.is_noted("new")
    assert not where.is_noted("old")  # it is back there: the note would send the next process astray


def test_an_announcement_of_a_known_place_is_no_news_and_gives_it_another_turn_once() -> None:
    where = Whereabouts("old")
    where.failed("old")
    assert not where.announced("old")
    assert where.announced("new")
    assert not where.announced("new")
    where.failed("new")
    assert where.places() == ("old",)  # a rumour that was none is forgotten
    assert where.next() == "old"
    assert where.announced("new")


def test_only_an_announcement_speaks_for_a_place_until_the_printer_proved_to_be_there() -> None:
    where = Whereabouts("old")
    where.announced("new")
    assert where.is_only_announced("new")
    where.proved("new")
    assert not where.is_only_announced("new")


def test_an_owner_who_says_where_it_is_is_believed_over_everything_that_was_found() -> None:
    where = Whereabouts("old", "remembered")
    where.proved("found")
    where.configure("new")
    assert where.places() == ("new",)
    where.proved("new")
    where.configure(None)
    assert where.places() == ("new",)


@given(st.lists(st.tuples(st.sampled_from(["announced", "failed", "proved"]), places), max_size=20))
def test_whatever_is_announced_the_configured_place_gets_its_turn(script: list[tuple[str, str]]) -> None:
    where = Whereabouts("192.0.2.9")
    for what, somewhere in script:
        getattr(where, what)(somewhere)
    tried = []
    for number in range(8):
        place = where.next()
        assert place is not None
        tried.append(place)
        where.failed(place)
        where.announced(f"198.51.100.{number}")  # a liar is heard after each attempt
    assert "192.0.2.9" in tried[:8]


def test_lies_about_a_printer_without_an_address_do_not_pile_up() -> None:
    where = Whereabouts(None)
    for number in range(1000):
        where.announced(f"198.51.100.{number}")
        place = where.next()
        assert place is not None
        where.failed(place)
    assert len(where._failed) <= 2
