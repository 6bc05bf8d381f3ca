from __future__ import annotations

from metis_rise.report.text import expert_sentence


def test_paid_experts_are_a_sentence_and_free_ones_are_not():
    free = {"kept": 3, "refused": {}}
    paid = {"kept": 93, "refused": {}, "calls": 1200, "prompt_tokens": 9000, "completion_tokens": 1000, "cost": 1.25}
    assert expert_sentence({"experts": {"world": free, "big": paid}}) == (
        "Experts: big 1,200 calls, 93 answers kept, 10,000 tokens, cost 1.25."
    )
    assert expert_sentence({"experts": {"world": free}}) is None and expert_sentence(None) is None
