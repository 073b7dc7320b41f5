"""What the doctor says about this machine."""

import pytest

from trainers import doctor, static_shapes


@pytest.fixture
def quickly(monkeypatch):
    """One experiment is trained, on short clips; the others are made up."""
    original = doctor._smoke

    def smoke(experiment, chosen, seconds):
        if isinstance(experiment, static_shapes.StaticShapes):
            short = experiment.config.replaced(steps=2, batch_size=8)
            return original(static_shapes.StaticShapes(short), chosen, seconds)
        return 10.0, 100.0, True

    monkeypatch.setattr(doctor, "_smoke", smoke)


def test_says_what_is_here_and_how_long_it_takes(quickly, capsys):
    assert doctor.main(["--seconds", "1", "--preset", "paper"]) == 0
    lines = capsys.readouterr().out.splitlines()
    said = {line[:15].strip(): line[16:] for line in lines}
    assert "tensorflow 2." in said["versions"]
    assert "CPU cores" in said["devices"] and "GB free" in said["memory"]
    assert "prepared" in said["MNIST"]
    assert {"[serving]", "[video]", "[litert]", "[jax]"} <= said.keys()
    assert float(said["static shapes"].split()[0]) > 1  # clips/s
    hours = 500 * 781 * 64 / 10.0 / 3600  # epochs, updates, clips, clips/s
    assert f"all 500 epochs {hours:.1f} h" in said["flying shapes"]
    assert f"all 1500 epochs {3 * hours:.1f} h" in said["flying mnist"]


def test_a_missing_extra_is_named(quickly, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "_smoke", lambda *_: (10.0, 100.0, True))
    owners = dict(doctor.metadata.packages_distributions())
    owners.pop("av")
    monkeypatch.setattr(doctor.metadata, "packages_distributions", lambda: owners)
    assert doctor.main([]) == 0
    said = capsys.readouterr().out
    assert "av is not installed; pip install 'nem-tf[video]'" in said
    minutes = 10 * 100 * 32 / 10.0 / 60  # of our settings: epochs, updates, clips
    assert f"all 10 epochs {minutes:.1f} min" in said


def test_a_loss_that_is_not_finite_fails(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "_smoke", lambda *_: (10.0, 100.0, False))
    assert doctor.main([]) == 1
    assert "NOT FINITE" in capsys.readouterr().out


@pytest.mark.parametrize("seconds", ["0", "x", "nan"])
def test_wrong_flags(seconds, capsys):
    with pytest.raises(SystemExit) as stop:
        doctor.main(["--seconds", seconds])
    assert stop.value.code == 2
    assert "expected seconds from 1 to 3600" in capsys.readouterr().err


def test_a_defect_is_one_line(capsys, monkeypatch):
    def broken(*_):
        raise RuntimeError("no device")

    monkeypatch.setattr(doctor, "_smoke", broken)
    assert doctor.main([]) == 1
    assert "RuntimeError: no device; --debug shows where" in capsys.readouterr().err
