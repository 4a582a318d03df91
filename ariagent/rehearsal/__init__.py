"""The synthetic caller and rehearsals: what `ariagent call` and `ariagent rehearse` need on a production machine."""

CONTEXT = "ariagent-internal"
"""The shipped dialplan's context, in which extensions are called unless another is named."""
