"""Questions about the search space: is it large enough, sampled densely enough, and what matters in it?"""
