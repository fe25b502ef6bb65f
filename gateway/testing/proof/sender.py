"""A platform that sends webhooks: signed, in order within a room, repeated under one id until acknowledged."""

from __future__ import annotations

import hmac
import json
import time
from base64 import b64encode
from collections.abc import Callable
from random import Random

import trio

from gateway.testing.proof.account import Account
from gateway.testing.proof.scene import CHANNEL
from gateway.testing.proof.wire import Broken, Wire

# A platform's own patience with one request.
ANSWER_SECONDS = 10.0


class Sender:
    """Rooms that talk. `port` says where the gateway listens at the moment, 0 while it is down; `clock` stamps."""

    def __init__(
        self,
        account: Account,
        secret: bytes,
        port: Callable[[], int],
        *,
        chance: Random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._account, self._secret, self._port, self._chance = account, secret, port, chance
        self.stopping = trio.Event()
        self.ack_seconds: list[float] = []

    async def room(self, name: str, *, pause: float, messages: int = 1_000_000_000) -> None:
        """Send message after message, each when the one before is acknowledged."""
        wire: Wire | None = None
        try:
            for number in range(1, messages + 1):
                if self.stopping.is_set():
                    return
                self._account.sends((name, number))
                wire = await self._until_acknowledged(wire, name, number)
                self._account.acknowledges((name, number))
                await trio.sleep(pause * (0.5 + self._chance.random()))
        finally:
            if wire is not None:
                wire.close()

    async def _until_acknowledged(self, wire: Wire | None, room: str, number: int) -> Wire:
        while True:
            began = trio.current_time()
            try:
                wire = wire or await self._connect()
                with trio.fail_after(ANSWER_SECONDS):
                    status = await self._post(wire, room, number)
            except (Broken, OSError, trio.TooSlowError):
                if wire is not None:
                    wire.close()
                wire = None
            else:
                if 200 <= status < 300:
                    self.ack_seconds.append(trio.current_time() - began)
                    return wire
                self._account.refused += 1
            await trio.sleep(0.02 + 0.1 * self._chance.random())

    async def _connect(self) -> Wire:
        if not (port := self._port()):
            raise Broken
        return Wire(await trio.open_tcp_stream("127.0.0.1", port))

    async def _post(self, wire: Wire, room: str, number: int) -> int:
        place = f"{room}/{number}"
        payload = {"id": place, "text": place, "conversation": {"id": room}, "sender": {"id": room}}
        body = json.dumps(payload).encode()
        stamp = str(int(self._clock()))
        signature = b64encode(hmac.digest(self._secret, f"{place}.{stamp}.".encode() + body, "sha256")).decode()
        head = [
            f"POST /channels/{CHANNEL} HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            f"webhook-id: {place}",
            f"webhook-timestamp: {stamp}",
            f"webhook-signature: v1,{signature}",
        ]
        await wire.write(head, body)
        answer = await wire.read()
        if answer is None:
            raise Broken
        return answer.status
