"""The studies by the name that `infoscope study` takes: the file in `studies/` and its class (see `run/study.py`)."""

from __future__ import annotations

from pathlib import Path

STUDIES: dict[str, str] = {
    "as_if_random": "as_if_random:AsIfRandom",
    "ablation": "ablation:AblationStudy",
    "capacity": "capacity:CapacityStudy",
    "certificate": "certificate:CertificateStudy",
    "critical_period": "critical_period:CriticalPeriodStudy",
    "difficulty": "difficulty:DifficultyStudy",
    "distillation": "distillation:DistillationStudy",
    "renamed_classes": "renamed_classes:RenamedClasses",
    "similarity": "similarity:SimilarityStudy",
    "delta_skip": "delta_skip:DeltaSkip",
    "images": "images:Images",
    "information_plane_tishby": "information_plane_tishby:Tishby",
    "invariance": "invariance:InvarianceStudy",
    "invertibility": "invertibility:Invertibility",
    "layer_compression": "layer_compression:LayerCompression",
    "parameter_sweep": "parameter_sweep:ParameterSweep",
    "fisher_shannon": "fisher_shannon:FisherShannon",
    "phase_transition": "phase_transition:PhaseTransition",
    "trade_off": "trade_off:TradeOff",
    "quantised": "quantised:QuantisedStudy",
    "weight_distance": "weight_distance:WeightDistanceStudy",
    "mislabelled": "mislabelled:MislabelledStudy",
    "more_labels": "more_labels:MoreLabelsStudy",
    "probing": "probing:ProbingStudy",
    "choosing": "choosing:ChoosingStudy",
    "effective_information": "effective_information:EffectiveInformationStudy",
    "forgetting": "forgetting:ForgettingOfDigits",
    "fisher_over_training": "fisher_over_training:FisherOverTraining",
    "transfer": "transfer:TransferStudy",
    "select_expert": "select_expert:SelectExpert",
}


def folder() -> Path:
    """Where their files are: beside the package as the wheel installs them, or in the checkout."""
    package = Path(__file__).parent
    installed = package.parent / "infoscope_studies"
    return installed if installed.is_dir() else package.parents[1] / "studies"
