"""Items made by a thread while others are used."""

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

Item = TypeVar("Item")


def ahead(items: Iterable[Item], depth: int) -> Iterator[Item]:
    """The same items, made by a thread that is up to `depth` of them ahead."""
    made: queue.Queue[Any] = queue.Queue(depth)
    over, given_up = object(), threading.Event()

    def make() -> None:
        last: Any = over
        try:
            for item in items:
                made.put(item)
                if given_up.is_set():
                    return
        except BaseException as error:
            last = error
        made.put(last)

    maker = threading.Thread(target=make, daemon=True)
    maker.start()
    try:
        while (item := made.get()) is not over:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        given_up.set()
        while maker.is_alive():
            with suppress(queue.Empty):
                made.get(timeout=0.05)
