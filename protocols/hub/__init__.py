"""The HTTP/1.1 server: one task, one epoll, plain calls. See README.md."""
