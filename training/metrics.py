"""The figures of a run as JSON lines, and their curves as a picture."""

import json
from pathlib import Path

METRICS_FILE = "metrics.jsonl"
PLOT_FILE = "loss.png"


class Metrics:
    """Appends a line for every step. What a crashed run wrote after its checkpoint is dropped: it comes again.

    Args:
        folder: Where `metrics.jsonl` and `loss.png` are.
        step: How many steps are done.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._path = folder / METRICS_FILE
        self._picture = folder / PLOT_FILE
        lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines() if self._path.is_file() else []
        kept = [line for line in lines if _step_of(line) <= step]
        self._path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def add(self, step: int, values: dict[str, float], name: str = "train") -> None:
        """Note the figures of a step."""
        row = {"step": step, "kind": name, **{key: round(value, 6) for key, value in values.items()}}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def plot(self) -> None:
        """Draw every figure over the steps; takes a second."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        rows = [json.loads(line) for line in self._path.read_text(encoding="utf-8").splitlines()]
        figure, axes = pyplot.subplots(1, 2, figsize=(12, 4))
        for axis, kind in zip(axes, ("train", "validation"), strict=True):
            of_kind = [row for row in rows if row["kind"] == kind]
            for key in sorted({key for row in of_kind for key in row} - {"step", "kind", "gradient_norm"}):
                points = [(row["step"], row[key]) for row in of_kind if key in row]
                axis.plot(*zip(*points, strict=True), label=key, linewidth=0.8)
            axis.set(title=kind, xlabel="step")
            if of_kind:
                axis.legend(fontsize=7)
        figure.tight_layout()
        figure.savefig(self._picture, dpi=100)
        pyplot.close(figure)


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):  # half a line of a killed run
        return float("inf")
