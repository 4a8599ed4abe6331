"""The engine room: Ray Tune schedules trials, each leases a warm gang of Ray Train workers."""
