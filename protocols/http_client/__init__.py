"""HTTP/1.1 requests over pooled connections, with honest errors. See README.md."""
