"""A study's folders of tables, `trials/` and `measurements/`: files of one trial each, and of many that have ended."""
