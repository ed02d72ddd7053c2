"""The third floor: what the recorded curves say. It reads results and trains nothing.

- `metrics`: from learning curves to one number a trial (error at convergence, epochs to a
  threshold, success).
- `statistics`: from one number a trial to an estimate with an interval, or a test.
- `theory`: the paper's Lemma 2.1, Definition 2.2 and Theorem D.3.
- `figures`: the paper's figures, drawn from the above.
- `claims`: the paper's claims as data, and the rule that judges each.
"""
