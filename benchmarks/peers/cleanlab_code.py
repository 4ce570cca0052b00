"""cleanlab on probabilities and labels from an .npz, in its own environment: scores of suspicion, by each of its ways.

python cleanlab_code.py arrays.npz scores.npz
"""

import sys

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores


def main() -> None:
    given, out = np.load(sys.argv[1]), sys.argv[2]
    found = {}
    for name in sorted({key.partition(":")[0] for key in given}):
        p, y = given[f"{name}:p"], given[f"{name}:y"]
        for method in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
            adjusts = (False, True) if method != "confidence_weighted_entropy" else (False,)
            for adjust in adjusts:
                scores = get_label_quality_scores(y, p, method=method, adjust_pred_probs=adjust)
                found[f"{name}:{method}{' adjusted' if adjust else ''}"] = -scores
        found[f"{name}:issues"] = find_label_issues(y, p, n_jobs=1)
    np.savez(out, **found)


if __name__ == "__main__":
    main()
