"""Figure with the fronts of a search over sparse fusion and of a search over the pooling stride of SFT only.

python cli.py search studies/hapt_sparse.yaml
python cli.py search benchmarks/studies/hapt_sft_stride.yaml
python benchmarks/sparse_fronts.py runs/hapt_sparse runs/hapt_sft_stride -o fronts.png
"""

import argparse
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.run_reader import read_run
from nasfuse.search.front import front_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    for root, colour in zip(arguments.runs, ("#1f5fa8", "#d9822b", "#4d8b31", "#8a3ffc"), strict=False):
        run = read_run(RunFolder(root))
        front = front_of(run.candidates, run.objectives)
        every = [(c.measured.macs, c.measured.metric) for c in run.candidates]
        macs, values = zip(*((c.measured.macs, c.measured.metric) for c in front), strict=True)
        axes.scatter(*zip(*every, strict=True), s=12, color=colour, alpha=0.25)
        label = f"{run.study.name}: front of {len(front)}, factor {macs[-1] / macs[0]:.1f} in MACs"
        axes.step(macs, values, where="post", color=colour, linewidth=1.6)
        axes.errorbar(
            macs, values, yerr=[c.metric_sd or 0.0 for c in front], fmt="o", ms=6, color=colour, capsize=2, label=label
        )
        span = max(cost for cost, _ in every) / min(cost for cost, _ in every)
        print(f"{label}; all {len(every)} operating points, factor {span:.1f}")
        for candidate in front:
            sd = f" +- {candidate.metric_sd:.4f}" if candidate.metric_sd is not None else ""
            value = f"{candidate.measured.metric:.4f}{sd} ({len(candidate.trainings)})"
            print(f"  {candidate.measured.macs:>12,} {value}  {candidate.summary}")
    axes.set_xlabel("MACs per sample")
    axes.set_ylabel(f"{run.objectives.metric} (validation)")
    axes.grid(True, which="major", alpha=0.25)
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(arguments.out, dpi=150)


if __name__ == "__main__":
    main()
