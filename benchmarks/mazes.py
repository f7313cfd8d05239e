"""Mazes with two marks: samples of the benchmark of reachability."""

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Room = tuple[int, int]

#: Codes of a coordinate x: sine and cosine of 2 pi k x / PERIOD. Products of the codes of two coordinates add up to a
#: sharp peak at equal ones.
PERIOD, FREQUENCIES = 17, (1, 3)


@dataclass(frozen=True)
class Maze:
    """A maze of n x n rooms.

    Attributes:
        open: (2 n + 1, 2 n + 1) bool, true for rooms, which have odd coordinates, and for passages between them.
        doors: Room to the rooms that a passage connects it with.
    """

    open: Array
    doors: dict[Room, list[Room]]

    def distances(self, start: Room) -> dict[Room, int]:
        """Returns the number of steps in `open` from `start` to every room that can be reached; 2 to a neighbour."""
        found, queue = {start: 0}, deque([start])
        while queue:
            room = queue.popleft()
            for other in self.doors[room]:
                if other not in found:
                    found[other] = found[room] + 2
                    queue.append(other)
        return found


def draw_maze(n_rooms: int, n_cuts: int, rng: np.random.Generator) -> Maze:
    """Returns a random spanning tree of n_rooms x n_rooms rooms (Kruskal) from which `n_cuts` passages are removed."""
    rooms = [(row, column) for row in range(n_rooms) for column in range(n_rooms)]
    edges = [((r, c), (r + 1, c)) for r, c in rooms if r + 1 < n_rooms]
    edges += [((r, c), (r, c + 1)) for r, c in rooms if c + 1 < n_rooms]
    root = {room: room for room in rooms}

    def find(room: Room) -> Room:
        while root[room] != room:
            root[room] = root[root[room]]
            room = root[room]
        return room

    tree = []
    for number in rng.permutation(len(edges)):
        one, other = edges[number]
        if find(one) != find(other):
            root[find(one)] = find(other)
            tree.append((one, other))
    is_open = np.zeros((2 * n_rooms + 1,) * 2, dtype=bool)
    is_open[1::2, 1::2] = True
    doors: dict[Room, list[Room]] = {room: [] for room in rooms}
    for number in rng.permutation(len(tree))[n_cuts:]:
        one, other = tree[number]
        is_open[one[0] + other[0] + 1, one[1] + other[1] + 1] = True
        doors[one].append(other)
        doors[other].append(one)
    return Maze(is_open, doors)


def draw_samples(n_samples: int, n_rooms: int, *, seed: int) -> dict[str, Array]:
    """Returns mazes with two marked rooms, half of which are connected.

    For every connected pair of rooms there is one in another maze that is not connected and as far apart in rows plus
    columns, so that neither the marks nor the maze alone tell the label. Lengths of paths are drawn evenly from those
    of a maze, and 1 to 8 passages are missing.

    Returns:
        `map` (n, 9, s, s): whether a place is open, and the codes of its row and its column; `marks` (n, 16): the codes
        of the rows and columns of both marks; rows and columns are counted from a random origin. `y` (n,): 1 if the
        marks are connected. `length` (n,): length of the path, for unconnected marks that of their partner.
    """
    rng = np.random.default_rng(seed)
    waiting: dict[tuple[int, int], list[tuple[Maze, Room, Room, int]]] = defaultdict(list)
    pairs: list[tuple[Maze, Room, Room, int, int]] = []
    while len(pairs) < n_samples:
        label = int(rng.integers(2))
        maze = draw_maze(n_rooms, int(rng.integers(1, 9)), rng)
        first = tuple(rng.integers(n_rooms, size=2).tolist())
        reached = maze.distances(first)
        reached_lengths = sorted(set(reached.values()) - {0})
        if label and reached_lengths:
            length = int(rng.choice(reached_lengths))
            ends = [room for room, steps in reached.items() if steps == length]
        else:
            label, length = 0, 0
            ends = [room for room in maze.doors if room not in reached]
        second = ends[rng.integers(len(ends))]
        apart = abs(first[0] - second[0]) + abs(first[1] - second[1])
        waiting[apart, label].append((maze, first, second, length))
        if waiting[apart, 0] and waiting[apart, 1]:
            no, yes = waiting[apart, 0].pop(), waiting[apart, 1].pop()
            pairs += [(*yes, 1), (*no[:3], yes[3], 0)]
    return _encoded(pairs[:n_samples], rng)


def _encoded(pairs: list[tuple[Maze, Room, Room, int, int]], rng: np.random.Generator) -> dict[str, Array]:
    n_samples, size = len(pairs), len(pairs[0][0].open)
    origin = rng.integers(PERIOD, size=(n_samples, 2))
    is_open = np.stack([maze.open for maze, *_ in pairs])[:, None]
    places = _codes(np.arange(size) + origin[:, :, None]).transpose(1, 0, 3, 2)  # axis, sample, code, place
    rows = np.broadcast_to(places[0][:, :, :, None], (*places[0].shape, size))
    columns = np.broadcast_to(places[1][:, :, None, :], (*places[1].shape[:2], size, size))
    rooms = np.array([(first, second) for _, first, second, _, _ in pairs])
    return {
        "map": np.concatenate([is_open, rows, columns], axis=1).astype(np.float32),
        "marks": _codes(2 * rooms + 1 + origin[:, None]).reshape(n_samples, -1).astype(np.float32),
        "y": np.array([label for *_, label in pairs]),
        "length": np.array([length for *_, length, _ in pairs]),
    }


def _codes(coordinates: Array) -> Array:
    """Returns (..., 4) codes of coordinates (...)."""
    angles = 2 * np.pi * coordinates[..., None] * np.array(FREQUENCIES) / PERIOD
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)
