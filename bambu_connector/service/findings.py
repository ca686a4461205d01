"""What a look at one step of the way to a printer or to Printago found: what `pair` and `doctor` tell."""

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Self, get_args

from bambu_connector.errors import ConnectorError

Outcome = Literal["ok", "warning", "failed", "skipped"]
_OUTCOMES: Final = get_args(Outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One step: how it went, how long it took, and for what is not right the one thing to do.

    `code` and `exit_code` are those of the error behind a failure, as the contract lists them.
    """

    step: str
    outcome: Outcome
    seconds: float | None
    told: str
    advice: str | None = None
    code: str | None = None
    exit_code: int = 0

    @classmethod
    def failure(cls, step: str, error: ConnectorError, seconds: float | None, advice: str | None = None) -> Self:
        """Return what an error means for a step."""
        return cls(
            step=step,
            outcome="failed",
            seconds=seconds,
            told=str(error),
            advice=advice,
            code=error.code,
            exit_code=error.exit_code,
        )

    def body(self) -> dict[str, Any]:
        """Return it as JSON knows it, for the control socket and `--json`."""
        return asdict(self)

    @classmethod
    def of(cls, body: dict[str, Any]) -> Self:
        """Return what `body` made; raises ValueError when it is not that."""
        if body.get("outcome") not in _OUTCOMES or not isinstance(body.get("step"), str):
            raise ValueError("this is no finding")
        try:
            return cls(**body)
        except TypeError as error:
            raise ValueError("this is no finding") from error
