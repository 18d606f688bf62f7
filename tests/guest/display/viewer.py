"""What looks at a guest's screen: a reader of `ctl NAME screenshot`'s PNG files, and a VNC client
(RFC 6143, raw pixels)."""
import os
import socket
import struct
import sys
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "disk"))
import guest_process as guest  # noqa: E402


class Picture:
    """Pixels as bytes of red, green and blue, row by row."""

    def __init__(self, width, height, pixels):
        self.width, self.height, self.pixels = width, height, pixels

    def colours(self):
        """How many pixels there are of each colour."""
        counts = {}
        for at in range(0, len(self.pixels), 3):
            colour = self.pixels[at:at + 3]
            counts[colour] = counts.get(colour, 0) + 1
        return counts

    def lit(self):
        """The share of pixels that are not of the commonest colour."""
        counts = self.colours()
        return 1 - max(counts.values()) / sum(counts.values())

    def rows_with_text(self):
        """Rows that have more than one colour."""
        stride = 3 * self.width
        rows = (self.pixels[y * stride:(y + 1) * stride] for y in range(self.height))
        return sum(1 for row in rows if row != row[:3] * self.width)


def read_png(path):
    with open(path, "rb") as file:
        data = file.read()
    guest.require(data[:8] == b"\x89PNG\r\n\x1a\n", f"{path} is no PNG file")
    at, chunks = 8, {}
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8:at + 8 + length]
        crc, = struct.unpack_from(">I", data, at + 8 + length)
        guest.require(crc == zlib.crc32(kind + body), f"{path}: the CRC of {kind}")
        chunks[kind] = chunks.get(kind, b"") + body
        at += 12 + length
    width, height, depth, colour = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    guest.require((depth, colour) == (8, 2), f"{path}: {depth} bits, kind {colour}")
    rows = zlib.decompress(chunks[b"IDAT"])
    stride = 3 * width + 1
    guest.require(len(rows) == stride * height, f"{path}: {len(rows)} bytes of rows")
    return Picture(width, height,
                   b"".join(rows[y * stride + 1:(y + 1) * stride] for y in range(height)))


class Vnc:
    """A viewer at a Unix socket."""

    def __init__(self, path, seconds=60):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(seconds)
        self.socket.connect(path)
        guest.require(self._read(12) == b"RFB 003.008\n", "the server's version")
        self.socket.sendall(b"RFB 003.008\n")
        kinds = self._read(self._read(1)[0])
        guest.require(1 in kinds, f"security types {kinds}")
        self.socket.sendall(b"\x01")
        guest.require(self._read(4) == bytes(4), "security's result")
        self.socket.sendall(b"\x01")
        self.width, self.height = struct.unpack(">HH", self._read(4))
        self._read(16)
        self.name = self._read(struct.unpack(">I", self._read(4))[0]).decode()
        # 32 bits, little-endian, red in the third byte; raw, and other sizes.
        self.socket.sendall(struct.pack(">BxxxBBBBHHHBBBxxx", 0, 32, 24, 0, 1, 255, 255, 255,
                                        16, 8, 0))
        self.socket.sendall(struct.pack(">BxHii", 2, 2, 0, -223))
        self.pixels = bytearray(4 * self.width * self.height)

    def _read(self, size):
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            guest.require(piece, "the server hung up")
            data += piece
        return data

    def ask(self, incremental):
        self.socket.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    def update(self):
        """Takes the next update; returns its rectangles."""
        while True:
            kind = self._read(1)[0]
            if kind == 0:
                break
            guest.require(kind == 2, f"message {kind} of the server")  # a bell
        count = struct.unpack(">xH", self._read(3))[0]
        rectangles = []
        for _ in range(count):
            x, y, width, height, encoding = struct.unpack(">HHHHi", self._read(12))
            if encoding == -223:
                self.width, self.height = width, height
                self.pixels = bytearray(4 * width * height)
                continue
            guest.require(encoding == 0, f"encoding {encoding}")
            for row in range(height):
                at = 4 * ((y + row) * self.width + x)
                self.pixels[at:at + 4 * width] = self._read(4 * width)
            rectangles.append((x, y, width, height))
        return rectangles

    def picture(self):
        rgb = bytearray(3 * self.width * self.height)
        rgb[0::3], rgb[1::3], rgb[2::3] = self.pixels[2::4], self.pixels[1::4], self.pixels[0::4]
        return Picture(self.width, self.height, bytes(rgb))

    def quiet(self, seconds):
        """Nothing comes for so long."""
        self.socket.settimeout(seconds)
        try:
            return not self.socket.recv(1)
        except TimeoutError:
            return True

    def key(self, keysym):
        for down in (1, 0):
            self.socket.sendall(struct.pack(">BBxxI", 4, down, keysym))

    def pointer(self, x, y, buttons):
        self.socket.sendall(struct.pack(">BBHH", 5, buttons, x, y))

    def close(self):
        self.socket.close()
