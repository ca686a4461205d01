"""The orders as values: how old each may be, and that none can be changed or betrays a secret."""

import typing
from dataclasses import FrozenInstanceError, is_dataclass

import pytest

from bambu_connector.printago import orders
from tests.printago.examples import BY_COMMAND, EXAMPLES, TOKEN, Example, accepted, message

every_example = pytest.mark.parametrize("each", EXAMPLES, ids=lambda each: each.command)


@every_example
def test_an_order_expires_after_as_long_as_the_contract_says(each: Example) -> None:
    order = accepted(message(each.command, each.parameters)).order
    assert order.max_age == each.max_age


@every_example
def test_an_order_cannot_be_changed(each: Example) -> None:
    order = accepted(message(each.command, each.parameters)).order
    assert is_dataclass(order)
    with pytest.raises((FrozenInstanceError, TypeError)):
        order.max_age = 1.0  # type: ignore[misc]


@every_example
def test_equal_messages_make_equal_orders_without_a_secret(each: Example) -> None:
    one, other = (accepted(message(each.command, each.parameters)).order for _ in range(2))
    assert one == other
    assert TOKEN not in repr(one)


def test_every_order_has_an_example() -> None:
    known = {type(accepted(message(each.command, each.parameters)).order) for each in BY_COMMAND.values()}
    assert set(typing.get_args(orders.AnyOrder)) <= known


def test_the_kinds_of_orders_do_not_overlap() -> None:
    kinds = [typing.get_args(kind) for kind in (orders.JobOrder, orders.FileOrder, orders.DirectOrder)]
    assert len({order for kind in kinds for order in kind}) == sum(map(len, kinds))
