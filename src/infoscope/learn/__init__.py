"""Looks: tasks, learners, training. The only costly and stateful step."""
