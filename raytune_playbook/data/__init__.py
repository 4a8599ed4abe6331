"""Reading, preprocessing, sharing and batching of examples with Ray Data.

Read first `datasets` (the sources that a workload names), `examples` (what a round makes of them; `mode` says in which
of two modes) and `batches` (what a worker trains on). Beside them: `files` finds and reads, `decode` preprocesses,
`order` and `splits` say which example comes when and where, `materialized` and `streaming` are the two modes.
"""
