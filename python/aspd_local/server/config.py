"""What `aspd serve` may be told, and the limits within which it answers strangers."""

from __future__ import annotations

from dataclasses import dataclass, field

from aspd_local.typing import EngineSettings

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of single requests and of all together; beyond them a request is refused, never cut.

    Attributes:
        body_bytes: of a request's body, as much as chat templates are rendered from.
        n_waiting: most answers that wait for their turn, over those that the engine works at.
        read_s: seconds for a body to arrive. send_s: seconds in which a client takes no byte before its
            answer is cancelled.
        shutdown_s: seconds that answers under way may still take when the server shall end.
        idle_s: seconds that a connection without a request stays open; longer than clients keep theirs.
    """

    body_bytes: int = 4 << 20
    n_waiting: int = 64
    read_s: float = 30.0
    send_s: float = 30.0
    shutdown_s: float = 10.0
    idle_s: int = 120


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """A server.

    Attributes:
        models: what Model() takes, by the name that requests use; the first is the default.
        host, port: where it listens; port 0: any free one.
        api_key: asked of every request but /health and the page; None: none. Required beyond the loopback
            addresses.
        hosts: names in a Host header beside those of loopback. origins: in an Origin header, as
            "https://app.example"; only they get CORS headers.
        keep_alive: seconds that a model stays in memory after its last answer; negative: for ever.
        memory_bytes: of all models in memory together; None: no limit.
        engine: settings of every model.
        strict: fields of requests that would be accepted without effect are refused.
        offline: fetch nothing. n_gpu_layers: as in Model.
    """

    models: dict[str, str]
    host: str = "127.0.0.1"
    port: int = 8411
    api_key: str | None = None
    insecure: bool = False
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    keep_alive: float = 300.0
    memory_bytes: int | None = None
    strict: bool = False
    offline: bool = False
    n_gpu_layers: int = -1
    engine: EngineSettings = field(default_factory=EngineSettings)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("a server needs a model")
        if not 0 <= self.port < 65536:
            raise ValueError(f"port must be between 0 and 65535, not {self.port}")
        if self.api_key is not None and len(self.api_key) < 8:
            raise ValueError("a key has 8 characters or more")
        if not self.is_loopback and self.api_key is None and not self.insecure:
            raise ValueError(
                f"{self.host} can be reached from other machines: set a key (--api-key, ASPD_API_KEY), "
                "or say --insecure"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host.strip("[]") in LOOPBACK

    @property
    def default_model(self) -> str:
        """The model of a request that names none."""
        return next(iter(self.models))
