"""When a trial that met a fault is tried again, fails, or ends the search."""

from nasfuse.search.faults import Faults, Judgement, Verdict


def test_a_search_in_which_nothing_else_happens_ends_at_the_fifth():
    faults = Faults(lambda number: 0)
    assert [faults.judge(number).verdict for number in (0, 0, 1, 0, 0)] == [Verdict.AGAIN] * 4 + [Verdict.END]


def test_a_trial_fails_at_its_third_if_another_ended_since_its_first():
    faults = Faults(lambda number: 0)
    faults.note_end()
    assert faults.judge(7).verdict is Verdict.AGAIN
    assert faults.judge(7).verdict is Verdict.AGAIN
    assert faults.judge(7).verdict is Verdict.AGAIN, "no other has ended since its first"
    faults.note_end()
    assert faults.judge(8).verdict is Verdict.AGAIN
    assert faults.judge(7).verdict is Verdict.FAIL


def test_progress_starts_the_count_again():
    saved = {7: 0}
    faults = Faults(saved.__getitem__)
    for epoch in range(4):
        saved[7] = epoch
        assert faults.judge(7).verdict is Verdict.AGAIN
        assert faults.judge(7).verdict is Verdict.AGAIN
        faults.note_end()


def test_waits_double_up_to_half_a_minute():
    faults, waits = Faults(lambda number: 0), []
    for number in range(7):
        waits.append(faults.judge(number).wait_s)
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    faults.note_end()
    assert faults.judge(0).wait_s == 1


def test_early_deaths_are_counted_for_each_trial_until_a_training_begins_or_ends():
    faults = Faults(lambda number: 0)
    for goes_on in (faults.note_beginning, faults.note_end):
        for count in range(1, 5):
            judged = [faults.judge_early_death(number) for number in range(9)]
            assert judged == [Judgement(Verdict.AGAIN, count)] * 9
        goes_on()
    assert [faults.judge_early_death(7).verdict for _ in range(5)] == [Verdict.AGAIN] * 4 + [Verdict.END]
    assert faults.judge(7) == Judgement(Verdict.AGAIN, 1), "they are no faults"
