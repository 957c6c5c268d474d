"""The HTTP and WebSocket API, one module per group of routes. Handlers only translate; the components decide."""
