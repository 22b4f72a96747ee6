"""The door: one ASGI app with the guard in front of REST and page."""
