"""What every test shares."""

import os

import torch

# One thread: tests measure results, not speed, and sums must not depend on the machine's cores.
torch.set_num_threads(1)

# No test waits for a network, nor do the pages that tests build.
os.environ["POLARITY_OFFLINE"] = "1"
