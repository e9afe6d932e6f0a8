#!/usr/bin/python3
"""Draws the steps of an exchange from the table in src/http/steps.c into docs/life-of-a-request.md.

With --check it only says whether the picture there is the table's."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOC = ROOT / "docs/life-of-a-request.md"
BEGIN, END = "<!-- steps: drawn by tools/draw_steps.py -->\n", "<!-- end of steps -->\n"


def names(text):
    return re.findall(r"TO\((\w+)\)", text)


def table(text):
    """Rows of (step, doing, [steps it may go to], may it go aside), and where aside leads."""
    aside = names(re.search(r"#define ASIDE \((.*?)\)\n", text).group(1))
    found = re.findall(r"\[STEP_(\w+)\]\s*=\s*\{\s*\"([^\"]*)\",\s*\w+,\s*([^}]*)\}", text)
    return [(step, doing, names(to), "ASIDE" in to) for step, doing, to in found], aside


def draw(rows, aside):
    lines = ["```mermaid", "flowchart TD"]
    lines += [f'    {step}["{step}<br/>{doing}"]' for step, doing, _, _ in rows]
    lines += [f"    {step} --> {target}" for step, _, targets, _ in rows for target in targets]
    lines += [f"    {step} -.- ASIDE{{aside}}" for step, _, _, may in rows if may]
    lines += [f"    ASIDE -.-> {target}" for target in aside]
    return "\n".join(lines + ["```"]) + "\n"


def main():
    text = DOC.read_text()
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    rows, aside = table((ROOT / "src/http/steps.c").read_text())
    wanted = head + BEGIN + draw(rows, aside) + END + tail
    if "--check" in sys.argv:
        sys.exit(0 if text == wanted else f"{DOC} is not the table: run tools/draw_steps.py")
    DOC.write_text(wanted)


if __name__ == "__main__":
    main()
