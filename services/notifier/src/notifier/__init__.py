"""The notifier service: sends job events to WebSocket clients."""
