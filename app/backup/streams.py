"""Streams that are pulled: bytes from an iterator, or from a thread that pushes them."""

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol

BLOCK = 1 << 20


class Readable(Protocol):
    """What gives bytes in order, as many as asked for, fewer only at the end."""

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes."""


class Pulled:
    """A reader over an iterator of bytes; `moved` is told how many were taken."""

    def __init__(self, parts: Iterator[bytes], moved: Callable[[int], None] = lambda taken: None) -> None:
        self.parts = parts
        self.moved = moved
        self.held = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer only at the end."""
        taken = []
        while size:
            if not self.held:
                part = next(self.parts, None)
                if part is None:
                    break
                self.held = memoryview(part)
            taken.append(self.held[:size])
            self.held = self.held[size:]
            size -= len(taken[-1])
        data = b"".join(taken)
        self.moved(len(data))
        return data


class Watched:
    """A stream that remembers what went wrong in it: pyrage tells of an error without its kind.

    A full disk and Ctrl-C are to be told apart.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.error: BaseException | None = None

    def read(self, size: int) -> bytes:
        """Return the next bytes of the stream."""
        return self._kept(self.stream.read, size)

    def write(self, data: bytes) -> int:
        """Write to the stream."""
        return self._kept(self.stream.write, data)

    def flush(self) -> None:
        """Hand on what the stream still holds."""
        self._kept(self.stream.flush)

    def _kept(self, act: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return act(*arguments)
        except BaseException as error:
            self.error = error
            raise


class Pushed:
    """A reader over what `push` writes in a thread; its error is raised here, at the latest at the end.

    So nobody takes a stream for whole that was cut off.
    """

    def __init__(self, push: Callable[[BinaryIO], None]) -> None:
        self.error: BaseException | None = None
        source, sink = os.pipe()
        self.source = os.fdopen(source, "rb")
        self.thread = threading.Thread(target=self._run, args=(push, sink), daemon=True)
        self.thread.start()

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer only at the end."""
        data = self.source.read(size)
        if len(data) < size:
            self.thread.join()
            if self.error:
                raise self.error
        return data

    def close(self) -> None:
        """Let go, wherever the stream is; a thread that still writes finds nobody who reads and ends."""
        self.source.close()
        self.thread.join()

    def _run(self, push: Callable[[BinaryIO], None], sink: int) -> None:
        try:
            with os.fdopen(sink, "wb", BLOCK) as out:
                push(out)
        except BaseException as error:  # whatever it was belongs to the reader
            self.error = error


def blocks(stream: Readable) -> Iterator[bytes]:
    """Yield the stream's bytes, a mebibyte at a time."""
    while block := stream.read(BLOCK):
        yield block
