"""A network that is looked at step by step, as a table of what goes wrong in it."""

from collections.abc import Sequence

from bambu_connector.config import Printago, PrinterConfig

FINGERPRINT = f"sha256:{'cd' * 32}"


class FakeVisit:
    """A session with Printago's broker that is only looked at."""

    def __init__(self, prober: "FakeProber") -> None:
        self._prober = prober
        self.protocol = "5"
        self.topics: list[str] = []
        self.is_open = True

    async def subscribe(self, topics: Sequence[str]) -> None:
        self._prober.take("subscribe")
        self.topics += topics

    async def close(self) -> None:
        self.is_open = False


class FakeProber:
    """Everything goes well but what `failures` names: a call, or a call with its port, as in `identity 6000`."""

    def __init__(self) -> None:
        self.failures: dict[str, Exception] = {}
        self.calls: list[str] = []
        self.visits: list[FakeVisit] = []
        self.addresses: tuple[str, ...] = ("192.0.2.7",)

    def take(self, call: str) -> None:
        """Note a call, and fail when that was wanted."""
        self.calls.append(call)
        failure = self.failures.get(call) or self.failures.get(call.partition(" ")[0])
        if failure is not None:
            raise failure

    async def resolve(self, host: str) -> tuple[str, ...]:
        self.take(f"resolve {host}")
        return self.addresses

    async def reach(self, host: str, port: int) -> None:
        assert host
        self.take(f"reach {port}")

    async def identity(self, printer: PrinterConfig, port: int) -> str:
        assert printer.host
        self.take(f"identity {port}")
        return FINGERPRINT

    async def broker_identity(self, printago: Printago) -> str:
        self.take(f"broker_identity {printago.port}")
        return "TLSv1.3"

    async def visit(self, printago: Printago) -> FakeVisit:
        self.take(f"visit {printago.port}")
        self.visits.append(FakeVisit(self))
        return self.visits[-1]
