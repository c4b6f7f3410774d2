"""Words of the command line: settings as flags."""

from __future__ import annotations

import numpy as np
import pytest

from stitchkit.cli.wording import as_flags
from stitchkit.core.errors import LeakageError
from stitchkit.evaluation.fitted_pairs import STEP
from stitchkit.evaluation.leakage import audit


def test_allowing_leakage_names_the_flag():
    with pytest.raises(LeakageError) as refused:
        audit(np.array(["a"]), np.array(["a"]), None, None)
    for message in (str(refused.value), STEP):
        assert "(--allow-leakage)" in as_flags(message)
        assert "(allow_leakage=True)" in message
