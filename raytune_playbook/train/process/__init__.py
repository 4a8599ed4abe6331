"""The process that trials share: the limit of its memory, and its reset from one trial to the next."""
