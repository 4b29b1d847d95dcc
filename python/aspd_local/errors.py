"""The errors of aspd_local. Each carries its facts as attributes, so nobody has to read its text.

A bad argument is a ValueError. Everything else that can go wrong is an AspdError. The compiled core raises
the classes of this module; it knows nothing of the download errors at the end.
"""

from __future__ import annotations


class AspdError(Exception):
    """Base of all errors but bad arguments.

    Subclasses keep their own arguments in `args`, so that they survive pickle.

    Attributes:
        message: the whole text that a person reads, one line.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class ModelError(AspdError):
    """A model file is missing, not GGUF, truncated or unsupported.

    Attributes:
        path: the file; empty where there is none.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.args = (message, path)
        self.path = path


class ContextFullError(AspdError):
    """A request does not fit the context. Raised before anything is decoded.

    Attributes:
        needed: cells of the KV cache that the request needs, at least.
        available: cells that are free.
    """

    def __init__(self, needed: int, available: int) -> None:
        super().__init__(f"the context is full: {needed} cells needed, {available} available")
        self.args = (needed, available)
        self.needed = needed
        self.available = available


class CancelledError(AspdError):
    """The caller stopped a load or a wait."""


class DecodeError(AspdError):
    """llama.cpp could not compute a batch.

    Attributes:
        code: llama.cpp's return code.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.args = (code, message)
        self.code = code


class EngineBusyError(AspdError):
    """A second thread is inside the engine."""

    def __init__(self) -> None:
        super().__init__("another thread is inside this engine")
        self.args = ()


class ProtocolError(AspdError):
    """A protocol's markers are absent from the vocabulary, not CONTROL, or its file is malformed.

    Attributes:
        protocol: the protocol's name.
    """

    def __init__(self, protocol: str, message: str) -> None:
        super().__init__(message)
        self.args = (protocol, message)
        self.protocol = protocol


class DataError(AspdError):
    """A file of answers or examples cannot be used, or the judge of a data pipeline does not answer.

    Attributes:
        source: the file or endpoint.
        reason: why, one line.
    """

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.args = (source, reason)
        self.source = source
        self.reason = reason


class DownloadError(AspdError):
    """A model file could not be fetched. What had arrived is kept where it can be used again.

    Attributes:
        source: the name of the model or file that was asked for.
        reason: why it failed, one line.
        candidates: the names that could have been meant; empty where that is not the trouble.
    """

    def __init__(self, source: str, reason: str, candidates: tuple[str, ...] = ()) -> None:
        super().__init__(f"{source}: {reason}" if source else reason)
        self.args = (source, reason, candidates)
        self.source = source
        self.reason = reason
        self.candidates = candidates


class HashMismatchError(DownloadError):
    """A file's bytes are not those that its source names.

    Attributes:
        path: the file.
        expected: the checksum that the source names, hexadecimal.
        actual: the checksum of the bytes, hexadecimal.
    """

    def __init__(self, path: str, expected: str, actual: str, source: str = "") -> None:
        super().__init__(source or path, f"wrong checksum: {expected} expected, {actual} found")
        self.args = (path, expected, actual, source)
        self.path = path
        self.expected = expected
        self.actual = actual


class OfflineError(DownloadError):
    """A file is not on this machine, and the network may not be used."""


class DiskFullError(DownloadError):
    """There is no room for a download. What had arrived is kept; the same call goes on from there.

    Attributes:
        path: the folder without room.
        needed: bytes still to be written.
    """

    def __init__(self, source: str, path: str, needed: int) -> None:
        super().__init__(source, f"no space left in {path}: {needed} more bytes are needed")
        self.args = (source, path, needed)
        self.path = path
        self.needed = needed
