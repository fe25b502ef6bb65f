"""HTTP/1.1 as pure machines: bytes in, values out. See README.md."""
