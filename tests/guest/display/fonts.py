"""Text as the pixels of a font: that of Linux's console, which is in its image, and GRUB's (a PF2 file). What is on a
screen is compared with what is drawn here."""
import struct

from viewer import guest

WIDTH, HEIGHT = 8, 16  # of the console's letters
VGA_A = bytes.fromhex("000010386cc6c6fec6c6c6c600000000")  # the letter A of the VGA's 8x16 font


def console_font(path):
    """256 letters of 16 bytes, a row each, the leftmost pixel highest."""
    with open(path, "rb") as file:
        data = file.read()
    at = data.find(VGA_A) - ord("A") * HEIGHT
    guest.require(at >= 0 and data.count(VGA_A) == 1, f"{path}: which one is the console's font?")
    return [data[at + HEIGHT * n:at + HEIGHT * (n + 1)] for n in range(256)]


def draw_console(font, lines, columns):
    """Rows of a screen with these lines of text, as strings of 0 and 1."""
    rows = []
    for line in lines:
        letters = [font[ord(c)] for c in line.ljust(columns)]
        rows += ["".join(f"{letter[y]:08b}" for letter in letters) for y in range(HEIGHT)]
    return rows


def lit(picture, dark=b"\0\0\0"):
    """The screen's rows: 1 is a pixel that is not `dark`."""
    stride = 3 * picture.width
    return ["".join("0" if picture.pixels[at:at + 3] == dark else "1" for at in range(y * stride, (y + 1) * stride, 3))
            for y in range(picture.height)]


class Pf2:
    """GRUB's font format: sections with a length, the last one being bitmaps."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        guest.require(self.data[:12] == b"FILE\0\0\0\4PFF2", f"{path} is no PF2 font")
        at, sections = 12, {}
        while at < len(self.data):
            name, size = struct.unpack_from(">4sI", self.data, at)
            if name == b"DATA":
                break
            sections[name] = self.data[at + 8:at + 8 + size]
            at += 8 + size
        self.ascent, = struct.unpack(">H", sections[b"ASCE"])
        self.descent, = struct.unpack(">H", sections[b"DESC"])
        self.places = {code: offset for code, _, offset in struct.iter_unpack(">IBI", sections[b"CHIX"])}

    def letter(self, character):
        """Rows from the ascent down to the descent."""
        at = self.places[ord(character)]
        width, height, left, bottom, advance = struct.unpack_from(">HHhhh", self.data, at)
        bits = "".join(f"{byte:08b}" for byte in self.data[at + 10:at + 10 + (width * height + 7) // 8])
        rows = ["0" * advance] * (self.ascent + self.descent)
        for y in range(height):
            row = ("0" * left + bits[y * width:(y + 1) * width]).ljust(advance, "0")
            rows[self.ascent - bottom - height + y] = row
        return rows

    def draw(self, text):
        letters = [self.letter(c) for c in text]
        return ["".join(letter[y] for letter in letters) for y in range(self.ascent + self.descent)]


def find(screen, drawing):
    """Where on the screen the drawing is, to the pixel: (x, y) of each place."""
    first = next(y for y, row in enumerate(drawing) if "1" in row)
    places = []
    for y in range(len(screen) - len(drawing) + 1):
        x = screen[y + first].find(drawing[first])
        while x >= 0:
            if all(screen[y + n].startswith(row, x) for n, row in enumerate(drawing)):
                places.append((x, y))
            x = screen[y + first].find(drawing[first], x + 1)
    return places
