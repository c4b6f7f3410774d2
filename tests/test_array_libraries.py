"""Array libraries that are not at hand are left out of the common tests, and said once."""

import pytest


@pytest.mark.parametrize("name", ["array-api-strict", "torch", "torch-cuda", "cupy"])
def test_the_array_library_is_at_hand(name, absent_libraries):
    if name in absent_libraries:
        pytest.skip(f"tests over array libraries leave {name} out: {absent_libraries[name]}")
