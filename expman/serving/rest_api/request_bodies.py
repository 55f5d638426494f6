"""Receives the bodies of requests, within limits of size and time."""

from __future__ import annotations

import asyncio
import zlib

from aiohttp import StreamReader, web
from aiohttp.http import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

_GZIP = 16 + zlib.MAX_WBITS  # Tells zlib to expect gzip's header.
_GZIP_NAMES = ("gzip", "x-gzip")

# Who sends or receives more slowly than this would hold memory for as long as he likes.
_PATIENCE_SECONDS = 60.0
_SLOWEST_BYTES_PER_SECOND = 10_000


def patience_seconds(num_bytes: int) -> float:
    """Returns the time that the transfer of so much may take."""
    return _PATIENCE_SECONDS + num_bytes / _SLOWEST_BYTES_PER_SECOND


async def read_body(request: web.BaseRequest, *, max_bytes: int) -> bytes:
    """Receives a body as it was sent, compressed or not.

    Raises:
        web.HTTPException: it is too large, comes too slowly, or is not what its headers say.
        ConnectionError: the client has gone.
    """
    if (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    try:
        # Small ones come together with their headers: there is nothing to wait for.
        body = request.content.read_nowait() if request.content.is_eof() else await _received(request.content, max_bytes)
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="The request came too slowly.") from None
    except (RequestPayloadError, HttpProcessingError) as error:
        raise web.HTTPBadRequest(text=f"The body of the request is broken: {error}") from None
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    return body


async def _received(content: StreamReader, max_bytes: int) -> bytes:
    """Waits for a body: for all of it, or until it is too large."""
    body = bytearray()
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with asyncio.timeout(patience_seconds(0)) as timer:
        while len(body) <= max_bytes and (chunk := await content.readany()):
            body += chunk
            timer.reschedule(started + patience_seconds(len(body)))
    return bytes(body)


def decoded_body(body: bytes, *, encoding: str, max_bytes: int) -> bytes:
    """Undoes the compression of a body.

    Arguments:
        encoding: the header Content-Encoding, '' without.
        max_bytes: the largest result, which guards against small bodies that become huge ones.

    Raises:
        web.HTTPException: it is not compressed in that way, was cut short, or is too large.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in _GZIP_NAMES:
        raise web.HTTPUnsupportedMediaType(
            text=f"Content-Encoding must be gzip, or the body sent as it is. Got '{encoding}'.")
    parts, num_bytes = [], 0
    try:
        while body:  # One file of gzip after the other may follow.
            decompressor = zlib.decompressobj(_GZIP)
            parts.append(decompressor.decompress(body, max_bytes - num_bytes + 1))
            num_bytes += len(parts[-1])
            if num_bytes > max_bytes:
                raise _too_large(max_bytes)
            if not decompressor.eof:
                raise zlib.error("it was cut short")
            body = decompressor.unused_data
    except zlib.error as error:
        raise web.HTTPBadRequest(text=f"The body of the request is no gzip: {error}") from None
    return b"".join(parts)


def accepts_gzip(accept_encoding: str) -> bool:
    """Tells whether a client can read gzip, by its header Accept-Encoding."""
    for part in accept_encoding.lower().split(","):
        name, _, parameters = part.partition(";")
        if name.strip() in (*_GZIP_NAMES, "*"):
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def gzipped(body: bytes) -> bytes:
    """Compresses an answer: quickly rather than much."""
    compressor = zlib.compressobj(level=1, wbits=_GZIP)
    return compressor.compress(body) + compressor.flush()


def _too_large(max_bytes: int) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(
        max_size=max_bytes, text=f"The body of the request is larger than {max_bytes} bytes, which is the limit here.")
