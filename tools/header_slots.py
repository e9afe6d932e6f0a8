#!/usr/bin/env python3
"""Makes src/http/header_slots_internal.h: a perfect hash of the names in src/http/header.h.

Run it after a change of the HEADERS table. It looks for two odd multipliers under which no two names
share a slot; header.c hashes with the same formula, and the unit test of header.c proves the fit.
"""
import pathlib
import random
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SLOT_BITS = 9
FOLD = 0x2020202020202020
MASK = (1 << 64) - 1


def words(name):
    """The two words that name_slot() in header.c reads: both ends of the name, letters folded."""
    raw = name.encode()
    if len(raw) >= 8:
        ends = raw[:8], raw[-8:]
    elif len(raw) >= 4:
        ends = raw[:4], raw[-4:]
    else:
        ends = raw[:2], raw[-2:]
    head, tail = (int.from_bytes(end, "little") for end in ends)
    return ((head | FOLD) + len(raw)) & MASK, tail | FOLD


def search(keys):
    rng = random.Random(9110)
    while True:
        first, second = rng.getrandbits(64) | 1, rng.getrandbits(64) | 1
        slots = set()
        for head, tail in keys:
            slot = (((head * first) ^ (tail * second)) & MASK) >> (64 - SLOT_BITS)
            if slot in slots:
                break
            slots.add(slot)
        else:
            return first, second


def main():
    text = (ROOT / "src/http/header.h").read_text()
    names = re.findall(r"^\s+R\((\w+), \"([\w-]+)\",", text, re.M)
    if len(names) > 254:
        sys.exit("more names than a byte can count")
    keys = [words(name) for _, name in names]
    first, second = search(keys)
    slots = {(((h * first) ^ (t * second)) & MASK) >> (64 - SLOT_BITS): ident
             for (h, t), (ident, _) in zip(keys, names)}
    out = ["/* Made by tools/header_slots.py from the table in header.h: a perfect hash of the names.",
           " * Do not edit. Runs in: see header.c. */", "#pragma once", "",
           '#include "http/header.h"', "", "#include <stdint.h>", "",
           "enum { HEADER_SLOT_BITS = %d };" % SLOT_BITS, "",
           "#define HEADER_SLOT_FIRST UINT64_C(0x%016x)" % first,
           "#define HEADER_SLOT_SECOND UINT64_C(0x%016x)" % second, "",
           "static const uint8_t header_slots[1 << HEADER_SLOT_BITS] = {"]
    out += ["    [%d] = HEADER_%s," % item for item in sorted(slots.items())]
    out += ["};", ""]
    (ROOT / "src/http/header_slots_internal.h").write_text("\n".join(out))


if __name__ == "__main__":
    main()
