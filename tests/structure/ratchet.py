#!/usr/bin/python3
"""What the tree is still forgiven: {rule: {where: worst value}} in ratchet.json.

Run as a program it tightens the file to what the tree is now; it never adds or raises an entry.
"""

import json
from pathlib import Path

FILE = Path(__file__).with_name("ratchet.json")


def load():
    return json.loads(FILE.read_text())


def measure(rule, tree):
    """{where: (worst value, violations)}"""
    found = {}
    for violation in rule(tree):
        found.setdefault(violation.where, []).append(violation)
    # several of one kind in a file count together; a length or a depth is the worst of them
    return {
        where: (max(max(v.value for v in group), len(group)), group)
        for where, group in found.items()
    }


def unforgiven(rule, tree, forgiven):
    """Violations that are new, or worse than what is written down."""
    for where, (value, group) in measure(rule, tree).items():
        if value > forgiven.get(where, 0):
            yield from group


def tightened(rule, tree, forgiven):
    """`forgiven`, without what has been mended since."""
    now = measure(rule, tree)
    return {where: min(old, now[where][0]) for where, old in forgiven.items() if where in now}


def main():
    import rules

    tree = rules.Tree()
    book = load()
    for rule in rules.RULES:
        name = rule.__name__
        if name in book:
            book[name] = tightened(rule, tree, book[name])
    book = {name: entries for name, entries in book.items() if entries}
    FILE.write_text(json.dumps(book, indent=4, sort_keys=True) + "\n")
    print(f"{sum(map(len, book.values()))} forgiven")


if __name__ == "__main__":
    main()
