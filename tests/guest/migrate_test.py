#!/usr/bin/env python3
"""A machine moves to another process: under --clock icount what both write is what one would have
written, to the instruction.

migrate_test.py TRAPLINE RUN OPTIONS
"""
import sys
import tempfile

import guest_process as guest
import moves
import vm


def test():
    options = sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        vm.use_folder(folder)
        moves.compare(folder, options, options, 0.2)


guest.main(test)
