"""Table 5 of Wu et al. 2020, transcribed: the paper's own row for an architecture."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperRow:
    """A line of Table 5, in %: accuracy in fp32 and after PTQ with each calibration."""

    network: str
    fp32: float
    accuracies: tuple[float, ...]

    def relative(self) -> tuple[float, ...]:
        """100 (accuracy - fp32) / fp32 of each column, in %."""
        return tuple(100 * (accuracy - self.fp32) / self.fp32 for accuracy in self.accuracies)


#: Table 5 without the networks for which accuracy is not top-1; columns as in `PAPER_CALIBRATIONS`.
TABLE_5 = {
    "mobilenet_v1": PaperRow("MobileNet v1", 71.88, (69.51, 70.19, 70.39, 70.29, 69.97, 69.57)),
    "mobilenet_v2": PaperRow("MobileNet v2", 71.88, (69.41, 70.28, 70.68, 71.14, 70.72, 70.23)),
    "resnet50": PaperRow("ResNet50 v1.5", 76.16, (75.82, 76.05, 75.68, 75.98, 75.97, 76.00)),
    "resnet152": PaperRow("ResNet152 v1.5", 78.32, (77.93, 78.21, 77.62, 78.17, 78.17, 78.19)),
    "inception_v3": PaperRow("Inception v3", 77.34, (72.53, 77.54, 76.21, 77.52, 77.43, 77.37)),
    "inception_v4": PaperRow("Inception v4", 79.71, (0.12, 79.60, 78.16, 79.63, 79.12, 71.19)),
    "resnext50_32x4d": PaperRow("ResNeXt50", 77.61, (77.31, 77.46, 77.04, 77.39, 77.45, 77.39)),
    "resnext101_32x8d": PaperRow("ResNeXt101", 79.30, (78.74, 79.09, 78.77, 79.15, 79.17, 79.05)),
    "efficientnet_b0": PaperRow("EfficientNet b0", 76.85, (22.3, 72.06, 70.87, 68.33, 51.88, 42.49)),
    "efficientnet_b3": PaperRow("EfficientNet b3", 81.61, (54.27, 76.96, 77.80, 80.28, 80.06, 77.13)),
}


def paper_row(architecture: str) -> PaperRow | None:
    """The paper's line for an architecture by its name, or None; a sample model is of the same family, no more."""
    return TABLE_5.get(architecture)
