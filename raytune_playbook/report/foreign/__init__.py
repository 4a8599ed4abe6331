"""Trials that other tools have recorded, read into what findings, answers and pages are made from.

`ray_tune`, `optuna_study` and `table` read what there is (`recorded`); `roles` says what it means, by a small file or
by options; `ranges` and `columns` infer what nobody said; `plan` and `arrangement` make the round of it, `judging` says
what each trial is worth, and `foreign_round` has its answer, findings and page.
"""
