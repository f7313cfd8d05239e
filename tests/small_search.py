"""A search that trains all of its networks in this process, on data of three vectors."""

import numpy as np

from nasfuse.experiment.atomic_files import write_text
from nasfuse.experiment.objective import Training, cached_dataset
from nasfuse.experiment.run import make_space
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.space_survey import macs_of
from nasfuse.search.scheduler import Scheduler
from nasfuse.search.storage import open_storage
from nasfuse.spec.study import StudyConfig


def write_three_vectors(path):
    """Writes 240 samples in three classes, of which each of three vectors tells a part; 60 are for test."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=240)
    values = {name: rng.normal(size=(240, 3)) + 1.5 * (labels == k)[:, None] for k, name in enumerate("abc")}
    np.savez(path, y=labels, split=np.array(["train"] * 180 + ["test"] * 60), **values)
    return path


def search(root, data_file, space, *, validation=None, n_trials=8, **changes):
    """Trains all networks of a study, as a search does, and returns folder, study and scheduler."""
    data = {"source": str(data_file), "modalities": dict.fromkeys("abc", "vector"), "val_fraction": 0.4}
    if validation:
        data = {**data, "validation": validation}
    study = StudyConfig.parse(
        {"name": "toy", "data": data, "space": space, "budget": {"trials": n_trials, "repeats": 2}, **changes}
    )
    folder = RunFolder(root)
    folder.claim(study)
    dataset = cached_dataset(study.data.model_dump_json())
    scheduler = Scheduler(
        open_storage(folder.storage_url(study)),
        study,
        make_space(study, dataset),
        macs_of=lambda recipe: macs_of(recipe, dataset),
        reference=lambda: (0.1, 1e6),
        fingerprint=dataset.fingerprint,
    )
    while scheduler.wants_more(running=0):
        one = scheduler.next()
        place = folder.trial(one.number)
        write_text(place / "recipe.yaml", one.recipe.to_yaml())
        options = {"seed": one.seed, "division": one.division, "report": lambda *_: None, "weight_sources": {}}
        scheduler.finish(one.number, Training()(one.recipe, folder=place, **options))
    return folder, study, scheduler
