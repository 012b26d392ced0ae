"""A line of the menu says where its profile stands."""

from __future__ import annotations

from top_world import profile

from hostler.cli.top.choices import ProfileEntry, label
from hostler.wire.management import Parked


def test_a_parked_profile_says_how_soon_it_would_be_back() -> None:
    left = Parked(parked_s=40.0, cached=1.0, prompts=1, load_s=0.42)
    assert "parked, back in 0.4s" in label(ProfileEntry(profile("smollm2", parked=left)), 120).plain
    assert "parked" not in label(ProfileEntry(profile("smollm2", state="ready", parked=left)), 120).plain
    assert "parked" not in label(ProfileEntry(profile("smollm2")), 120).plain
