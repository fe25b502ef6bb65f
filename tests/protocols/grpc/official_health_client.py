"""The official health and reflection clients, as a program of their own.

Their generated code registers the same messages as grpclib's, which one process cannot hold twice. Usage:
`python official_health_client.py PORT`; reads a line from standard input when the server's state should change.
"""

from __future__ import annotations

import json
import sys

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


def main() -> None:
    with grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}") as channel:
        stub = HealthStub(channel)
        request = HealthCheckRequest(service="test.Echo")
        watch = stub.Watch(request, timeout=60)
        states = [stub.Check(request, timeout=60).status, next(watch).status]
        print("watching", flush=True)
        states.append(next(watch).status)
        try:
            missing = str(stub.Check(HealthCheckRequest(service="nobody"), timeout=60))
        except grpc.RpcError as error:
            missing = error.code().name
        unknown = next(stub.Watch(HealthCheckRequest(service="nobody"), timeout=60)).status
        database = ProtoReflectionDescriptorDatabase(channel)
        found = database.FindFileContainingSymbol("grpc.health.v1.Health").package
        print(json.dumps([states, missing, unknown, sorted(database.get_services()), found]), flush=True)


main()
