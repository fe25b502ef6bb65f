"""gRPC on Trio: calls of all four kinds, server and client, over `protocols.http2` and grpclib's generated
code.
"""
