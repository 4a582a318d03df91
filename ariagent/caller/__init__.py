"""The synthetic caller: what `ariagent call` needs on a production machine, and rehearsals are played with."""

CONTEXT = "ariagent-internal"
"""The shipped dialplan's context, in which extensions are called unless another is named."""
