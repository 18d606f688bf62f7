#!/usr/bin/env python3
"""Every #include of the rooms follows an arrow of docs/design.md.

arrows_test.py SOURCE_FOLDER
"""
import os
import re
import sys


def table(design):
    """Room -> rooms that it may include, in the order of the page."""
    rooms = {}
    for line in design.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) != 3 or not re.fullmatch(r"\|? ?`[a-z/]+`", cells[0]):
            continue
        room = cells[0].strip("| `")
        allowed = set(re.findall(r"`([a-z/]+)`", cells[2]))
        if cells[2].startswith("all above"):
            allowed = set(rooms) - allowed
        rooms[room] = allowed
    return rooms


def room_of(path, rooms):
    """The innermost room that holds the file."""
    while path and path not in rooms:
        path = os.path.dirname(path)
    return path


def main():
    source = sys.argv[1]
    with open(os.path.join(source, "docs/design.md"), encoding="utf-8") as page:
        rooms = table(page.read())
    if len(rooms) < 10:
        sys.exit("docs/design.md: the table of rooms was not found")
    wrong = 0
    for top in ("decode", "icache", "mmio", "devices", "vmm"):
        for folder, _, names in os.walk(os.path.join(source, top)):
            for name in names:
                if not name.endswith((".h", ".cc")):
                    continue
                path = os.path.relpath(os.path.join(folder, name), source)
                room = room_of(os.path.dirname(path), rooms)
                if not room:
                    print(f"{path}: in no room")
                    wrong += 1
                    continue
                with open(os.path.join(source, path), encoding="utf-8") as file:
                    included = re.findall(r'^#include "([^"]+)"', file.read(), re.M)
                for header in included:
                    other = room_of(os.path.dirname(header), rooms)
                    if other and other != room and other not in rooms[room]:
                        print(f"{path}: {room} may not include {other} ({header})")
                        wrong += 1
    if wrong:
        sys.exit(1)
    print(f"{len(rooms)} rooms, no include against an arrow")


main()
