"""Set up h2's connection object for our use, and write the first bytes a connection says. Pure."""

from __future__ import annotations

from typing import Any, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings
from hyperframe.frame import SettingsFrame

from protocols.http2.header_cache import RememberingDecoder, RememberingEncoder
from protocols.http2.limits import Limits

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HIGHEST_STREAM_ID = 2**31 - 1


def new_h2(client: bool, limits: Limits, decoder: RememberingDecoder) -> H2Connection:  # noqa: FBT001
    config = H2Configuration(
        client_side=client,
        header_encoding=None,
        # What we send is made by our own encoders; what we receive is validated.
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
        normalize_inbound_headers=False,
        logger=cast("Any", _Silence()),
    )
    h2 = H2Connection(config)
    # Set before the first SETTINGS leave: later changes act only after the peer's acknowledgement.
    h2.local_settings = Settings(
        client=client,
        initial_values={
            SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window_bytes,
            SettingCodes.MAX_FRAME_SIZE: limits.max_frame_bytes,
            SettingCodes.MAX_HEADER_LIST_SIZE: limits.max_header_list_bytes,
            # h2 ends the connection above this number; we refuse the stream, so h2 must never count.
            SettingCodes.MAX_CONCURRENT_STREAMS: HIGHEST_STREAM_ID,
            SettingCodes.ENABLE_PUSH: 0,
        },
    )
    h2.max_inbound_frame_size = limits.max_frame_bytes
    h2.decoder = cast("Any", decoder)
    h2.encoder = cast("Any", RememberingEncoder())
    h2.initiate_connection()
    h2.clear_outbound_data_buffer()
    return h2


def greeting(client: bool, limits: Limits) -> bytes:  # noqa: FBT001
    """The connection preface (RFC 9113, 3.4), with the number of streams we really allow."""
    settings: dict[int, int] = {
        SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window_bytes,
        SettingCodes.MAX_FRAME_SIZE: limits.max_frame_bytes,
        SettingCodes.MAX_HEADER_LIST_SIZE: limits.max_header_list_bytes,
    }
    if client:
        settings[SettingCodes.ENABLE_PUSH] = 0
        return PREFACE + SettingsFrame(0, settings=settings).serialize()
    settings[SettingCodes.MAX_CONCURRENT_STREAMS] = limits.max_streams
    return SettingsFrame(0, settings=settings).serialize()


class _Silence:
    """h2's log, of which it writes twenty lines a request; asking the standard logger each time is dear."""

    def debug(self, *_: object) -> None: ...
    def trace(self, *_: object) -> None: ...
