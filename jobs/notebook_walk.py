# %% [markdown]
# # A round in a notebook
#
# Which batch norm statistics suit handwritten digits? Eight trials on this machine, about a minute. On a cluster's
# head node the same cells run: `run(round, address="HEAD:6379")`.

# %%
from raytune_playbook import Budget, Categorical, Float, Objective, Resources, Round, propose, run
from raytune_playbook.workloads.digits import DigitsResNet

round = Round(
    name="notebook_walk",
    goal="Does synchronizing batch norm statistics between workers change the validation error?",
    workload=DigitsResNet(),
    scientific={"batch_norm": Categorical(["device", "sync"])},
    nuisance={"learning_rate": Float(0.003, 0.3, scale="log")},
    fixed={"batch_size": 128, "schedule": "cosine"},
    objective=Objective(metric="error"),
    budget=Budget(num_trials=8, max_train_steps=60, evaluation_interval_steps=10),
    resources=Resources(num_workers=2, cpus_per_worker=0.5),
)
round

# %%
result = run(round)

# %% [markdown]
# What it came to, again whenever one asks: a result holds no numbers of its own, it reads the round's records.

# %%
result

# %%
result.best

# %%
result.trials.to_pandas()[["study", "index", "values.learning_rate", "objective", "best_step"]]

# %% [markdown]
# Every plot of the round's page by its kind; pointing at a trial shows its facts.

# %%
result.plot("isolation")

# %%
result.plot("axis", "learning_rate")

# %%
result.plot("curves", "error")

# %% [markdown]
# What the playbook's checklist asks for next, as a round; `None` where no finding asks for a change.

# %%
propose(round, result)
