"""Handing a job file to a cluster through Ray's job API, or to Kubernetes as a RayJob."""
