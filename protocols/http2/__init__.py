"""HTTP/2 (RFC 9113) on Trio: a pure connection core and the thin driver that moves its bytes."""
