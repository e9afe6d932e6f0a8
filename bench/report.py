"""Figures as a table, as JSON, as a chart, and beside those kept before."""

import json
import statistics
from xml.sax.saxutils import escape

from load import summary

COLUMNS = ("floor", "pelayan", "nginx", "haproxy", "h2o")
WORSE = 1.05  # what bench-check calls a regression
COLORS = {
    "floor": "#9aa3ad",
    "pelayan": "#2563eb",
    "nginx": "#16a34a",
    "haproxy": "#d97706",
    "h2o": "#9333ea",
}


def rival(scenario, figures):
    """Whom the goal speaks of, if it was measured."""
    if scenario.against != "best":
        return scenario.against if scenario.against in figures else None
    others = [name for name in figures if name not in ("pelayan", "floor")]
    return min(others, key=lambda name: statistics.median(figures[name]), default=None)


def ratio(figures, name, base):
    """Median of the ratios within each round: what disturbs a round disturbs both."""
    pairs = zip(figures[name], figures[base])
    return statistics.median(a / b for a, b in pairs if b > 0)


def verdict(scenario, figures):
    """What was reached of the goal, the goal in words, and whether it is met (None: unknown)."""
    if "pelayan" not in figures:
        return None, "", None
    if scenario.limit:
        reached = statistics.median(figures["pelayan"])
        return reached, f"{scenario.limit:g} {scenario.unit}", reached <= scenario.limit
    base = rival(scenario, figures)
    if not scenario.goal or base is None:
        return None, "", None
    reached = ratio(figures, "pelayan", base)
    return reached, f"{scenario.goal:.2f} x {base}", reached <= scenario.goal


def number(value):
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(values):
    if not values:
        return "-"
    if len(values) == 1:
        return number(values[0])
    return f"{number(statistics.median(values))} ({number(min(values))}..{number(max(values))})"


def columns(results):
    """The usual ones, and other builds that were given with --bin."""
    more = {name: None for _, figures in results for name in figures if name not in COLUMNS}
    return [*COLUMNS, *more]


def line(scenario, figures, names):
    reached, goal, met = verdict(scenario, figures)
    words = [scenario.title, scenario.unit]
    words += [cell(figures.get(name)) for name in names]
    words += ["-" if reached is None else f"{reached:.2f}" if scenario.goal else number(reached)]
    words += [goal or "-", {True: "yes", False: "NO", None: "-"}[met]]
    return words


def table(results):
    names = columns(results)
    rows = [["scenario", "unit", *names, "reached", "goal", "met"]]
    rows += [["-"] * len(rows[0])]
    rows += [line(scenario, figures, names) for scenario, figures in results]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rows[1] = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(word.ljust(width) for word, width in zip(row, widths)) + " |"
        for row in rows
    )


def as_json(results, facts):
    scenarios = {}
    for scenario, figures in results:
        reached, goal, met = verdict(scenario, figures)
        scenarios[scenario.key] = {
            "title": scenario.title,
            "unit": scenario.unit,
            "figures": {name: summary(values) for name, values in figures.items()},
            "reached": reached,
            "goal": goal,
            "met": met,
        }
    return json.dumps({"facts": facts, "scenarios": scenarios}, indent=2) + "\n"


# ---- bench-check


def base_of(figures):
    for name in ("floor", "nginx"):
        if name in figures:
            return name
    return None


def ratios(results):
    """What is kept: Pelayan's cost as a multiple of the floor's, or of nginx's."""
    kept = {}
    for scenario, figures in results:
        base = base_of(figures)
        if scenario.unit.startswith("us CPU") and base and "pelayan" in figures:
            kept[scenario.key] = {
                "against": base,
                "ratio": round(ratio(figures, "pelayan", base), 3),
            }
    return kept


def regressions(now, before):
    for key, kept in now.items():
        old = before.get(key)
        if old and old["against"] == kept["against"] and kept["ratio"] > old["ratio"] * WORSE:
            yield key, old["ratio"], kept["ratio"], kept["against"]


# ---- the chart


def bar(x, y, width, color, text):
    return (
        f'<rect x="{x}" y="{y}" width="{width:.1f}" height="11" rx="2" fill="{color}"/>'
        f'<text x="{x + width + 5:.1f}" y="{y + 9.5}" class="n">{escape(text)}</text>'
    )


def chart(results, facts):
    """CPU per request, each scenario scaled to its most expensive program."""
    shown = [(s, f) for s, f in results if s.unit.startswith("us CPU") and "pelayan" in f]
    y, parts, left, room = 46, [], 232, 330
    for i, name in enumerate(COLUMNS):
        parts.append(f'<rect x="{left + 90 * i}" y="24" width="10" height="10" rx="2"')
        parts.append(f' fill="{COLORS[name]}"/>')
        parts.append(f'<text x="{left + 90 * i + 15}" y="33" class="t">{name}</text>')
    for scenario, figures in shown:
        medians = {n: statistics.median(figures[n]) for n in COLUMNS if n in figures}
        most = max(medians.values())
        middle = y + 7 * len(medians) + 3
        parts.append(f'<text x="{left - 10}" y="{middle}" class="t e">')
        parts.append(f"{escape(scenario.title)}</text>")
        for name, value in medians.items():
            parts.append(bar(left, y, room * value / most, COLORS[name], number(value)))
            y += 14
        y += 10
    parts.append(f'<text x="10" y="{y + 12}" class="n">{escape(facts["machine"])}</text>')
    style = (
        "text{font-family:system-ui,sans-serif;fill:#374151}.t{font-size:12px}"
        ".n{font-size:10px;fill:#6b7280}.e{text-anchor:end}"
    )
    title = "CPU microseconds per request: less is better"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="680" height="{y + 24}" role="img"'
        f' aria-label="{title}"><style>{style}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="10" y="15" class="t">{title}</text>{"".join(parts)}</svg>\n'
    )
