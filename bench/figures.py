"""Rounds, and what is printed of them."""
import json
import math
import os
import statistics

N = int(os.environ.get("N", 200))
WARM_UP = 5


class Table:
    """Rows of engines × what was measured."""

    def __init__(self):
        self.raw = {}

    def show(self, title, times):
        self.raw[title] = times
        print(f"\n{title}  (ms, {len(next(iter(times.values())))} rounds)")
        print(f"  {'':14} {'median':>9} {'p95':>9} {'min':>9}   against each")
        medians = {name: statistics.median(values) for name, values in times.items()}
        for name, values in times.items():
            values = sorted(values)
            p95 = values[math.ceil(0.95 * len(values)) - 1]
            ratios = [f"{medians[name] / other:.3f} of {peer}" for peer, other in medians.items() if peer != name]
            figures = " ".join(f"{value / 1e6:9.2f}" for value in (medians[name], p95, values[0]))
            print(f"  {name:14} {figures}   {', '.join(ratios)}")

    def save(self, path):
        with open(path, "w") as file:
            json.dump(self.raw, file)


def interleaved(rounds, count=N):
    """rounds: name → function that does one and gives its nanoseconds."""
    times, names = {name: [] for name in rounds}, list(rounds)
    for number in range(-min(WARM_UP, count), count):
        at = number % len(names)
        for name in names[at:] + names[:at]:
            spent = rounds[name]()
            if number >= 0:
                times[name].append(spent)
    return times
