"""Questions to a Ray cluster: what it holds, whether its nodes are well, calls with deadlines."""
