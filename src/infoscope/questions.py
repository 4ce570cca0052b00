"""The questions by the name of their command: the table that the command line, the contracts and the docs read.

A question is a frozen value whose fields are its options (`run/question.py`); a row here is all that a new one needs.
"""

QUESTIONS: dict[str, str] = {
    "difficulty": "infoscope.model_information.difficulty:Difficulty",
    "codelength": "infoscope.model_information.codelength:Codelength",
    "information": "infoscope.model_information.information:Information",
    "probe": "infoscope.model_information.probing:Probing",
    "capacity": "infoscope.model_information.capacity:Capacity",
    "ablation": "infoscope.model_information.ablation:Ablation",
    "similarity": "infoscope.model_information.similarity:Similarity",
    "compare": "infoscope.model_information.comparing:Compare",
    "transfer": "infoscope.model_information.transfer:Transfer",
    "forgetting": "infoscope.model_information.forgetting:Forgetting",
    "choose": "infoscope.model_information.choosing:Choosing",
    "distillation": "infoscope.model_information.distillation:Distillation",
    "mislabelled": "infoscope.model_information.mislabelled:Mislabelled",
    "more-labels": "infoscope.model_information.more_labels:MoreLabels",
    "distance": "infoscope.weight_distance.weight_distance:WeightDistance",
    "mds": "infoscope.weight_distance.pictures:MDS",
    "weights": "infoscope.weight_information.weights:WeightInformation",
    "learning-coefficient": "infoscope.weight_information.learning_coefficient:LearningCoefficient",
    "shannon": "infoscope.weight_information.weights_and_data:ShannonInformation",
    "quantise": "infoscope.weight_information.quantise:Quantise",
    "certificate": "infoscope.weight_information.risk_certificate:RiskCertificate",
    "merge": "infoscope.weight_information.merge:Merge",
    "between": "infoscope.weight_information.between:Between",
    "effective-information": "infoscope.bottleneck.effective:EffectiveInformation",
    "bottleneck": "infoscope.bottleneck.variational:InformationBottleneck",
    "embed": "infoscope.task_space.embed:Embed",
    "tasks": "infoscope.task_space.space:TaskSpace",
    "select": "infoscope.task_space.select:Select",
    "mi": "infoscope.dynamics.saved_information:SavedInformation",
    "plane": "infoscope.dynamics.plane:Plane",
    "checkpoints": "infoscope.dynamics.which_checkpoint:WhichCheckpoint",
    "fisher-training": "infoscope.dynamics.fisher_training:FisherTraining",
}
