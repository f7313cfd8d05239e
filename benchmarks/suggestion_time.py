"""Time of a suggestion of the known-cost sampler on one core.

Three searches: a shipped space with the real costs of its networks (`avdigits_dynmm`: conditional, routers make some
costs random), seven numbers whose cost is a formula, and thirty numbers beside thirty choices of five. The storage
contains observations of an artificial metric. The first suggestion of a process also surveys the costs, and is listed
separately. Times are CPU seconds of a single thread, so that they do not depend on other load on the machine.

    OMP_NUM_THREADS=1 python benchmarks/suggestion_time.py    # about three minutes
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution

from nasfuse.experiment.objective import cached_dataset
from nasfuse.experiment.run import make_space
from nasfuse.experiment.space_survey import macs_of
from nasfuse.search.computed_costs import ComputedCosts
from nasfuse.search.samplers import Domain, SamplerContext, make_sampler
from nasfuse.search.views import trials_of
from nasfuse.seeds import derive_seed
from nasfuse.spec.study import StudyConfig

COUNTS = (50, 100, 200)


def shipped(name: str) -> SamplerContext:
    """Returns the sampler context of a shipped study."""
    study = StudyConfig.load(Path(name))
    dataset = cached_dataset(study.data.model_dump_json())
    space = make_space(study, dataset)
    costs = ComputedCosts(space, lambda recipe: macs_of(recipe, dataset), cost=study.cost)
    domain = Domain(space.parameters, constants=space.constants)
    return SamplerContext(domain, costs.log_cost, costs.log_least)


def numbers() -> SamplerContext:
    """Returns the sampler context of a space of seven numbers."""
    domain = Domain.unconditional({f"x{index}": FloatDistribution(0, 1) for index in range(7)})
    return SamplerContext(domain, lambda parameters: sum(parameters.values()) / 7)


def numbers_and_choices() -> SamplerContext:
    """Returns the sampler context of a space of sixty parameters; the number of strong choices is the cost."""
    numbers = {f"x{index}": FloatDistribution(0, 1) for index in range(30)}
    choices = {f"c{index}": CategoricalDistribution(["none", "skip", "pool", "cheap", "strong"]) for index in range(30)}
    domain = Domain.unconditional({**numbers, **choices})
    return SamplerContext(domain, lambda parameters: list(parameters.values()).count("strong") / 30)


def fill(study: optuna.Study, context: SamplerContext, *, count: int) -> None:
    """Adds random trials to `study` until `count` are complete."""
    assert context.domain is not None and context.cost_of is not None
    while _count(study) < count:
        number = _count(study)
        draw = make_sampler("random", 0, number=number)
        study.sampler = draw
        trial = study.ask()
        parameters = context.domain.complete(lambda parameter, trial=trial: parameter.draw(trial))
        cost = context.cost_of(parameters)
        if cost is None:
            assert context.least_cost_of is not None
            cost = (context.least_cost_of(parameters) or 0.0) + 0.1
        wave = sum((float(index) - 0.4) ** 2 for index in context.domain.row(parameters) if index == index)
        noise = derive_seed(1, "noise", number) / 2**32
        study.tell(trial, [wave / (1 + wave) + 0.05 * noise, cost])


def _count(study: optuna.Study) -> int:
    return len(study.get_trials(deepcopy=False))


def suggest(study: optuna.Study, context: SamplerContext) -> float:
    """Returns the CPU seconds that one suggestion takes; the trial fails at once."""
    assert context.domain is not None
    start = time.process_time()
    study.sampler = make_sampler("known_cost", 0, number=_count(study), context=context)
    trial = study.ask()
    context.domain.complete(lambda parameter: parameter.draw(trial))
    seconds = time.process_time() - start
    fallback = trials_of(study)[-1].fallback
    if fallback is not None:
        raise RuntimeError(fallback)
    return seconds


def measure(name: str, make: Callable[[], SamplerContext], *, repeats: int) -> None:
    """Prints the median and the largest time at each count."""
    context = make()
    study = optuna.create_study(directions=["minimize", "minimize"])
    fill(study, context, count=COUNTS[0])
    n_parameters = len(context.domain.columns) if context.domain else 0
    print(f"{name}: {n_parameters} parameters, first {suggest(study, context):.2f} s")
    for count in COUNTS:
        fill(study, context, count=count)
        seconds = []
        for _ in range(repeats):
            fill(study, context, count=_count(study) + 1)
            seconds.append(suggest(study, context))
        print(
            f"  {count:3d} observations: {statistics.median(seconds):.2f} s, at most {max(seconds):.2f} s", flush=True
        )


def main() -> None:
    """Measures the searches."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=11)
    options = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    measure("avdigits_dynmm", lambda: shipped("avdigits_dynmm"), repeats=options.repeats)
    measure("seven numbers", numbers, repeats=options.repeats)
    measure("thirty numbers and thirty choices", numbers_and_choices, repeats=options.repeats)


if __name__ == "__main__":
    main()
