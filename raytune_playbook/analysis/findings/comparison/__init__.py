"""Questions about the comparison: is it fair, what does it cost, and what is it bound to?"""
