"""Runs for the tests of the pages, from records without training."""

import base64
import functools
import itertools
import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from nasfuse.experiment.atomic_files import write_text
from nasfuse.experiment.label_pictures import PredictedMap, SamplePicture
from nasfuse.experiment.metadata_groups import GroupFigures
from nasfuse.experiment.point_details import FrontDetails, PointDetails, RouteLines
from nasfuse.experiment.run_reader import read_run
from nasfuse.experiment.training_files import write_curve
from nasfuse.prediction.label_images import label_png
from nasfuse.report.html import write_report
from nasfuse.search.front import Candidate, front_of
from nasfuse.train import Epoch

#: Text that would be markup, or end a script or an attribute, if a page took it for that; and a long one.
HOSTILE = "</script><script>document.title='broken'</script> \"'&lt; \N{SNOWMAN} " + "long" * 60


@pytest.fixture(scope="session")
def small_run(make_run, tmp_path_factory):
    """A run with a front of two points, a failure and a training that was stopped."""
    results = [(0.5, 1000), (0.4, 2000), f"ValueError: {HOSTILE}", (0.7, 4000), 0.2]
    return read_run(make_run(tmp_path_factory.mktemp("pages") / "run", results))


@pytest.fixture(scope="session")
def make_page(small_run, tmp_path_factory):
    """Writes the report of a run of one family with `count` trials of four points each; only its records exist."""
    folder = small_run.folder

    @functools.cache
    def make(family, count):
        first = small_run.candidates[0]
        found = []
        for trial, point in itertools.product(range(count), range(4)):
            macs = int(500 * 1.03**trial * (1 + point))
            metric = 0.97 - 0.5 / math.log(macs) * (1 + 0.3 * math.sin(7 * trial + point))
            measured = replace(first.measured, macs=macs, metric=metric)
            summary = f"left mlp 2x{8 + trial % 32} + right mlp 2x16 | {family} {point}"
            baseline = HOSTILE if trial == 0 else "a design" if trial < 4 else None
            found.append(
                Candidate(trial, point, measured, summary, baseline, (trial,), 0.01 if trial % 9 == 0 else None)
            )
        front = front_of(found, small_run.objectives)
        for number in {one.trial for one in front}:
            place = folder.trial(number)
            write_text(place / "recipe.yaml", folder.recipe(0).to_yaml())
            write_curve(place / "metrics.jsonl", [Epoch(k, 1 / k, 1.1 / k, 1 - 1 / (k + 1), k) for k in range(1, 31)])
        line = [(500.0, 0.5), (5000.0, 0.9)]
        details = FrontDetails(
            points={one.label: _details(one.label, family) for one in front},
            lines={front[0].trial: RouteLines(front[0].trial, line, line)} if family == "routed" else {},
            samples={7: SamplePicture({"rgb": _picture()}, _picture())} if family == "dense" else {},
        )
        write_text(folder.details_file, json.dumps(asdict(details)))
        run = replace(
            small_run,
            study=small_run.study.model_copy(update={"name": HOSTILE}),
            candidates=found,
            progress=replace(small_run.progress, front=front, best=front[-1]),
        )
        path = tmp_path_factory.mktemp("pages") / f"{family}-{count}.html"
        write_report(path, run)
        return path

    return make


def _details(label, family):
    names = [HOSTILE, "cat", "dog"]
    return PointDetails(
        label=label,
        samples=60,
        by_class=[{"name": name, "samples": 20, "precision": 0.5, "recall": None, "f1": 0.9} for name in names],
        confusion=[[18, 2, 0], [1, 19, 0], [0, 5, 15]],
        routes={"left": 0.75, "left+right": 0.25} if family in ("routed", "dense") else {},
        steps={"joint": {3: 40, 4: 20}} if family == "equilibrium" else {},
        groups={HOSTILE: [GroupFigures(HOSTILE, 30, 0.5, 1000.0, {"left": 0.5, "left+right": 0.5})]}
        if family == "dense"
        else {},
        maps={7: [PredictedMap("left", False, _picture()), PredictedMap("left+right", True, _picture())]}
        if family == "dense"
        else {},
    )


def _picture():
    """Returns a label map of 12 x 16 pixels as the details hold it."""
    return base64.b64encode(label_png(np.arange(192, dtype=np.uint8).reshape(12, 16) % 3)).decode("ascii")
