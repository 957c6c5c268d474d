"""The HTTP and WebSocket surface, one module per group of routes. Handlers translate; the parts they call decide."""
