"""The answer to a round's question: who leads, how sure it is, and what could have been shown."""
