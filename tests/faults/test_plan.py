"""A seed is a plan: the same one again, another for another, and nothing is left out of a long one."""

from collections import Counter

import pytest

from tests.faults.plan import EDGES, LASTS_S, TARGETS, WEIGHTS, Fault, Kind, plan


def test_seed_gives_the_same_plan_again_and_another_seed_another() -> None:
    assert plan(7, 40) == plan(7, 40)
    assert plan(7, 40) != plan(8, 40)


def test_longer_plan_of_a_seed_begins_as_the_shorter_one() -> None:
    assert plan(7, 40)[:12] == plan(7, 12)


def test_each_kind_comes_as_often_as_its_weight_says() -> None:
    deck = sum(WEIGHTS.get(kind, 1) for kind in Kind)
    counts = Counter(fault.kind for fault in plan(1, 2 * deck))
    assert counts == {kind: 2 * WEIGHTS.get(kind, 1) for kind in Kind}


def test_only_what_can_be_done_is_planned() -> None:
    kinds = tuple(kind for kind in Kind if kind != Kind.CLOCK)
    assert {fault.kind for fault in plan(1, 200, kinds)} == set(kinds)


def test_every_target_comes_in_time() -> None:
    found = {(fault.kind, fault.target) for fault in plan(1, 5_000)}
    assert found == {(kind, target) for kind, targets in TARGETS.items() for target in targets}


def test_what_has_nothing_to_heal_lasts_no_time() -> None:
    assert {fault.kind for fault in plan(1, 500) if fault.lasts_s} == set(LASTS_S)


def test_pace_stretches_times_and_nothing_else() -> None:
    for slow, fast in zip(plan(3, 50), plan(3, 50, pace=0.5), strict=True):
        assert (fast.kind, fast.target, fast.amount) == (slow.kind, slow.target, slow.amount)
        assert fast.after_s == pytest.approx(slow.after_s / 2, abs=0.001)
        lasts_s = slow.lasts_s if slow.kind == Kind.OVERSLEEP else slow.lasts_s / 2
        assert fast.lasts_s == pytest.approx(lasts_s, abs=0.001)


def test_who_oversleeps_outlasts_every_lease_and_no_patience() -> None:
    lasting = [fault.lasts_s for fault in plan(1, 5_000, pace=0.1) if fault.kind == Kind.OVERSLEEP]
    assert 18 <= min(lasting) < max(lasting) <= 35


def test_fault_says_what_it_does() -> None:
    fault = Fault(3, Kind.DELAY, "social-postgres", 0.5, 2.0, 0.25)
    assert str(fault) == "  3. after 0.5 s: delay social-postgres +0.25 for 2.0 s"
    assert str(Fault(12, Kind.KILL, "nats", 1.0, 0.0, 0.0)) == " 12. after 1.0 s: kill nats"


def test_every_edge_is_of_two_parts() -> None:
    assert len(set(EDGES)) == len(EDGES)
