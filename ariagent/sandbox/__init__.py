"""A local Realtime (GA) server to develop and test against."""

import os

# onnxruntime, below the speech detector, otherwise reports its use to its maker over the network (seen with 1.32).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
