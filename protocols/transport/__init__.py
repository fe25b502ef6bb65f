"""Non-blocking byte pipes over a socket, plain or TLS, and a Trio stream on top. See README.md."""
