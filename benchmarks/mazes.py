"""Mazes with two marks: samples of the benchmark of reachability."""

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Room = tuple[int, int]


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


def draw_samples(n_samples: int, n_rooms: int, *, seed: int, favour_short: bool = False) -> dict[str, Array]:
    """Returns mazes with two marked rooms, half of which are connected.

    For every connected pair of rooms there is one in another maze that is not connected and as far apart in rows plus
    columns, so that neither the marks nor the maze alone tell the label. Lengths of paths are drawn from those of a
    maze, evenly or with probabilities in proportion to 1 / length (`favour_short`), and 1 to 8 passages are missing.

    Returns:
        `map` (n, s, s): 1 for open places; `marks` (n, s, s): 1 at the place of one mark, -1 at that of the other; `y`
        (n,): 1 if the marks are connected; `length` (n,): length of the path, for unconnected marks that of their
        partner.
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
            weights = 1 / np.array(reached_lengths, dtype=float) ** int(favour_short)
            length = int(rng.choice(reached_lengths, p=weights / weights.sum()))
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
    return _drawn(pairs[:n_samples])


def _drawn(pairs: list[tuple[Maze, Room, Room, int, int]]) -> dict[str, Array]:
    size = len(pairs[0][0].open)
    marks = np.zeros((len(pairs), size, size), dtype=np.float32)
    for number, (_, first, second, _, _) in enumerate(pairs):
        marks[number, 2 * first[0] + 1, 2 * first[1] + 1] = 1
        marks[number, 2 * second[0] + 1, 2 * second[1] + 1] = -1
    return {
        "map": np.stack([maze.open for maze, *_ in pairs]).astype(np.float32),
        "marks": marks,
        "y": np.array([label for *_, label in pairs]),
        "length": np.array([length for *_, length, _ in pairs]),
    }
