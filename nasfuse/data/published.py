"""Data sets that shipped studies read from a file: what the file holds, where it is, and how to get it."""

from dataclasses import dataclass
from pathlib import Path

from nasfuse.data.sources.registry import data_folder, find_file
from nasfuse.errors import MissingFileError
from nasfuse.spec.data_source import SHIPPED_SOURCES
from nasfuse.spec.schema.yaml_file import read_document
from nasfuse.spec.shipped import shipped_files

_MULTIBENCH = "MultiBench, https://github.com/pliang279/MultiBench"
_MULT = "the repository of MulT, https://github.com/yaohungt/Multimodal-Transformer"
_MOGONET = "the repository of MOGONET, https://github.com/txWang/MOGONET"
_AFFECT = "pickle with train, valid and test, each with text (n, 50, 300)"
_OMICS = "folder with 1_tr.csv, 1_te.csv, ..., labels_tr.csv, labels_te.csv"


@dataclass(frozen=True)
class PublishedFile:
    """A file or folder of a published data set.

    Attributes:
        contents: Kind of file, and the arrays that the study reads with their shapes; n is the number of samples.
        origin: Who publishes it, with an address.
    """

    contents: str
    origin: str


#: Files that shipped studies read, by `data.source` of the studies.
PUBLISHED: dict[str, PublishedFile] = {
    "avdigits.npz": PublishedFile(
        ".npz with image (n, 8, 8), audio (n, 48, 40), y, split, digit_idx",
        "made from scikit-learn's digits and spoken digits, https://github.com/Jakobovski/free-spoken-digit-dataset",
    ),
    "avmnist": PublishedFile(
        "folder with image/train_data.npy (60000, 784), audio/train_data.npy (60000, 112, 112), train_labels.npy and "
        "the same for test (10000)",
        _MULTIBENCH,
    ),
    "BRCA": PublishedFile(f"{_OMICS}: views of 1000, 1000 and 503 features, 612 and 263 rows", _MOGONET),
    "easy_vqa.npz": PublishedFile(
        ".npz with images (m, 64, 64, 3), image_idx (n,), tokens (n, 9), y, split",
        "made from easy-VQA, https://github.com/vzhou842/easy-VQA",
    ),
    "hapt.npz": PublishedFile(
        ".npz with acc (n, 128, 3), gyro (n, 128, 3), y, split, user",
        "made from UCI data set 341, https://archive.ics.uci.edu/dataset/341",
    ),
    "humor.pkl": PublishedFile(f"{_AFFECT}, audio (n, 50, 81), vision (n, 50, 371), labels (n, 1, 1)", _MULTIBENCH),
    "mfnet_rgbt.npz": PublishedFile(
        ".npz with rgb (220, 120, 160, 3), thermal (220, 120, 160), y (220, 120, 160) classes of pixels, split, day",
        "made from MFNet, https://www.mi.t.u-tokyo.ac.jp/static/projects/mil_multispectral/",
    ),
    "mosei_senti_data.pkl": PublishedFile(
        f"{_AFFECT}, audio (n, 50, 74), vision (n, 50, 35), labels (n, 1, 1)", _MULTIBENCH
    ),
    "mosei_senti_data_noalign.pkl": PublishedFile(
        f"{_AFFECT}, audio (n, 500, 74), vision (n, 500, 35), labels (n, 1, 1)", _MULT
    ),
    "mosi_data.pkl": PublishedFile(
        f"{_AFFECT}, audio (n, 50, 5), vision (n, 50, 20), labels (n, 1, 1)", f"{_MULTIBENCH}, or {_MULT}"
    ),
    "multimodal_imdb.hdf5": PublishedFile(
        "HDF5 with features (25959, 300), vgg_features (25959, 4096), genres (25959, 23)",
        "the Internet Archive, https://archive.org/details/mmimdb",
    ),
    "nyuv2": PublishedFile(
        "folder with train (795) and test (654), each with the folders rgb, depth and labels_40 of PNG files called "
        "0001.png and so on, and optionally train.txt and test.txt with these numbers",
        "made from nyu_depth_v2_labeled.mat, https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html",
    ),
    "ROSMAP": PublishedFile(f"{_OMICS}: views of 200 features, 245 and 106 rows", _MOGONET),
    "rosmap.npz": PublishedFile(
        ".npz with mrna, meth and mirna (351, 200), y, split",
        f"made from {_MOGONET} (the study rosmap reads these files as they are)",
    ),
    "sarcasm.pkl": PublishedFile(f"{_AFFECT}, audio (n, 50, 81), vision (n, 50, 371), labels (n, 1, 1)", _MULTIBENCH),
    "vggsound": PublishedFile(
        "folder with train.h5 and test.h5, each with rgb (n, 38, 1024), flow (n, 38, 1024), spect (n, 1200, 128) and "
        "labels",
        "the repository of SFT, https://github.com/yding37/sft",
    ),
}


@dataclass(frozen=True)
class Whereabouts:
    """Where a file of shipped studies is.

    Attributes:
        source: Name of the file or folder, as in the studies.
        studies: Names of the studies that read it.
        found: Path of the file or folder; None if there is none.
        places: Folders that were searched.
        file: What the file holds and how to get it.
    """

    source: str
    studies: tuple[str, ...]
    found: Path | None
    places: tuple[Path, ...]
    file: PublishedFile


def published_files() -> list[Whereabouts]:
    """Returns every file that shipped studies read, in the order of the studies."""
    studies: dict[str, list[str]] = {}
    for name, path in shipped_files("studies").items():
        studies.setdefault(str(read_document(path).values["data"]["source"]), []).append(name)
    places = (Path.cwd(), data_folder())
    return [
        Whereabouts(source, tuple(names), _path(source), places, PUBLISHED[source])
        for source, names in studies.items()
        if source not in SHIPPED_SOURCES
    ]


def _path(source: str) -> Path | None:
    try:
        return find_file(source).absolute()
    except MissingFileError:
        return None
