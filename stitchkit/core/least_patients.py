"""Thresholds on numbers of patients, of a class and of all, and the number of resamples of them.

Where patients are not known every item counts as one.
"""

MIN_POSITIVES = 10  # default of ``min_positives``: classes with fewer positive or negative patients are not judged
LEAST_PATIENTS = 5  # a class with fewer on a side keeps its value and has no interval
LEAST_EFFECTIVE = 3.0  # the same for the effective number of a side's unequal patients: Kish's, by their items
CALIBRATED = 60  # patients below which a calibration error has no interval: it would leave out 0 too often
SEVERAL_CALIBRATED = 120  # the same for a mean over classes
FEW_PATIENTS = 10  # with fewer an interval over patients is not to be trusted, and no gate is held against one
SUBSET_PATIENTS = 30  # a subset of modalities with fewer held out is calibrated with all others together
FEW_POSITIVES = 10  # a threshold or a curve of fewer positive or negative patients hangs on single ones
WIDE_BELOW = 15  # with fewer on a side the interval is wide and rests on single patients
MEAN_PATIENTS = 3  # patients a class, on average, below which macro F1 and average precision have none: both are biased

REPLICATES = 2000  # resamples by default: the standard error of an end is then 1.5 % of a normal interval's width
