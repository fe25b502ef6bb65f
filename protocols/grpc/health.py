"""The standard health service (grpc.health.v1): Check answers, Watch tells every change.

Whoever knows a service's state says so with `set`; the empty name stands for the whole server.
"""

from __future__ import annotations

from typing import Any

import trio
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.health.v1.health_grpc import HealthBase
from grpclib.health.v1.health_pb2 import HealthCheckResponse

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING


class Health(HealthBase):
    """`Any` below: the streams are ours, the generated base names grpclib's."""

    def __init__(self, *services: str) -> None:
        """Every service begins as serving, and so does the server."""
        self._states: dict[str, HealthCheckResponse.ServingStatus.ValueType] = dict.fromkeys(("", *services), SERVING)
        self._changed = trio.lowlevel.ParkingLot()

    def set(self, service: str, *, serving: bool) -> None:
        """Tell a service's state, "" for the server's; watchers hear of a change."""
        self._states[service] = SERVING if serving else NOT_SERVING
        self._changed.unpark_all()

    def set_all(self, *, serving: bool) -> None:
        """Every service and the server: what a drain does first."""
        for service in self._states:
            self.set(service, serving=serving)

    async def Check(self, stream: Any) -> None:
        request = await stream.recv_message()
        if request is None:
            raise GRPCError(Status.INVALID_ARGUMENT, "Check needs a request.")
        if request.service not in self._states:
            raise GRPCError(Status.NOT_FOUND, f"There is no service {request.service!r} here.")
        await stream.send_message(HealthCheckResponse(status=self._states[request.service]))

    async def Watch(self, stream: Any) -> None:
        request = await stream.recv_message()
        if request is None:
            raise GRPCError(Status.INVALID_ARGUMENT, "Watch needs a request.")
        told = None
        while True:
            state = self._states.get(request.service, HealthCheckResponse.SERVICE_UNKNOWN)
            if state != told:
                await stream.send_message(HealthCheckResponse(status=state))
                told = state
            else:
                await self._changed.park()
