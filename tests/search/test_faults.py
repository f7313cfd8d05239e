"""When a trial that met a fault is tried again, fails, or ends the search."""

from nasfuse.search.faults import Faults, Verdict


def test_a_search_in_which_nothing_else_happens_ends_at_the_fifth():
    faults = Faults(lambda number: 0)
    assert [faults.judge(number) for number in (0, 0, 1, 0, 0)] == [Verdict.AGAIN] * 4 + [Verdict.END]


def test_a_trial_fails_at_its_third_if_another_ended_since_its_first():
    faults = Faults(lambda number: 0)
    faults.note_end()
    assert faults.judge(7) is Verdict.AGAIN
    assert faults.judge(7) is Verdict.AGAIN
    assert faults.judge(7) is Verdict.AGAIN, "no other has ended since its first"
    faults.note_end()
    assert faults.judge(8) is Verdict.AGAIN
    assert faults.judge(7) is Verdict.FAIL


def test_progress_starts_the_count_again():
    saved = {7: 0}
    faults = Faults(saved.__getitem__)
    for epoch in range(4):
        saved[7] = epoch
        assert faults.judge(7) is Verdict.AGAIN
        assert faults.judge(7) is Verdict.AGAIN
        faults.note_end()


def test_waits_double_up_to_half_a_minute():
    faults, waits = Faults(lambda number: 0), []
    for number in range(7):
        faults.judge(number)
        waits.append(faults.wait_s)
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    faults.note_end()
    faults.judge(0)
    assert faults.wait_s == 1
