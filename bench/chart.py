"""`python -m bench.chart RESULTS.json OUT.svg`: the README's picture of what is gained.

Bars on a logarithmic axis: messages a second and core, for each contender, from the tables of one
run of `python -m bench --json`.
"""

import json
import math
import sys
from xml.sax.saxutils import escape

COLOURS = {"compiled": "#1f6feb", "pure": "#79b8ff", "h2+wsproto": "#8c959f"}
PICKED = [
    ("engine: receive", "125 B, 100 streams", "receive 125 B"),
    ("engine: receive", "16 KiB, 100 streams", "receive 16 KiB"),
    ("engine: echo", "125 B, 100 streams", "echo 125 B"),
    ("engine: send", "125 B, 100 streams", "send 125 B"),
    ("splitting", "1 MiB, windows of 100 octets", "split DATA by 100 octets"),
    ("handshakes", "warm", "accept Chromium's CONNECT"),
]
LEFT, WIDTH, BAR, GAP, TOP = 190, 440, 13, 16, 64


def rates(results):
    """[(label, {contender: per second})] of what the run measured."""
    found = []
    for title, row_label, label in PICKED:
        for table in results["tables"]:
            if not table["title"].startswith(title) or "theirs/compiled" not in table["columns"]:
                continue
            for row in table["rows"]:
                if row["label"] == row_label:
                    values = dict(zip(table["columns"], row["values"], strict=True))
                    found.append((label, {n: 1e6 / values[n] for n in COLOURS if values.get(n)}))
    return found


def short(rate):
    for size, name in ((1e6, "M"), (1e3, "k")):
        if rate >= size:
            return f"{rate / size:.3g}{name}"
    return f"{rate:.3g}"


def draw(results):
    groups = rates(results)
    every = [rate for _, bars in groups for rate in bars.values()]
    low = 10 ** math.floor(math.log10(min(every)))
    high = 10 ** math.ceil(math.log10(max(every)))

    def x(rate):
        return WIDTH * math.log10(rate / low) / math.log10(high / low)

    height = TOP + len(groups) * (len(COLOURS) * BAR + GAP) + 40
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 90}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        '<text x="12" y="22" font-size="15" font-weight="bold" fill="#1f2328">'
        "Messages a second on one core, engine without sockets</text>",
    ]
    at = 12
    for name, colour in COLOURS.items():
        label = name if name == "h2+wsproto" else f"h2ws_fast, {name}"
        out.append(f'<rect x="{at}" y="34" width="11" height="11" fill="{colour}"/>')
        out.append(f'<text x="{at + 16}" y="44" fill="#1f2328">{escape(label)}</text>')
        at += 40 + 7 * len(label)
    bottom = height - 34
    tick = low
    while tick <= high:
        line = LEFT + x(tick)
        out.append(f'<path d="M{line:.1f} {TOP - 6}V{bottom}" stroke="#d0d7de"/>')
        out.append(
            f'<text x="{line:.1f}" y="{bottom + 14}" text-anchor="middle" fill="#57606a">'
            f"{short(tick)}</text>"
        )
        tick *= 10
    y = TOP
    for label, bars in groups:
        middle = y + len(COLOURS) * BAR / 2 + 4
        out.append(
            f'<text x="{LEFT - 10}" y="{middle:.1f}" text-anchor="end" fill="#1f2328">'
            f"{escape(label)}</text>"
        )
        for name, colour in COLOURS.items():
            if name in bars:
                end = x(bars[name])
                out.append(
                    f'<rect x="{LEFT}" y="{y}" width="{end:.1f}" height="{BAR - 2}" '
                    f'fill="{colour}"/><text x="{LEFT + end + 5:.1f}" y="{y + BAR - 3}" '
                    f'font-size="10" fill="#57606a">{short(bars[name])}</text>'
                )
            y += BAR
        y += GAP
    about = results["machine"]
    out.append(
        f'<text x="12" y="{height - 6}" font-size="10" fill="#57606a">'
        f"{escape(about['processor'])}, {escape(about['python'])}; logarithmic axis; "
        "python -m bench</text></svg>"
    )
    return "\n".join(out) + "\n"


def main():
    with open(sys.argv[1]) as file:
        results = json.load(file)
    with open(sys.argv[2], "w") as file:
        file.write(draw(results))


if __name__ == "__main__":
    main()
