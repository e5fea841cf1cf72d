"""Reads the audio packets of an Ogg file, and neither its page headers nor its comments.

Page layout, sequence numbers and checksums change whenever a comment is rewritten; packets do not (RFC 3533).
"""

import hashlib
from typing import BinaryIO

# A chained recording has a stream per song; a file made of nothing but stream heads would fill the memory.
_MAX_STREAMS = 4096
# Packets before the audio, of which number 1 is the comment.
_HEADER_PACKETS = {b"\x01vorbis": 3, b"OpusHead": 2, b"Speex   ": 2, b"\x80theora": 3}
_COMMENT_PACKET = 1
_FLAC = b"\x7fFLAC"


class _Stream:
    """One logical stream: the digest so far, and how far into its headers it is."""

    def __init__(self, first_packet: bytes) -> None:
        self.digest = hashlib.sha256()
        self._packet = -1
        self._takes_packet = False
        self._is_inside_packet = False
        self._is_flac = first_packet.startswith(_FLAC)
        self._header_packets = next((n for magic, n in _HEADER_PACKETS.items() if first_packet.startswith(magic)), 0)
        self._is_in_audio = not self._is_flac and self._header_packets == 0

    def add_page(self, lacing: bytes, body: bytes) -> None:
        """Hash a page's share of the packets.

        Args:
            lacing: Segment lengths; a packet ends with the first segment under 255.
            body: The segments one after another.
        """
        position = 0
        for length in lacing:
            if self._is_in_audio:
                self.digest.update(body[position:])
                return
            self._add_header_segment(body[position : position + length], is_last=length < 255)
            position += length

    def _add_header_segment(self, segment: bytes, *, is_last: bool) -> None:
        if not self._is_inside_packet:
            self._packet += 1
            self._takes_packet = self._is_hashed(segment)
        self._is_inside_packet = not is_last
        if self._takes_packet:
            self.digest.update(segment)
        if self._is_flac:
            # Metadata packets are unnumbered: audio begins with the first frame's sync code.
            self._is_in_audio = self._takes_packet and self._packet > 0
        elif is_last:
            self._is_in_audio = self._packet >= self._header_packets - 1

    def _is_hashed(self, first_segment: bytes) -> bool:
        # Of FLAC's headers only the frames are taken: the first packet counts the metadata packets after it.
        return first_segment.startswith(b"\xff") if self._is_flac else self._packet != _COMMENT_PACKET


def ogg_hash(file: BinaryIO, start: int, end: int) -> bytes | None:
    """Hash the packets of each stream but its comment; several streams in the order in which they begin.

    Bytes that are no page end the reading: what stands before them counts. Blocks on the disk, reads page by page.

    Args:
        file: Open for reading and seeking.
        start: Where the first page begins, in bytes.
        end: Where the file's audio ends, in bytes.

    Returns:
        32 bytes, or None if there is no page at all or more streams than 4,096.
    """
    current: dict[bytes, _Stream] = {}
    streams: list[_Stream] = []
    file.seek(start)
    while end - start >= 27:
        head = file.read(27)
        if len(head) < 27 or head[:4] != b"OggS":
            break
        lacing = file.read(head[26])
        body = file.read(max(min(sum(lacing), end - start - 27 - len(lacing)), 0))
        start += 27 + len(lacing) + len(body)
        begins = head[5] & 0x02
        if begins or head[14:18] not in current:
            if len(streams) == _MAX_STREAMS:
                return None
            current[head[14:18]] = _Stream(body)
            streams.append(current[head[14:18]])
        current[head[14:18]].add_page(lacing, body)
    digests = [stream.digest.digest() for stream in streams]
    if len(digests) <= 1:
        return digests[0] if digests else None
    return hashlib.sha256(b"".join(digests)).digest()
