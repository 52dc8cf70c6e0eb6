"""Django with Channels, in one file: a page, an echo, and a chat room.

`h2ws-fast serve --app-dir examples/asgi django_app:app`. With `REDIS_URL=redis://localhost:6379/0`
the room is one for all worker processes; without, each process has its own.
"""

import os

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path

REDIS_URL = os.environ.get("REDIS_URL")
if REDIS_URL:
    # The layer asks Redis to wait for five seconds at a time; the client must be more patient.
    REDIS = {"address": REDIS_URL, "socket_timeout": 20}
    LAYER = {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [REDIS]}}
else:
    LAYER = {"BACKEND": "channels.layers.InMemoryChannelLayer"}

settings.configure(
    ALLOWED_HOSTS=["*"],
    CHANNEL_LAYERS={"default": LAYER},
    ROOT_URLCONF=__name__,
    SECRET_KEY="of an example",
)
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402  # it needs the settings


async def index(request: HttpRequest) -> HttpResponse:
    version = request.scope["http_version"]
    return HttpResponse(f"hello over HTTP/{version}", content_type="text/plain")


class Echo(AsyncWebsocketConsumer):
    async def receive(self, text_data: str = "", bytes_data: bytes = b"") -> None:
        await self.send(text_data)


class Chat(AsyncWebsocketConsumer):
    """Says who it is, the process, and passes every message to everyone in the room."""

    async def connect(self) -> None:
        await self.channel_layer.group_add("room", self.channel_name)
        await self.accept()
        await self.send(f"process {os.getpid()}")

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard("room", self.channel_name)

    async def receive(self, text_data: str = "", bytes_data: bytes = b"") -> None:
        await self.channel_layer.group_send("room", {"type": "chat.said", "text": text_data})

    async def chat_said(self, event: dict[str, str]) -> None:
        await self.send(event["text"])


urlpatterns = [path("", index)]
app = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter([path("echo", Echo.as_asgi()), path("chat", Chat.as_asgi())]),
    }
)
