"""`aspd serve`: an OpenAI-compatible server whose branches can be watched. Extra: `[server]`.

>>> from aspd_local.server import ServerConfig, create_app
>>> app = create_app(ServerConfig(models={"smollm2-135m-aspd": "smollm2-135m-aspd"}))  # an ASGI application
"""

from aspd_local.server.app import create_app
from aspd_local.server.config import Limits, ServerConfig

__all__ = ["Limits", "ServerConfig", "create_app"]
