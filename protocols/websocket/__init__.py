"""WebSocket (RFC 6455) over a Trio stream, server and client. See README.md."""
