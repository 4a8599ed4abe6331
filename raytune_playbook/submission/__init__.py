"""Handing a job file to a cluster through Ray's job API."""
