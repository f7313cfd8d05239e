"""Random movement of registered images and of their label maps, drawn once per sample."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from nasfuse.domain.task import VOID


@dataclass(frozen=True)
class Movement:
    """A window into the images of each sample, and which samples are mirrored.

    Positions are relative to the size of an image, so that images and label maps of different sizes move together.

    Attributes:
        centre: (b, 2) position (x, y) of the middle of the window; 0 is the middle of the image and 1 its right or
            lower edge.
        zoom: (b,) size of the image divided by that of the window, at least 1.
        mirrored: (b,) bool.
    """

    centre: Tensor
    zoom: Tensor
    mirrored: Tensor

    @classmethod
    def draw(
        cls,
        n_samples: int,
        *,
        size: tuple[int, int],
        shift: float,
        scale: float,
        flip: float,
        device: torch.device,
    ) -> "Movement":
        """Returns a movement; random numbers come from torch's current generator.

        Args:
            n_samples: b.
            size: (H, W) of the largest image or label map, by whose pixels shifts are rounded.
            shift: Largest translation as a share of the size, rounded to whole pixels; uniform.
            scale: Largest zoom factor s; the factor is drawn from U(1, s), and the window is anywhere in the image.
            flip: Probability of a sample to be mirrored left to right.
            device: Device of the samples.
        """
        zoom = 1 + (scale - 1) * torch.rand(n_samples, device=device)
        room = (1 - 1 / zoom)[:, None]
        centre = room * (2 * torch.rand(n_samples, 2, device=device) - 1)
        for axis, n_pixels in enumerate(reversed(size)):
            reach = round(shift * n_pixels)
            offsets = torch.randint(-reach, reach + 1, (n_samples,), device=device)
            centre[:, axis] += 2 * offsets / n_pixels
        return cls(centre, zoom, torch.rand(n_samples, device=device) < flip)

    def of_images(self, values: Tensor) -> Tensor:
        """Returns images (b, C, H, W) as they move, bilinear; values at edges are repeated."""
        return self._moved(values, mode="bilinear", padding="border")

    def of_labels(self, labels: Tensor) -> Tensor:
        """Returns uint8 label maps (b, H, W) as they move: nearest label, and `VOID` outside of the map."""
        kept = (VOID - labels[:, None].long()).float()  # so that what is outside, 0, is void
        return (VOID - self._moved(kept, mode="nearest", padding="zeros").long()).to(torch.uint8)[:, 0]

    def _moved(self, values: Tensor, *, mode: str, padding: str) -> Tensor:
        if bool((self.zoom != 1).any() | (self.centre != 0).any()):
            none = torch.zeros_like(self.zoom)
            rows = [
                torch.stack([1 / self.zoom, none, self.centre[:, 0]], dim=1),
                torch.stack([none, 1 / self.zoom, self.centre[:, 1]], dim=1),
            ]
            grid = F.affine_grid(torch.stack(rows, dim=1), list(values.shape), align_corners=False)
            values = F.grid_sample(values, grid.to(values), mode=mode, padding_mode=padding, align_corners=False)
        return torch.where(self.mirrored[:, None, None, None], values.flip(-1), values)
