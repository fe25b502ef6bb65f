"""HTTP/2 connections of the common port: gRPC, imported when the first one comes or a grpc channel is configured.

The generated code imports grpclib's client and that asyncio: some 60 ms which a gateway that nobody
calls over gRPC does not pay. Health follows readiness; a drain refuses new calls, lets the running
ones end, and makes an end of those that have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import trio

from gateway.api.health import readiness
from gateway.channels.grpc import GrpcChannel
from gateway.daemon.gauges import vitals
from gateway.notices import RequestFailed
from gateway.supervise.crash import tell
from protocols.transport.stream import PipeStream

if TYPE_CHECKING:
    from gateway.api.rpc.server import RpcServer
    from gateway.daemon.serving import Serving

# How soon a health watcher hears of a change; a probe over HTTP comes every few seconds.
HEALTH_SECONDS = 0.5
# Callers whose call was cut have this long to take its status, before their connection goes.
FAREWELL_SECONDS = 2.0


class Rpc:
    """The gRPC side of the daemon. `nursery` holds connections."""

    def __init__(self, serving: Serving, nursery: trio.Nursery) -> None:
        self._serving, self._nursery = serving, nursery
        self._loading = trio.Lock()
        self._server: RpcServer | None = None
        self._connections = 0
        self._quiet = trio.Event()

    def entrance(self, stream: PipeStream) -> None:
        """Serve one connection in a task of its own; called by the hub."""
        self._nursery.start_soon(self._serve, stream)

    async def load(self) -> RpcServer:
        """Import what serves, once, in a thread; the loop goes on meanwhile."""
        async with self._loading:
            if self._server is None:
                self._server = await trio.to_thread.run_sync(self._imported)
                self._nursery.start_soon(self._watch_health)
                self.tell_health()
        return self._server

    def tell_health(self) -> None:
        """Let health say what readiness says now."""
        if self._server is not None:
            self._server.set_serving(serving=readiness(vitals(self._serving)).status == "ready")

    async def drain(self) -> None:
        """Tell callers to go elsewhere; their running calls go on."""
        await trio.lowlevel.checkpoint()
        self.tell_health()
        if self._server is not None:
            self._server.draining.set()

    async def finished(self) -> None:
        """Return when no call runs that ends by itself. The caller sets the deadline."""
        if self._server is not None:
            await self._server.calls.finished()

    async def end(self) -> None:
        """Make an end of the calls that still run, and let their connections close."""
        if self._server is not None:
            self._server.calls.end("The gateway is shutting down; come back to another, or in a moment.")
        with trio.move_on_after(FAREWELL_SECONDS):
            while self._connections:
                await self._quiet.wait()

    async def _serve(self, stream: PipeStream) -> None:
        self._connections += 1
        try:
            server = await self.load()
            await server.serve(stream)
        except* Exception as crash:  # a bug meets one connection, and all others go on
            self._serving.telling.report(RequestFailed("a gRPC connection", tell(crash)))
        finally:
            self._connections -= 1
            if not self._connections:
                self._quiet.set()
                self._quiet = trio.Event()
            stream.abort()

    def _imported(self) -> RpcServer:
        from gateway.api.rpc.server import RpcServer, Supplies

        serving = self._serving
        supplies = Supplies(
            channels=self._channels,
            results=serving.flow.results,
            report=serving.telling.report,
            models=lambda: serving.parts.models,
            access=lambda: serving.parts.settings.access,
            workers=serving.workers,
            worker_names=self.worker_names,
        )
        return RpcServer(supplies)

    def _channels(self) -> Iterator[GrpcChannel]:
        return (each for each in self._serving.channels.values() if isinstance(each, GrpcChannel))

    def worker_names(self) -> set[str]:
        """Name the workers that pipelines ask."""
        pipelines = self._serving.parts.pipelines.values()
        return {step.worker for pipeline in pipelines for step in pipeline.pipeline if step.worker}

    async def _watch_health(self) -> None:
        while True:
            await trio.sleep(HEALTH_SECONDS)
            self.tell_health()


def is_configured(serving: Serving) -> bool:
    """Tell whether callers are to be expected, so that the first one need not wait."""
    access = serving.parts.settings.access
    called = access.models or access.workers
    return bool(called) or any(isinstance(each, GrpcChannel) for each in serving.channels.values())
