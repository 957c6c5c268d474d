"""Websockets that end when their application has ended, also where the peer does not read."""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class BoundedWebSockets(WebSocketsSansIOProtocol):
    """uvicorn 0.54's protocol, but a connection whose peer stopped reading is cut once its application returns.

    uvicorn only closes the transport then, which waits for what is buffered to be read: for ever.
    """

    async def run_asgi(self) -> None:
        """Run the application for one websocket."""
        await super().run_asgi()
        if not self.writable.is_set():
            self.transport.abort()
