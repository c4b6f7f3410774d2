"""Messages: Python's words as plain text, and settings that a door can name in its own words."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from stitchkit.core import errors
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.wording import Message, advice, python_advice, setting

ERRORS = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.StitchError)]
FLAGS = {"overwrite": "--overwrite", "store": "--store none"}
PASS = "x exists. Choose another, or pass " + setting("overwrite", True) + "."


def form(one):
    return FLAGS.get(one.name)


def test_a_message_is_its_text():
    assert PASS == "x exists. Choose another, or pass overwrite=True."
    assert isinstance(PASS, Message)
    assert (hash(PASS), f"{PASS}", json.dumps(PASS)) == (hash(str(PASS)), str(PASS), json.dumps(str(PASS)))
    assert type(str(PASS)) is str


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (setting("groups"), "groups="),
        (setting("purpose", "head"), "purpose='head'"),
        (setting("store", None), "store=None"),
        (setting("ks", [1, 5]), "ks=[1, 5]"),
        (setting("min_r2", text="min_r2"), "min_r2"),
        (setting("at", otherwise="a share"), "at="),
        (advice(", or ", setting("offline", True)), ", or offline=True"),
        (python_advice("Or pass a solver value."), "Or pass a solver value."),
    ],
)
def test_python_reads_settings_as_it_writes_them(message, text):
    assert message == text


def test_a_door_names_the_settings_that_it_has():
    assert PASS.render(form) == "x exists. Choose another, or pass --overwrite."
    assert ("give " + setting("groups") + ".").render(form) == "give groups=."
    assert ("in " + setting("at", otherwise="a share") + "?").render(form) == "in a share?"


def test_advice_is_left_out_where_a_setting_of_it_cannot_be_set():
    both = "stop" + advice(", or set ", setting("store", None), " and ", setting("purpose", "head")) + "."
    assert both == "stop, or set store=None and purpose='head'."
    assert both.render(form) == "stop."
    assert ("stop" + advice(", or set ", setting("store", None)) + ".").render(form) == "stop, or set --store none."
    assert ("stop." + python_advice(" See help().")).render(form) == "stop."


@pytest.mark.parametrize("kind", ERRORS)
def test_errors_keep_their_message_when_raised_again_wrapped_pickled_and_copied(kind):
    error = kind(PASS)
    assert str(error) == PASS
    assert type(str(error)) is str
    for other in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(other) is kind
        assert other.message.render(form) == PASS.render(form)
    around = InputError("part 3: " + error.message.rstrip(".") + "!")
    assert str(around) == f"part 3: {str(PASS).rstrip('.')}!"
    assert around.message.render(form) == "part 3: x exists. Choose another, or pass --overwrite!"


def test_an_error_without_settings_has_its_text_as_message():
    assert InputError("no").message == "no"
    assert InputError().message == ""


def test_the_hint_of_an_unknown_name_keeps_its_settings():
    error = UnknownNameError.of("solver", "x", ["ridge"], "Pass " + setting("store", None) + ".")
    assert error.message.render(form).endswith(" Pass --store none.")


def test_a_message_that_ends_in_a_setting_keeps_it():
    assert ("pass " + setting("store", None)).rstrip(".").render(form) == "pass --store none"
    assert Message().rstrip() == ""
