"""The process a party is: host, wire, tape, models. The only console code that may import torch."""
