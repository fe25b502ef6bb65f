"""The gRPC API `oclaw.v1`: its .proto files, and what `make proto` generates from them."""
