"""Graders: for each task a prompt, and what the paper says (`strict`) and its code does (`authors`) to an answer.

`tasks.task(name)` finds one; adding a task is adding a module and a line there.
"""
