"""Many people, one stimulus: the tables of a run by respondent, stimulus, segment and group.

design.py and matching.py say who watched what in which file, reading.py and collection.py reduce the tables to sums per
respondent and bin, panel.py sets respondents side by side, results.py makes the tables, from the statistics in
inference.py, comparison.py and synchrony.py. study.py does all of it.
"""
