"""Asking for pairings: of the running service, or of a farm of our own; several at the same time."""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

from bambu_connector.cli.service_client import Service
from bambu_connector.cli.stepping import stepped
from bambu_connector.config import Config
from bambu_connector.errors import ConnectorError, Unreachable
from bambu_connector.secret import Secret
from bambu_connector.service.lock import StateLock

AT_ONCE: Final = 8
Tree = dict[str, Any]
Request = tuple[Tree, Secret | None]
"""What is asked, and the access code that goes with it."""
Answer = tuple[int, Tree]
"""The number of the request, and what was answered: progress, the end, or an error as the control socket writes it."""


def stream(config: Config, requests: Sequence[Request]) -> Iterator[Answer]:
    """Yield every answer as it comes; each request ends with an answer that is no progress.

    Raises ConnectorError when nothing at all can be asked.
    """
    service = Service.find(config.connector.state_dir)
    if service is None:
        yield from stepped(_alone(config, requests))
    elif len(requests) == 1:
        try:
            yield from ((0, each) for each in _asked(service, requests[0]))
        finally:
            service.close()
    else:
        service.close()
        yield from _through_service(config.connector.state_dir, requests)


def check_that_it_can_be_kept(config: Config) -> None:
    """Raise ConnectorError where nobody could store a pairing; the running service has checked that for itself."""
    service = Service.find(config.connector.state_dir)
    if service is not None:
        service.close()
        return
    with StateLock(config.connector.state_dir):
        pass


def _complete(request: Request) -> Tree:
    body, code = request
    return body if code is None else body | {"access_code": code.reveal()}


def _error(error: ConnectorError) -> Tree:
    return {"error": str(error), "code": error.code, "exit_code": error.exit_code}


# -- the running service ---------------------------------------------------------------------------


def _asked(service: Service, request: Request) -> Iterator[Tree]:
    try:
        yield from service.ask(_complete(request))
    except ConnectorError as error:
        yield _error(error)


def _through_service(state_dir: Path, requests: Sequence[Request]) -> Iterator[Answer]:
    """Ask with several connections, each in a thread: it answers one request of a connection after the other.

    The threads end with the process: then the service sees that nobody listens any more, and undoes what is half done.
    """
    waiting = deque(enumerate(requests))
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()

    def work() -> None:
        while waiting:
            try:
                number, request = waiting.popleft()
            except IndexError:  # another thread was faster
                return
            for each in _asked_anew(state_dir, request):
                answers.put((number, each))

    for number in range(min(AT_ONCE, len(requests))):
        threading.Thread(target=work, name=f"pairing {number}", daemon=True).start()
    left = len(requests)
    while left:
        answer = answers.get()
        left -= "progress" not in answer[1]
        yield answer


def _asked_anew(state_dir: Path, request: Request) -> Iterator[Tree]:
    try:
        service = Service.find(state_dir)
    except ConnectorError as error:
        yield _error(error)
        return
    if service is None:
        yield _error(Unreachable("The service has ended."))
        return
    yield from _asked(service, request)
    service.close()


# -- a farm of our own -----------------------------------------------------------------------------


async def _alone(config: Config, requests: Sequence[Request]) -> AsyncGenerator[Answer, None]:
    from bambu_connector.cli.alone import farm_alone
    from bambu_connector.service import pairing

    serials = {body.get("serial") for body, _ in requests}
    here = tuple(each for each in config.printers if each.serial in serials)
    answers: asyncio.Queue[Answer | None] = asyncio.Queue()
    places = asyncio.Semaphore(AT_ONCE)
    async with farm_alone(config, here) as farm:

        async def ask(number: int, request: Request) -> None:
            try:
                async with places, aclosing(pairing.answers(farm, _complete(request))) as found:
                    async for each in found:
                        answers.put_nowait((number, each))
            except ConnectorError as error:
                answers.put_nowait((number, _error(error)))
            finally:
                answers.put_nowait(None)

        tasks = [asyncio.create_task(ask(*each)) for each in enumerate(requests)]
        left = len(tasks)
        try:
            while left:
                answer = await answers.get()
                if answer is None:
                    left -= 1
                else:
                    yield answer
            await asyncio.gather(*tasks)  # a bug in one of them ends the command
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
