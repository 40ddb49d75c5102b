import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # where the folder `bench` is a package
