"""What every test process shares, before it imports anything else."""

import os

# Tests import ONNX Runtime themselves, as the peer; like the product they do so without its thread and database.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
