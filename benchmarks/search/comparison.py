"""What runs say when they are put side by side: shares of the best hypervolume, paired tests, epochs saved."""

import statistics
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import ttest_rel, wilcoxon

from benchmarks.search.simulation import Run, epochs_until, hypervolume_at

#: Budgets at which shares are shown, in full trainings.
BUDGETS = (25, 50, 100)

#: Engine to its runs, in the order of their seeds.
Runs = Mapping[str, Sequence[Run]]


def shares(runs: Sequence[Run], full_trainings: float, *, max_epochs: int, best: float) -> list[float]:
    """Returns what each run has of the hypervolume `best` once so many full trainings are spent."""
    return [hypervolume_at(run.steps, full_trainings * max_epochs) / best for run in runs]


def reaches(run: Run, full_trainings: float, *, max_epochs: int) -> bool:
    """Returns whether the run spent so many full trainings."""
    return run.epochs >= full_trainings * max_epochs


def share_table(runs: Runs, *, max_epochs: int, best: float) -> str:
    """Returns a Markdown table: mean +- sd over seeds of the share of the best hypervolume known, per budget."""
    lines = [
        f"| engine | seeds | {' | '.join(map(str, BUDGETS))} | s per suggestion |",
        f"|---|---|{'---|' * len(BUDGETS)}---|",
    ]
    for engine, own in runs.items():
        cells = []
        for budget in BUDGETS:
            if all(reaches(run, budget, max_epochs=max_epochs) for run in own):
                cells.append(mean_sd(shares(own, budget, max_epochs=max_epochs, best=best)))
            else:
                cells.append("")
        seconds = statistics.median(second for run in own for second in run.suggestion_s)
        lines.append(f"| {engine} | {len(own)} | {' | '.join(cells)} | {seconds:.3f} |")
    return "\n".join(lines)


def mean_sd(values: Sequence[float]) -> str:
    """Returns `mean +- sd` with four digits.

    >>> mean_sd([0.5, 0.7])
    '0.6000 +- 0.1414'
    """
    return f"{statistics.fmean(values):.4f} +- {_sd(values):.4f}"


def _sd(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def paired_line(name: str, own: Sequence[float], other: Sequence[float]) -> str:
    """Returns one line that compares two engines seed by seed: mean difference, wins, two-sided p-values."""
    difference = np.array(own) - np.array(other)
    wins = f"{int((difference > 0).sum())}/{len(difference)}"
    if len(difference) < 2 or not difference.any():
        return f"{name}: {difference.mean():+.4f}, better in {wins}"
    p_t, p_w = ttest_rel(own, other).pvalue, wilcoxon(difference).pvalue
    return f"{name}: {difference.mean():+.4f}, better in {wins}, p = {p_t:.3g} (t), {p_w:.3g} (Wilcoxon)"


def comparison(runs: Runs, wish: str, *, max_epochs: int, best: float) -> str:
    """Returns the line for a wish such as `known-cost@50 tpe@100`; empty where one was not run so far."""
    sides = [side.split("@") for side in wish.split()]
    columns = []
    for engine, budget in sides:
        own = runs.get(engine, ())
        if not own or not all(reaches(run, float(budget), max_epochs=max_epochs) for run in own):
            return ""
        columns.append(shares(own, float(budget), max_epochs=max_epochs, best=best))
    n_seeds = min(map(len, columns))
    return paired_line(wish, columns[0][:n_seeds], columns[1][:n_seeds])


def catch_up(runs: Runs, engine: str, other: str, *, full_trainings: float, max_epochs: int) -> str:
    """Returns after what part of `other`'s epochs `engine` has its final hypervolume.

    Of the mean curves over seeds, and as the median over pairs of one seed; a run that never gets there counts
    as infinite.
    """
    end = full_trainings * max_epochs
    final = [hypervolume_at(run.steps, end) for run in runs[other]]
    grid = sorted({spent for run in runs[engine] for spent, _ in run.steps})
    mean_curve = [(spent, statistics.fmean(hypervolume_at(run.steps, spent) for run in runs[engine])) for spent in grid]
    of_means = epochs_until(mean_curve, statistics.fmean(final)) / end
    pairs = [epochs_until(run.steps, one) / end for run, one in zip(runs[engine], final, strict=False)]
    return (
        f"{engine} has the final hypervolume of {other} after {of_means:.3f} of its epochs (mean curves); "
        f"seed by seed: median {statistics.median(pairs):.3f}, range {min(pairs):.3f} to {max(pairs):.3f}"
    )


def savings(stopped: Sequence[Run], full: Sequence[Run]) -> str:
    """Returns what early stopping saves and loses over the same number of trials, paired by seed."""
    saved = [1 - own.epochs / other.epochs for own, other in zip(stopped, full, strict=True)]
    kept = [own.steps[-1][1] / other.steps[-1][1] - 1 for own, other in zip(stopped, full, strict=True)]
    return f"epochs saved {mean_sd(saved)}, hypervolume {statistics.fmean(kept):+.4f} +- {_sd(kept):.4f}"
