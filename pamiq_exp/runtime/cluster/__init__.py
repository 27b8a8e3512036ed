"""A run on a Ray cluster: a learner and several actors, each in a process of its own, maybe on other machines."""
