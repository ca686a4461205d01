"""Reports with things in them that must not be seen, planted in any place."""

import re
from ipaddress import IPv4Address
from typing import Any

from hypothesis import strategies as st

from bambu_connector.bambu.needles import Known
from bambu_connector.bambu.vocabulary import is_own
from bambu_connector.secret import Secret
from tests.bambu.reports import Fields, as_delta, h2d, p1s, places, replaced

NAMES = (
    st.text("abcXYZäß0189 -_.'\"\\/", min_size=4, max_size=16)
    .map(str.strip)
    .filter(lambda text: len(text) >= 4 and any(map(str.isalpha, text)) and not is_own(text))
)
SERIALS = st.from_regex(re.compile(r"0[0-9][0-9A-Z]0[0-9]A[1-9][0-9]{8}", re.ASCII), fullmatch=True)
CODES = st.from_regex(re.compile(r"[0-9a-f]{8}", re.ASCII), fullmatch=True).filter(lambda text: len(set(text)) > 3)
HOSTS = st.ip_addresses(v=4).filter(lambda address: int(address) >= 1 << 24).map(str)


@st.composite
def planted(draw: st.DrawFn) -> tuple[Known, list[Fields]]:
    """A full report and two deltas, with what must not be seen planted into them."""
    serial, code, host, name = draw(SERIALS), draw(CODES), draw(HOSTS), draw(NAMES)
    known = Known(serials=(serial,), hosts=(host,), names=(name,), secrets=(Secret(code),))
    numbers: list[Any] = [int.from_bytes(IPv4Address(host).packed, order) for order in ("little", "big")]
    plants: list[Any] = [serial, code, host, name, serial.lower(), *(number for number in numbers if number >> 20)]
    plants += [int(code)] if code.isdecimal() and code[0] != "0" else []
    forms = st.sampled_from(
        ["{}", "it is {} here", "/sdcard/{}/x.3mf", "{}.gcode.3mf", "https://{}/a?b={}", "<{}>", "a ({}), {}."]
    )
    trees = []
    for tree in (draw(st.sampled_from([p1s(), h2d()])), as_delta(mc_percent=3), as_delta(ams={"ams": []})):
        for _ in range(draw(st.integers(0, 4))):
            plant = draw(st.sampled_from(plants))
            if isinstance(plant, str):
                plant = draw(forms).format(plant, plant)
                plant = {plant: plant} if draw(st.booleans()) else plant
            tree = replaced(tree, draw(st.sampled_from(places(tree))), plant)  # noqa: PLW2901 - planted one by one
        trees.append(tree)
    return known, trees


def found_in(text: str, needle: str) -> bool:
    """Say whether it stands there; a short one only where it is a whole word."""
    if len(needle) >= 8:
        return needle.lower() in text.lower()
    return re.search(rf"(?<!\w){re.escape(needle)}(?!\w)", text, re.IGNORECASE) is not None


def texts_of(tree: Any) -> list[str]:
    """Return every key and value as a text."""
    match tree:
        case dict():
            return [*map(str, tree), *(text for value in tree.values() for text in texts_of(value))]
        case list():
            return [text for value in tree for text in texts_of(value)]
        case _:
            return [str(tree)]
