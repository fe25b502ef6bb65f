"""Everything that is served over gRPC: our services, health and reflection, and what is told about calls."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import trio
from msgspec import Struct

from gateway.api.rpc.messages import GatewayService
from gateway.api.rpc.models import ModelsService
from gateway.api.rpc.working import WorkerService
from gateway.channels.grpc import GrpcChannel
from gateway.config.settings import AccessSettings
from gateway.models.registry import Models
from gateway.notices import CallEnded, Report, RequestFailed, RequestRefused
from gateway.pipelines.workers import WorkerPool
from gateway.ports import Results
from gateway.supervise.crash import tell
from protocols.grpc import events
from protocols.grpc.calls import Calls
from protocols.grpc.health import Health
from protocols.grpc.reflection import with_reflection
from protocols.grpc.server import methods_of, serve_h2

SERVICES = ("oclaw.v1.Gateway", "oclaw.v1.Models", "oclaw.v1.Worker")
# What runs until its caller leaves: a drain does not wait for it.
ENDLESS = (
    "/oclaw.v1.Gateway/Converse",
    "/oclaw.v1.Gateway/Subscribe",
    "/oclaw.v1.Worker/Work",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
_BAD_REQUEST = 400


class Supplies(Struct, frozen=True, kw_only=True):
    """What the services stand on, asked anew at every call: a reload changes it."""

    channels: Callable[[], Iterable[GrpcChannel]]
    results: Results
    report: Report
    models: Callable[[], Models]
    access: Callable[[], AccessSettings]
    workers: WorkerPool
    worker_names: Callable[[], Collection[str]]


class RpcServer:
    """One a daemon; every connection is served with the same methods."""

    def __init__(self, supplies: Supplies) -> None:
        self._report = supplies.report
        self._health = Health(*SERVICES)
        self._serving: bool | None = None
        self.draining = trio.Event()
        access = supplies.access
        messages = GatewayService(supplies.channels, supplies.results)
        models = ModelsService(supplies.models, lambda: access().models)
        workers = WorkerService(
            supplies.workers,
            supplies.results,
            tokens=lambda: access().workers,
            names=supplies.worker_names,
            draining=self.draining,
        )
        self._methods = methods_of(with_reflection([messages, models, workers, self._health]))
        self._quick = {b"/oclaw.v1.Gateway/Send": messages.send_quickly}
        self.calls = Calls(ENDLESS)

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Serve a connection to its end."""
        broke = await serve_h2(
            stream, b"", self._methods, quick=self._quick, report=self._tell, draining=self.draining, calls=self.calls
        )
        if broke is not None:
            self._report(RequestRefused(_BAD_REQUEST, "grpc", str(broke)))

    def set_serving(self, *, serving: bool) -> None:
        """Tell health watchers, when it has changed."""
        if serving != self._serving:
            self._serving = serving
            self._health.set_all(serving=serving)

    def _tell(self, event: events.GrpcEvent) -> None:
        match event:
            case events.CallEnded(method, status, seconds):
                self._report(CallEnded(method, "LEFT" if status is None else status.name, seconds))
            case events.CallRefused(path, why):
                self._report(RequestRefused(_BAD_REQUEST, "grpc", f"{path[:200]}: {why}"))
            case events.HandlerCrashed(method, error):
                self._report(RequestFailed(method[:200], tell(error)))
