"""What every test shares."""

import torch

# One thread: tests measure results, not speed, and sums must not depend on the machine's cores.
torch.set_num_threads(1)
