import torch

torch.set_num_threads(1)  # as a party does
