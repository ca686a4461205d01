"""Where one printer may be: its serial is who it is, an address is only where it was seen last.

Any of these places may be wrong or a lie. That costs an attempt: who answers must prove to be the printer before it is
told anything.
"""


class Whereabouts:
    """The places of one printer, those first that are likeliest right.

    `configured` is what its owner wrote or what it was paired at, `remembered` where an earlier process found it.
    """

    def __init__(self, configured: str | None, remembered: str | None = None) -> None:
        self._configured = configured
        self._remembered = remembered
        self._announced: str | None = None
        self._worked: str | None = None
        self._address: str | None = None
        """What the place that worked is by number, where it is a host name."""
        self._failed: set[str] = set()
        self._was_misled = False

    @property
    def current(self) -> str | None:
        """Where it proved to be last, in this process; before that, where it is supposed to be."""
        return self._worked or self._configured or self._remembered or self._announced

    def places(self) -> tuple[str, ...]:
        """Return every place there is, the likeliest first."""
        known = (self._announced, self._worked, self._configured, self._remembered)
        return tuple(dict.fromkeys(each for each in known if each is not None))

    def next(self) -> str | None:
        """Return the place to try next: each comes once before any comes again. None: nobody has said where.

        After a rumour that was none it is a known place's turn: who announces lies faster than they can be tried must
        not keep us from where the printer is.
        """
        places = self.places()
        if self._was_misled:
            places = tuple(each for each in places if not self.is_only_announced(each)) or places
        if self._failed.issuperset(places):
            self._failed.difference_update(places)
        return next((each for each in places if each not in self._failed), None)

    def is_elsewhere(self, place: str) -> bool:
        """Say whether a place is not the one that worked last."""
        return place not in {self.current, self._address}

    def is_only_announced(self, place: str) -> bool:
        """Say whether nothing but an announcement, which anybody can send, speaks for a place."""
        return place not in (self._worked, self._configured, self._remembered)

    def failed(self, place: str) -> None:
        """The printer was not reached there, or it is somebody else; a rumour is forgotten until it is heard again."""
        self._was_misled = self.is_only_announced(place)
        self._failed.add(place)
        if self._was_misled and len(self.places()) > 1:
            self._announced = None
            self._failed.discard(place)

    def proved(self, place: str, address: str | None = None) -> str | None:
        """The printer proved to be itself there; return where it was supposed to be if that is another place.

        `address` is what a host name turned out to mean.
        """
        before = self._worked or self._remembered or self._configured
        self._worked, self._address = place, address
        self._failed.clear()
        return None if before in {None, place} else before

    def is_noted(self, place: str) -> bool:
        """Say whether a later process would look there first, or second."""
        return place == (self._remembered or self._configured)

    def noted(self, place: str) -> None:
        """A later process will know this place."""
        self._remembered = place

    def announced(self, place: str) -> bool:
        """Somebody says that the printer is there; return whether that is news."""
        if place == self._address:
            return False
        news = place not in self.places()
        if place != self._announced:
            self._failed.discard(self._announced or "")  # announcements of strangers must not pile up
            self._announced = place
            self._failed.discard(place)
        return news

    def configure(self, place: str | None) -> None:
        """Its owner says where it is now; what was found before counts no more, unless that is all there is."""
        self._configured = place
        self._failed.clear()
        if place is not None:
            self._worked = self._address = self._remembered = self._announced = None
