"""Messages are in the language that was asked for, and in no other because of the machine."""

import pytest

from engine.errors import InputError
from engine.language.speaking import language_of, languages, speak, speaking, spoken, tr


def test_a_message_is_said_in_the_language_that_is_spoken():
    assert tr("step {step}", step=3) == "step 3"
    with speaking("de"):
        assert tr("step {step}", step=3) == "Schritt 3" and tr("never said {x}", x="{y}") == "never said {y}"
        assert tr("") == ""
    assert spoken() == "en"


def test_the_environment_decides_only_where_it_is_asked(monkeypatch):
    monkeypatch.setenv("LANGUAGE", "xx:de_AT.UTF-8:en")
    assert spoken() == "en" and language_of("en") == "en" and language_of("auto") == "de"
    monkeypatch.setenv("LANGUAGE", "C")
    assert language_of("auto") == "en"


def test_a_language_that_there_is_not_is_named():
    with pytest.raises(InputError, match=r"there is no language 'tlh'; there are: en, de"):
        speak("tlh")
    assert languages()[0] == "en"
