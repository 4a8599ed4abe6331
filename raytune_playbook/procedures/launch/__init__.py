"""Deciding to launch: a candidate against its baseline, each trained again with other seeds."""
