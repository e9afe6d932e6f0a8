"""The tree keeps the rules of rules.py, apart from what ratchet.json forgives."""

import subprocess
from pathlib import Path

import pytest
import ratchet
import rules

ROOT = Path(__file__).resolve().parents[2]
tree = rules.Tree()


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_structure(rule):
    forgiven = ratchet.load().get(rule.__name__, {})
    broken = [str(violation) for violation in ratchet.unforgiven(rule, tree, forgiven)]
    assert not broken, "\n" + "\n".join(broken)


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_ratchet_is_tight(rule):
    """What has been mended leaves the book: run tests/structure/ratchet.py."""
    forgiven = ratchet.load().get(rule.__name__, {})
    if forgiven:
        assert ratchet.tightened(rule, tree, forgiven) == forgiven


def test_ratchet_knows_its_rules():
    assert set(ratchet.load()) <= {rule.__name__ for rule in rules.RULES}


def test_the_picture_of_steps_is_the_table():
    """docs/life-of-a-request.md shows what src/http/steps.c does."""
    drawn = subprocess.run(
        [ROOT / "tools/draw_steps.py", "--check"], capture_output=True, text=True, check=False
    )
    assert drawn.returncode == 0, drawn.stderr
