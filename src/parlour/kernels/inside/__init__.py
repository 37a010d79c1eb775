"""What runs in the kernels' own processes: the fork server, the sandbox, the shell.

A package of its own, run by the interpreter of the kernels' environment, which needs IPython and
cloudpickle and no Parlour. Nothing here may start a thread before a fork.
"""
