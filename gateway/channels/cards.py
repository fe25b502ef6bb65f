"""What the built-in channels can do: what `oclaw channels list` shows. An installed channel brings a `CARD`."""

from __future__ import annotations

from gateway.ports import Card

CARDS: dict[str, Card] = {
    "webhook": Card(
        transports=("HTTP in", "HTTP out"),
        hears=("text", "attachments"),
        says=("text", "attachments"),
        limits="1 MiB a call",
        tested="the SDKs of Standard Webhooks and Svix",
    ),
    "websocket": Card(
        transports=("WebSocket in",),
        hears=("text", "attachments"),
        says=("text", "attachments", "streams"),
        limits="1 MiB a frame",
        tested="the library websockets",
    ),
    "webchat": Card(transports=("WebSocket in",), hears=("text",), says=("text", "streams"), tested="its own page"),
    "grpc": Card(
        transports=("gRPC in",), hears=("text", "attachments"), says=("text", "streams"), tested="the official grpcio"
    ),
    "matrix": Card(
        transports=("HTTP in", "HTTP out"),
        hears=("text", "files", "edits", "deletes", "reactions", "threads", "replies", "invitations"),
        says=("text", "files", "threads", "streams by edits"),
        limits="no encrypted rooms",
        tested="a real Synapse",
    ),
    "slack": Card(
        transports=("HTTP in", "WebSocket out", "HTTP out"),
        hears=("text", "files", "edits", "deletes", "reactions", "threads", "commands"),
        says=("text", "files", "edits", "reactions", "threads", "streams by edits"),
        limits="4,000 characters a post, 1 post a second and channel",
        tested="slack_sdk, and an emulator",
    ),
    "irc": Card(
        transports=("TCP or TLS out",),
        hears=("text", "actions"),
        says=("text", "actions"),
        limits="512 bytes a line, 4 lines at once and one every 2 s; no history",
        tested="a real ngIRCd",
    ),
    "imessage": Card(limits="configuration alone in this version"),
    "dingtalk": Card(limits="configuration alone in this version"),
}
